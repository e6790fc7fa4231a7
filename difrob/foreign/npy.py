"""Single arrays in NumPy's own format (NEP 1): a header that is a Python literal, then the numbers."""

from __future__ import annotations

import io
import os
import tokenize
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from difrob.errors import UserError

MAX_HEADER = 65_536
_MOST_QUOTED = 200  # characters of NumPy's complaints, which quote the header
_KINDS = "biufcSU"  # numbers and texts of fixed length: nothing that needs an interpreter


@dataclass(frozen=True)
class Layout:
    """What the header of an array says.

    Attributes:
        shape, dtype: of the array.
        fortran: columns lie together instead of rows.
        offset: bytes of the header, behind which the numbers begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the numbers, worked out without overflow."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def row_size(self) -> int:
        """Bytes of one row."""
        return prod(self.shape[1:]) * self.dtype.itemsize


def read_layout(file: IO[bytes], name: str) -> Layout:
    """The header at the beginning of ``file``. Raises UserError for a wrong one, or objects, which would need pickle.

    Args:
        name: of the array or file, for messages.
    """
    # NumPy's reader takes as much memory as the header claims to be long, so it is given the beginning of the file alone.
    head = io.BytesIO(file.read(MAX_HEADER + 12))
    try:
        version = np.lib.format.read_magic(head)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version} of the format is not known")
        shape, fortran, dtype = read(head, max_header_size=MAX_HEADER)
        offset = head.tell()
    except (
        ValueError,
        TypeError,
        SyntaxError,
        KeyError,
        EOFError,
        RecursionError,
        MemoryError,
        OverflowError,
        tokenize.TokenError,
    ) as error:
        why = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{name} is no array of NumPy: {why[0][:_MOST_QUOTED]}") from None
    if dtype.hasobject:
        raise UserError(
            f"{name} holds Python objects, which could run code when they are read; "
            "save it as plain numbers with the program that made it"
        )
    if dtype.kind not in _KINDS or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise UserError(f"{name} holds {dtype}, which is not supported; save it as plain numbers")
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
        raise UserError(f"{name} claims the shape {shape}, which no array has")
    return Layout(tuple(shape), dtype, bool(fortran), offset)


def read_npy(path: Path) -> np.ndarray:
    """The array in an ``.npy`` file, mapped read-only: only what is looked at is read.

    Raises:
        UserError: when the file cannot be read, is no array of numbers, or is shorter than its header says.
    """
    try:
        if not path.is_file():
            raise UserError(f"'{path}' is not a file" if path.exists() else f"there is no file '{path}'")
        with open(path, "rb") as file:
            layout = read_layout(file, f"'{path}'")
            there = os.fstat(file.fileno()).st_size - layout.offset
        if layout.size > there:
            raise UserError(f"'{path}' claims {layout.size} bytes of numbers {layout.shape}, but holds {there}")
        if layout.size == 0:
            return np.zeros(layout.shape, layout.dtype)
        return np.memmap(path, layout.dtype, "r", layout.offset, layout.shape, "F" if layout.fortran else "C")
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
