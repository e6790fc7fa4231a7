"""What a process makes of the device and the number of threads that it is given."""

from __future__ import annotations

import pytest

from difrob.errors import UserError
from difrob.worker.torch_setup import THREADS, prepare_torch


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown device 'toaster'"):
        prepare_torch("toaster")
    with pytest.raises(UserError, match="there is no device 'cuda:99' here"):
        prepare_torch("cuda:99")
    monkeypatch.setenv(THREADS, "many")
    with pytest.raises(UserError, match="DIFROB_THREADS = 'many' is not a whole number"):
        prepare_torch("cpu")
