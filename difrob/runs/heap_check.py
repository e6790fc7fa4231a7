"""A look at the heaps of an HDF5 file before HDF5 reads texts from them.

Texts of variable length (the summary, the log, captions) lie in "global heaps". HDF5 walks through the objects of a heap by
the size that each one states, and a size of zero, as a blanked page of a disk leaves it, makes it walk on the spot for ever:
the whole program stands still, and no time limit in Python can help it.
"""

from __future__ import annotations

import mmap
import os
import struct
from functools import lru_cache
from pathlib import Path

LOOKED_AT = 64 << 20  # bytes at each end of the file: a larger file is not read in full for the sake of its summary
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_SIZE = struct.Struct("<Q")
_OBJECT = struct.Struct(
    "<HHIQ"
)  # number, references, nothing, size of the data that follow, which are padded to 8 bytes


def endless_heap(path: Path) -> int | None:
    """Where in the file a heap begins that HDF5 would walk for ever; None when there is none.

    Raises:
        OSError: when the file cannot be read.
    """
    status = path.stat()
    return _endless_heap(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(1024)
def _endless_heap(path: str, size: int, changed: int, inode: int) -> int | None:
    if not size:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        stretches = [(0, len(data))]
        if len(data) > 2 * LOOKED_AT:
            stretches = [(0, LOOKED_AT), (len(data) - LOOKED_AT, len(data))]
        for start, end in stretches:
            at = data.find(_SIGNATURE, start, end)
            while at >= 0:
                if _is_endless(data, at):
                    return at
                at = data.find(_SIGNATURE, at + 1, end)
    return None


def _is_endless(data: mmap.mmap, heap: int) -> bool:
    """Whether walking through the objects of a heap comes to one that takes no room."""
    first = heap + len(_SIGNATURE) + _SIZE.size
    if first > len(data):
        return False
    end = min(heap + _SIZE.unpack_from(data, heap + len(_SIGNATURE))[0], len(data))
    at = first
    while at + _OBJECT.size <= end:
        number, _, _, size = _OBJECT.unpack_from(data, at)
        if number == 0:  # what is left of the heap, free; it counts its own header in its size
            if size == 0:
                return True
            at += size
        else:
            at += _OBJECT.size + (size + 7) // 8 * 8
    return False
