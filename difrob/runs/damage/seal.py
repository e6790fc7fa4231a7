"""The seal behind the end of a run file, by which a file is known to be as difrob wrote it.

HDF5 has checksums for little of what it keeps, and where they fail it may crash or read for ever. A file whose seal holds is
read without a second thought; how any other one is read, :mod:`difrob.runs.damage.guard` tells. HDF5 itself passes over what
lies behind its end, and drops it when it changes the file.

Layout (little-endian): length of the file without the seal (u64), CRC-32 of it (u32), then the stretches that the CRC leaves
out (first byte and end, u64 each): numbers written by megabytes, such as weights and samples, which HDF5 draws no conclusions
from and which would take long to sum up. Then CRC-32 and length of all this (u32 each), and the magic.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

MAGIC = b"DIFROBS1"
MOST_BYTES = 64 << 20  # to sum up; more than this takes longer than another process takes to look
_LARGE = 2 << 20  # HDF5 gathers small writes of its own up to a megabyte
_HEAD = struct.Struct("<QI")
_STRETCH = struct.Struct("<QQ")
_TAIL = struct.Struct("<II8s")
_BLOCK = 1 << 20


class Reads(Protocol):
    """What the sum needs of a file."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, size: int, /) -> bytes | None: ...


def is_left_out(data: memoryview) -> bool:
    """Whether the bytes of one write are nothing but numbers: HDF5's own large blocks begin with four capitals."""
    first = bytes(data[:4])
    return len(data) >= _LARGE and not (first.isalpha() and first.isupper())


def seal_of(file: Reads, size: int, left_out: Iterable[tuple[int, int]]) -> bytes:
    """The seal for a file of ``size`` bytes but for the stretches (first byte, end) ``left_out``.

    Empty for a file with too much to sum up.
    """
    stretches = _joined(left_out, size)
    if size - sum(end - first for first, end in stretches) > MOST_BYTES:
        return b""
    body = _HEAD.pack(size, _sum(file, size, stretches)) + b"".join(_STRETCH.pack(*stretch) for stretch in stretches)
    return body + _TAIL.pack(zlib.crc32(body), len(body), MAGIC)


def holds(path: Path) -> bool:
    """Whether a file has a seal and is what it was when it got it.

    Raises:
        OSError: when the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        body = _body(file, size)
        if body is None:
            return False
        sealed, checksum = _HEAD.unpack_from(body)
        stretches = list(_STRETCH.iter_unpack(body[_HEAD.size :]))
        if sealed + len(body) + _TAIL.size != size or stretches != _joined(stretches, sealed):
            return False
        return _sum(file, sealed, stretches) == checksum


def _body(file: io.FileIO | BinaryIO, size: int) -> bytes | None:
    """What a seal says; None where there is none."""
    if size < _HEAD.size + _TAIL.size:
        return None
    file.seek(size - _TAIL.size)
    checksum, length, magic = _TAIL.unpack(file.read(_TAIL.size))
    if magic != MAGIC or length % _STRETCH.size != _HEAD.size % _STRETCH.size or length + _TAIL.size > size:
        return None
    if not _HEAD.size <= length <= _BLOCK:
        return None
    file.seek(size - _TAIL.size - length)
    body = file.read(length)
    return body if zlib.crc32(body) == checksum else None


def _joined(stretches: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Stretches in order, those that touch made one, and nothing beyond ``size``."""
    joined: list[tuple[int, int]] = []
    for first, end in sorted(stretches):
        first, end = min(first, size), min(end, size)
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif first < end:
            joined.append((first, end))
    return joined


def _sum(file: Reads, size: int, left_out: list[tuple[int, int]]) -> int:
    checksum = 0
    for first, end in _between(left_out, size):
        file.seek(first)
        while first < end:
            part = file.read(min(_BLOCK, end - first))
            if not part:
                return -1  # it has become shorter meanwhile, and no sum fits it
            checksum = zlib.crc32(part, checksum)
            first += len(part)
    return checksum


def _between(stretches: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    at = 0
    for first, end in stretches:
        yield at, first
        at = end
    yield at, size
