"""A damaged run file as HDF5 can read it: a missing end as if it were zeros, and broken heaps mended.

HDF5 opens no file that is shorter than it ought to be (after a copy that broke, or on a full disk), although most of it is
there. Whoever reads through here must ask :attr:`MendedFile.touched` after each piece: what was read from beyond the end is
not what was written.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from difrob.runs.damage.heap_check import BrokenHeap

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_EOF_AT = {0: 40, 1: 44, 2: 28, 3: 28}  # where the superblock says how long the file is, by its version
_MOST = 1 << 50


class MendedFile:
    """In the form that ``h5py.File`` takes instead of a name. ``touched``: something beyond the real end was asked for."""

    def __init__(self, path: Path, full_size: int | None, heaps: Iterable[BrokenHeap]) -> None:
        """Open the file; ``full_size`` is None for one that is not cut off."""
        self._file = io.FileIO(path, "r")
        self._real = os.fstat(self._file.fileno()).st_size
        self._full = self._real if full_size is None else full_size
        self._mends = [(heap.at, heap.mend) for heap in heaps]
        self._position = 0
        self.touched = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # What HDF5 calls

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._full}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: bytearray | memoryview) -> int:
        view, start = memoryview(buffer).cast("B"), self._position
        done = 0
        if start < self._real:
            self._file.seek(start)
            while done < len(view) and (count := self._file.readinto(view[done:])):
                done += count
        self.touched |= done < len(view)
        view[done:] = bytes(len(view) - done)
        for at, data in self._mends:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        self._position += len(view)
        return len(view)


def full_size(path: Path) -> int | None:
    """How long a cut-off HDF5 file ought to be; None for one that is not cut off, or whose beginning is unreadable."""
    with open(path, "rb") as file:
        head = file.read(64)
        size = os.fstat(file.fileno()).st_size
    if len(head) < 64 or not head.startswith(_SIGNATURE) or head[8] not in _EOF_AT:
        return None
    if head[13 if head[8] < 2 else 9] != 8:
        return None
    (stored,) = struct.unpack_from("<Q", head, _EOF_AT[head[8]])
    return stored if size < stored <= _MOST else None
