"""Heaps of texts that HDF5 does not get through, found without HDF5, and what HDF5 itself makes of them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from difrob.runs.damage import heap_check
from difrob.runs.damage.heap_check import broken_heaps
from difrob.runs.damage.mended_file import MendedFile

TEXTS = {"a": "a" * 100, "b": "b" * 100, "c": "c" * 100}
OBJECT = struct.Struct("<HHIQ")
WORD = 1 << 64
READ_ALL = """
import sys, h5py
h5py._errors.silence_errors()
with h5py.File(sys.argv[1]) as file:
    for name in 'abc':
        try:
            print(name, len(file.attrs[name]))
        except OSError:
            pass
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one heap that holds three texts."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(TEXTS)
    return path


def heap_and_objects(data: bytes) -> tuple[int, list[int]]:
    """Where the heap begins, and its objects, the free room last."""
    start = data.index(b"GCOL")
    objects, at = [], start + 16
    while True:
        objects.append(at)
        number, _, _, size = OBJECT.unpack_from(data, at)
        if number == 0:
            return start, objects
        at += OBJECT.size + (size + 7) // 8 * 8


def with_object(data: bytes, at: int, number: int, size: int) -> bytes:
    found = bytearray(data)
    OBJECT.pack_into(found, at, number, 1, 0, size)
    return bytes(found)


# Number and size of the second object, and what HDF5 2.0 does: tried by hand with every one of them.
BROKEN = {
    "blanked": (0, 0, True),
    "overflows to nothing": (2, WORD - 16, True),
    "overflows to nothing, padded": (2, WORD - 20, True),
    "overflows to less than nothing": (2, WORD - 24, False),
    "leads out of the heap": (2, 5000, False),
    "free room beyond the heap": (0, 1 << 40, False),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_heap_is_found_where_it_breaks(path: Path, case: str) -> None:
    data = path.read_bytes()
    start, objects = heap_and_objects(data)
    number, size, is_endless = BROKEN[case]
    path.write_bytes(with_object(data, objects[1], number, size))
    (found,) = broken_heaps(path)
    assert (found.start, found.at, found.is_endless) == (start, objects[1], is_endless)
    assert found.at + found.rest == start + 4096


@pytest.mark.parametrize("case", BROKEN)
def test_mended_the_texts_before_the_break_can_be_read(path: Path, case: str) -> None:
    data = path.read_bytes()
    path.write_bytes(with_object(data, heap_and_objects(data)[1][1], *BROKEN[case][:2]))
    mended = MendedFile(path, None, broken_heaps(path))
    try:
        with h5py.File(mended, "r") as file:
            assert file.attrs["a"] == TEXTS["a"]
            for name in "bc":
                with pytest.raises(OSError, match="heap"):
                    file.attrs[name]
    finally:
        mended.close()


def test_a_heap_that_breaks_further_on_than_the_wrong_size_is_mended_there(path: Path) -> None:
    data = path.read_bytes()
    _, objects = heap_and_objects(data)
    path.write_bytes(with_object(data, objects[1], 2, WORD - 1))  # with its header it overflows to the header alone
    assert [heap.at for heap in broken_heaps(path)] == [objects[1] + OBJECT.size]


def test_hdf5_itself_never_comes_back_from_an_endless_heap(path: Path) -> None:
    """The reason for all of this. Should a later HDF5 come back, this fails, and the check can go."""
    data = path.read_bytes()
    path.write_bytes(with_object(data, heap_and_objects(data)[1][1], 0, 0))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", READ_ALL, str(path)], capture_output=True, timeout=4)


def test_sound_heaps_are_no_trouble(path: Path, tmp_path: Path) -> None:
    assert broken_heaps(path) == []
    data = path.read_bytes()
    _, objects = heap_and_objects(data)
    full = with_object(data, objects[-1], 4, data.index(b"GCOL") + 4096 - objects[-1] - OBJECT.size - 8)
    path.write_bytes(full)  # eight bytes are left, into which no object fits
    assert broken_heaps(path) == []
    with h5py.File(path) as file:
        assert dict(file.attrs) == TEXTS
    for odd in (b"", b"GCOL", b"GCOL\x01\x00\x00\x00", b"x" * 100, b"GCOL\x01\x00\x00\x00" + bytes(8)):
        (tmp_path / "odd").write_bytes(odd)
        assert broken_heaps(tmp_path / "odd") == []


def test_in_a_file_that_is_cut_off_the_zeros_that_stand_for_its_end_make_a_heap_endless(path: Path) -> None:
    data = path.read_bytes()
    start, objects = heap_and_objects(data)
    path.write_bytes(data[: objects[2]])
    assert broken_heaps(path) == []  # HDF5 does not open it
    (found,) = broken_heaps(path, len(data))
    assert (found.start, found.at, found.rest) == (start, objects[2], start + 4096 - objects[2]) and found.is_endless
    mended = MendedFile(path, len(data), [found])
    try:
        with h5py.File(mended, "r") as file:
            assert [file.attrs[name] for name in "ab"] == [TEXTS["a"], TEXTS["b"]]
    finally:
        mended.close()


def test_every_heap_of_a_file_is_looked_at_wherever_it_lies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between large numbers, and where one block that is read ends and the next begins."""
    with h5py.File(path, "r+") as file:
        for number in range(3):
            file[f"numbers-{number}"] = np.zeros(50_000 + 8 * number)
            file.create_dataset(f"texts-{number}", data=["x" * 3000] * 3, dtype=h5py.string_dtype())
    data = path.read_bytes()
    starts = [at for at in range(0, len(data), 8) if data[at : at + 4] == b"GCOL"]
    assert len(starts) >= 4 and starts[-1] - starts[1] > 100_000
    spoilt = data
    for start in starts:
        spoilt = with_object(spoilt, start + 16, 0, 0)
    path.write_bytes(spoilt)
    for block in (starts[1] + 3, starts[2] + 7, 1000, 8 << 20):
        monkeypatch.setattr(heap_check, "_BLOCK", block)
        assert [heap.start for heap in broken_heaps(path)] == starts
    os.truncate(path, starts[-1] + 8)
    assert [heap.start for heap in broken_heaps(path)] == starts[:-1]
