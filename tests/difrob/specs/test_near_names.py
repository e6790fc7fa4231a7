"""What was probably meant."""

from __future__ import annotations

import pytest

from difrob.specs.words.near_names import did_you_mean, nearest

KNOWN = ["digits", "cifar10", "cifar100", "", "My Set", "digits"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("digit", "digits"),
        ("DIGTIS", "digits"),
        ("cifar-10", "cifar10"),
        ("my set", "My Set"),
        ("cif", "cifar10"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_known_name(name: str, meant: str | None) -> None:
    assert nearest(name, KNOWN) == meant
    assert did_you_mean(name, KNOWN) == ("" if meant is None else f"; did you mean '{meant}'?")
    assert nearest(name, []) is None
