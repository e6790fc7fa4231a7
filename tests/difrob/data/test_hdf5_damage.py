"""HDF5 files of labelled images that are cut off or have wrong bytes: an answer or a refusal, never another error."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from difrob.data.formats.detection import Request, read_source
from difrob.data.formats.source import Source
from difrob.errors import UserError
from difrob.runs.damage.guard import one_helper


def opened(path: Path) -> Source:
    return read_source(Request(path, path.parent, None, lambda done, total, what: None))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["image"] = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
        file["label"] = np.arange(40) % 4
    with one_helper():
        every_damage(path)


def every_damage(path: Path) -> None:
    tmp_path = path.parent
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / f"cut-{length}.h5"
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut-"):
            opened(cut)
    (tmp_path / "text.h5").write_text("no HDF5 at all, " * 100)
    with pytest.raises(UserError, match="text.h5"):
        opened(tmp_path / "text.h5")
    source = np.random.default_rng(0)
    for number in range(12):  # any byte may be wrong: an answer or a refusal, never another error
        spoiled = bytearray(whole[:2048])
        spoiled[source.integers(8, 800)] ^= 1 << source.integers(0, 8)
        broken = tmp_path / f"broken-{number}.h5"
        broken.write_bytes(bytes(spoiled) + whole[2048:])
        try:
            images = np.concatenate(list(opened(broken).splits["train"].blocks()))
        except UserError:
            continue
        assert images.dtype == np.uint8
