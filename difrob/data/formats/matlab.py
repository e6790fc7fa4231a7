"""Arrays of numbers in MATLAB files of version 5 (MathWorks, "MAT-File Format"), read piece by piece.

A file is a header of 128 bytes and a row of elements, each with a type, a size and its data; an element of one variable holds
flags, lengths of the axes, name and values, and may be packed by zlib as a whole. Nothing that a file announces costs memory
before it has been seen, and nothing is trusted: the usual reader, that of SciPy, crashes on some damaged files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from difrob.errors import UserError

HEADER_BYTES = 128
MAX_ELEMENTS = 1000
MAX_AXES, MAX_NAME = 32, 1024
_STEP = 1 << 20
_MATRIX, _PACKED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800


@dataclass(frozen=True)
class MatlabArray:
    """What a file announces about one variable.

    Attributes:
        shape: lengths of its axes.
        dtype: type of its values; None for texts, cells, complex numbers and whatever else is no array of real numbers.
        place: (where its element begins, its size, whether it is packed).
    """

    shape: tuple[int, ...]
    dtype: np.dtype | None
    place: tuple[int, int, bool]


def read_headers(path: Path) -> dict[str, MatlabArray]:
    """The variables of a file by name; no values are read.

    Raises:
        UserError: for files of another version, and for damaged ones.
    """
    found: dict[str, MatlabArray] = {}
    with open(path, "rb") as file:
        order, size = _byte_order(file, path), path.stat().st_size
        at = HEADER_BYTES
        for _ in range(MAX_ELEMENTS):
            if at == size:
                return found
            file.seek(at)
            tag = file.read(8)
            kind, length = struct.unpack(f"{order}II", tag) if len(tag) == 8 else (0, 0)
            if kind not in (_MATRIX, _PACKED) or length > size - at - 8:
                raise _damaged(path, f"no whole variable at byte {at}")
            place = (at, 8 + length, kind == _PACKED)
            name, array, _ = _variable(_Element(file, place, path), order, place, path)
            found[name] = array
            at += 8 + length
    raise _damaged(path, f"more than {MAX_ELEMENTS} variables")


def read_values(path: Path, array: MatlabArray, at_once: int) -> Iterator[np.ndarray]:
    """The values in the order of the file, in which the first axis runs fastest: flat arrays of ``at_once`` or fewer.

    Args:
        path: the file.
        array: one of its variables that holds numbers.
        at_once: how many values at a time.

    Raises:
        UserError: for values that are not as announced.
    """
    with open(path, "rb") as file:
        order = _byte_order(file, path)
        element = _Element(file, array.place, path)
        _, again, stored = _variable(element, order, array.place, path)
        if again != array or stored is None or array.dtype is None:
            raise _damaged(path, "it changed while it was read, or a variable holds no numbers")
        count = prod(array.shape)
        for first in range(0, count, at_once):
            data = element.read(min(at_once, count - first) * stored.itemsize)
            yield np.frombuffer(data, stored).astype(array.dtype)
        element.expect_end()


def _byte_order(file: BinaryIO, path: Path) -> str:
    header = file.read(HEADER_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128], "")
    if not order:
        raise UserError(f"'{path.name}' is damaged or no MATLAB file of version 5; get it again")
    (version,) = struct.unpack(f"{order}H", header[124:126])
    if version == 0x0200:
        raise UserError(f"'{path.name}' is a MATLAB file of version 7.3; the published ones are of version 5")
    if version != 0x0100:
        raise _damaged(path, f"unknown version {version:#06x}")
    return order


class _Element:
    """The bytes of an element without its outer packing, read from its beginning."""

    def __init__(self, file: BinaryIO, place: tuple[int, int, bool], path: Path) -> None:
        offset, size, packed = place
        skipped = 8 if packed else 0
        file.seek(offset + skipped)
        self._file, self._left, self._path = file, size - skipped, path
        self._unpacker = zlib.decompressobj() if packed else None

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        data = self._up_to(count)
        if len(data) < count:
            raise _damaged(self._path, f"{count - len(data)} bytes are missing")
        return data

    def expect_end(self) -> None:
        """Nothing but filling up to a multiple of 8 bytes may follow; of packed data the checksum is held against them."""
        if len(self._up_to(8)) == 8:
            raise _damaged(self._path, "more values than announced")

    def _up_to(self, count: int) -> bytes:
        parts, missing = [], count
        while missing and (part := self._some(min(missing, _STEP))):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        """At least one byte, except at the end."""
        if self._unpacker is None:
            return self._raw(most)
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._raw(_STEP)
            try:
                data = self._unpacker.decompress(packed, most)
            except zlib.error as error:
                raise _damaged(self._path, str(error)) from None
            if data:
                return data
            if not packed:
                raise _damaged(self._path, "packed values end too early")
        return b""

    def _raw(self, most: int) -> bytes:
        data = self._file.read(min(most, self._left))
        self._left -= len(data)
        return data


def _variable(
    element: _Element, order: str, place: tuple[int, int, bool], path: Path
) -> tuple[str, MatlabArray, np.dtype | None]:
    """(Name, what is announced, type in which the values are stored); the values come next."""
    kind, _ = struct.unpack(f"{order}II", element.read(8))
    if kind != _MATRIX:
        raise _damaged(path, f"an element of type {kind} instead of a variable")
    flag_bytes = _part(element, order, _UINT32, 8, path)
    if len(flag_bytes) != 8:
        raise _damaged(path, f"{len(flag_bytes)} bytes of flags")
    flags = struct.unpack(f"{order}II", flag_bytes)[0]
    axes = _part(element, order, _INT32, 4 * MAX_AXES, path)
    shape = struct.unpack(f"{order}{len(axes) // 4}i", axes[: len(axes) // 4 * 4])
    name = _part(element, order, _INT8, MAX_NAME, path).decode("latin-1")
    if not shape or min(shape) < 0:
        raise _damaged(path, f"'{name}' has axes {list(shape)}")
    if (flags & 0xFF) not in _CLASSES or flags & _COMPLEX:
        return name, MatlabArray(shape, None, place), None
    dtype = np.dtype(_CLASSES[flags & 0xFF])
    kind, size, small = _tag(element, order)
    if kind not in _STORED or not np.can_cast(_STORED[kind], dtype, "same_kind"):
        raise _damaged(path, f"values of type {kind} for {dtype} in '{name}'")
    stored = np.dtype(order + _STORED[kind])
    if size != prod(shape) * stored.itemsize:
        raise _damaged(path, f"'{name}' {list(shape)} has {size} bytes of values")
    if small and size > 4:
        raise _damaged(path, f"'{name}' has a small element of {size} bytes")
    return name, MatlabArray(shape, dtype, place), stored


def _part(element: _Element, order: str, wanted: int, most: int, path: Path) -> bytes:
    """The data of a short part of a variable, with its filling read too."""
    kind, size, small = _tag(element, order)
    if kind != wanted or size > (4 if small else most):
        raise _damaged(path, f"a part of type {kind} with {size} bytes where one of type {wanted} should be")
    return element.read(4 if small else -(-size // 8) * 8)[:size]


def _tag(element: _Element, order: str) -> tuple[int, int, bool]:
    """(Type, bytes, whether the data lie in the second half of the tag, which is then still to be read)."""
    (first,) = struct.unpack(f"{order}I", element.read(4))
    if first >> 16:
        return first & 0xFFFF, first >> 16, True
    return first, struct.unpack(f"{order}I", element.read(4))[0], False


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"'{path.name}' is damaged or cut off ({what}); get it again")
