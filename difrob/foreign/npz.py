"""Archives of arrays (``.npz``: zip files of ``.npy`` files), read whole or in blocks of rows.

Every size that the archive claims is held against the file's real length before anything is read: a stored array must lie in
the file, and a deflated one cannot be more than 1,032 times its packed size (the most that deflate gives). Nothing is ever
unpacked to disk.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.foreign.npy import Layout, read_layout

MAX_ENTRIES = 10_000
MAX_DIRECTORY = 16 << 20
MAX_ARRAY = 1 << 38  # 256 GiB: 50 million pictures [32,32,3] take 143 GiB
MAX_READ = 8 << 30
MAX_DEFLATE = 1032
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_LOCAL_HEADER = 30
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    layout: Layout


class NpzFile:
    """An open archive; a context manager. Nothing but the headers is read before it is asked for.

    Attributes:
        arrays: shape and type of each array, by name.
    """

    def __init__(self, path: Path) -> None:
        """Open an archive.

        Raises:
            UserError: when it cannot be read, is no archive of arrays, or claims what it cannot hold.
        """
        self._path = path
        self._entries: dict[str, _Entry] = {}
        try:
            if not path.is_file():
                raise UserError(f"'{path}' is not a file" if path.exists() else f"there is no file '{path}'")
            _check_directory(path)
            self._zip = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise UserError(f"'{path}' is no .npz archive that can be read: {error}") from None
        try:
            self._read_headers()
        except BaseException:
            self._zip.close()
            raise
        self.arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            name: (entry.layout.shape, entry.layout.dtype) for name, entry in self._entries.items()
        }

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _read_headers(self) -> None:
        infos = self._zip.infolist()
        _check_places(infos, self._path)
        for info in infos:
            name = _array_name(info, self._path)
            if name in self._entries:
                raise UserError(f"'{self._path}' holds two arrays '{name}'")
            self._check_entry(info)
            label = f"array '{name}' in '{self._path}'"
            try:
                with self._zip.open(info) as stream:
                    layout = read_layout(stream, label)
            except _BROKEN as error:
                raise UserError(f"{label} cannot be read: {error}") from None
            if layout.offset + layout.size != info.file_size:
                raise UserError(
                    f"{label} claims {layout.size} bytes of numbers {layout.shape}, but the archive has "
                    f"{info.file_size - layout.offset} for it"
                )
            if layout.size > MAX_ARRAY:
                raise UserError(f"{label} has {layout.size} bytes; more than {MAX_ARRAY} are not read")
            self._entries[name] = _Entry(info, layout)

    def _check_entry(self, info: zipfile.ZipInfo) -> None:
        label = f"'{info.filename}' in '{self._path}'"
        if info.flag_bits & 1:
            raise UserError(f"{label} is encrypted; save it without a password")
        if info.compress_type not in _METHODS:
            raise UserError(f"{label} is packed in a way other than deflate; save it with numpy.savez")
        most = info.compress_size if info.compress_type == zipfile.ZIP_STORED else MAX_DEFLATE * info.compress_size + 64
        if info.file_size > most:
            raise UserError(
                f"{label} claims {info.file_size} bytes, which {info.compress_size} packed ones cannot hold"
            )

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise UserError(
                f"'{self._path}' has no array '{name}', only {', '.join(sorted(self._entries)) or 'nothing'}"
            )
        return self._entries[name]

    def blocks(self, name: str, rows: int) -> Iterator[np.ndarray]:
        """An array in blocks of up to ``rows`` rows, in order, holding one block in memory at a time.

        Raises:
            UserError: for an unknown name, an array without rows or with columns lying together, or damaged data.
        """
        entry = self._entry(name)
        layout = entry.layout
        label = f"array '{name}' in '{self._path}'"
        if rows < 1:
            raise ValueError(f"blocks need at least one row, not {rows}")
        if not layout.shape:
            raise UserError(f"{label} is a single number and has no rows")
        if layout.fortran and len(layout.shape) > 1:
            raise UserError(f"{label} has its columns lying together; save it with numpy.ascontiguousarray")
        try:
            with self._zip.open(entry.info) as stream:
                _read_exactly(stream, layout.offset)
                for start in range(0, layout.shape[0], rows):
                    count = min(rows, layout.shape[0] - start)
                    data = _read_exactly(stream, count * layout.row_size)
                    yield np.frombuffer(data, layout.dtype).reshape(count, *layout.shape[1:])
                if stream.read(1):
                    raise EOFError("it is longer than it claims")
        except _BROKEN as error:
            raise UserError(f"{label} is damaged: {error}") from None

    def read(self, name: str, limit: int = MAX_READ) -> np.ndarray:
        """A whole array. Raises UserError like :meth:`blocks`, and for more than ``limit`` bytes."""
        layout = self._entry(name).layout
        if layout.size > limit:
            raise UserError(
                f"array '{name}' in '{self._path}' has {layout.size} bytes; more than {limit} are not read at once"
            )
        entry = self._entry(name)
        try:
            with self._zip.open(entry.info) as stream:
                _read_exactly(stream, layout.offset)
                data = _read_exactly(stream, layout.size)
                stream.read(1)  # the end, where the checksum is compared
        except _BROKEN as error:
            raise UserError(f"array '{name}' in '{self._path}' is damaged: {error}") from None
        return np.frombuffer(data, layout.dtype).reshape(layout.shape, order="F" if layout.fortran else "C")


def open_npz(path: Path) -> NpzFile:
    """Open an archive of arrays, see :class:`NpzFile`. Raises UserError."""
    return NpzFile(path)


def _read_exactly(stream: Any, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        part = stream.read(min(size - len(data), 16 << 20))  # memory grows with what is there, not with what is claimed
        if not part:
            raise EOFError(f"it ends {size - len(data)} bytes early")
        data += part
    return data


def _array_name(info: zipfile.ZipInfo, path: Path) -> str:
    name = info.filename
    parts = name.replace("\\", "/").split("/")
    if len(parts) > 1 or ".." in parts or ":" in name or not name.isprintable():
        raise UserError(f"'{path}' holds an entry {name!r}, whose name leads elsewhere; it is no archive of arrays")
    if not name.endswith(".npy") or name == ".npy":
        raise UserError(f"'{path}' holds '{name}', which is no array; it is no archive of numpy.savez")
    return name.removesuffix(".npy")


def _check_places(infos: list[zipfile.ZipInfo], path: Path) -> None:
    """Each entry lies in the file, and no two share bytes, as bombs do that unpack one part many times."""
    size, end = path.stat().st_size, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        begin = info.header_offset
        if begin < end:
            raise UserError(f"entries of '{path}' overlap; it is damaged or a trap")
        end = begin + _LOCAL_HEADER + len(info.filename) + info.compress_size
        if end > size:
            raise UserError(f"'{path}' claims that '{info.filename}' ends at byte {end}, but has only {size}")


def _check_directory(path: Path) -> None:
    """The list of entries is of a sane length; Python's reader would take it into memory whatever it claims."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _END.size - 65_535))
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise UserError(f"'{path}' is no .npz archive, or its end is missing")
        _, _, _, _, entries, length, _, _ = _END.unpack_from(tail, at)
        before = at - _LOCATOR_64.size
        if before >= 0 and tail[before : before + 4] == b"PK\6\7":
            _, _, where, _ = _LOCATOR_64.unpack_from(tail, before)
            file.seek(min(where, size))
            head = file.read(_END_64.size)
            if len(head) < _END_64.size:
                raise UserError(f"'{path}' is damaged: its list of entries is not where it ought to be")
            *_, entries, length, _ = _END_64.unpack(head)
    if entries > MAX_ENTRIES or length > min(MAX_DIRECTORY, size):
        raise UserError(f"'{path}' claims {entries} entries in a list of {length} bytes; that is no archive of arrays")
