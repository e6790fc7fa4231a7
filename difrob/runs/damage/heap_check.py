"""The heaps of an HDF5 file, looked through without HDF5.

Texts of variable length (the summary, the log, captions) lie in "global heaps". HDF5 walks through the objects of a heap by
the size that each one states. Two sizes make it walk on the spot for ever: none at all, as a blanked page of a disk leaves
it, and one that with the object's own header overflows to nothing. The whole program then stands still, and no time limit
in Python can help it. A size that leads out of the heap makes it give up all texts of that heap, the sound ones too.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEAP = struct.Struct("<8sQ")  # signature, size of the heap with this header
_OBJECT = struct.Struct(
    "<HHIQ"
)  # number, references, nothing, size of the data that follow, which are padded to 8 bytes
_BLOCK = 8 << 20
_MOST = 1 << 32  # a heap holds one text, or a few kilobytes of them
_WORD = 1 << 64


@dataclass(frozen=True)
class BrokenHeap:
    """A heap through which HDF5 does not get.

    Attributes:
        start: the byte of the file at which it begins.
        at: the byte at which the object begins where the walk ends; the texts before it are sound.
        rest: bytes from there to the end of the heap.
        is_endless: HDF5 never leaves this place.
    """

    start: int
    at: int
    rest: int
    is_endless: bool

    @property
    def mend(self) -> bytes:
        """What must stand at :attr:`at` for HDF5 to read the texts before it and to miss those behind it."""
        return _OBJECT.pack(0, 0, 0, self.rest)  # object 0 is the free room of a heap, and counts its own header


def broken_heaps(path: Path, full_size: int | None = None) -> list[BrokenHeap]:
    """All heaps of a file through which HDF5 does not get, in order; the file is read from end to end.

    Args:
        full_size: of a file that is cut off and will be read as if zeros followed.

    Raises:
        OSError: when the file cannot be read.
    """
    with open(path, "rb") as file:
        size = full_size or os.fstat(file.fileno()).st_size
        starts = list(_signatures(file))
        found = (_broken(file, start, size) for start in starts)
        return [heap for heap in found if heap is not None]


def _signatures(file: BinaryIO) -> Iterator[int]:
    """Where heaps begin."""
    kept, at = b"", 0  # the end of the block before, in which a signature may begin
    while block := file.read(_BLOCK):
        data = kept + block
        found = data.find(_SIGNATURE)
        while found >= 0:
            yield at - len(kept) + found
            found = data.find(_SIGNATURE, found + 1)
        at += len(block)
        kept = data[1 - len(_SIGNATURE) :]


def _broken(file: BinaryIO, start: int, file_size: int) -> BrokenHeap | None:
    file.seek(start)
    size = _HEAP.unpack(file.read(_HEAP.size).ljust(_HEAP.size, b"\0"))[1]
    if size < _HEAP.size or size > min(file_size - start, _MOST):
        return None  # HDF5 refuses it
    data = file.read(size - _HEAP.size).ljust(size - _HEAP.size, b"\0")
    at = 0
    while len(data) - at >= _OBJECT.size:  # less is room that no object fits into
        number, _, _, length = _OBJECT.unpack_from(data, at)
        taken = length if number == 0 else (_OBJECT.size + (length + 7) // 8 * 8) % _WORD
        if taken == 0 or taken > len(data) - at:
            return BrokenHeap(start, start + _HEAP.size + at, len(data) - at, taken == 0)
        at += taken
    return None
