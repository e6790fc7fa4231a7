"""A file for HDF5 to write to that never tells it of a failure.

HDF5 does not survive a write that fails while a file is being closed: it keeps half a file open, prints complaints without
end, and crashes the process later (h5py issue 914). A full disk must pause a run, not crash it. So a failure is kept back
from HDF5, which goes on in memory as far as it must to close the file in peace, and is raised afterwards.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType

from difrob.runs.damage import seal

LARGEST_KEPT = 4 << 20  # larger writes than this are numbers, which HDF5 never reads back while it closes a file


class UnfailingFile:
    """A new file, in the form that ``h5py.File`` takes instead of a name.

    Call :meth:`check` now and then while writing, so that a failure ends the work soon.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_new(path)
        self._position = 0
        self._size = 0
        self._failure: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # what was written since the failure
        self._numbers: list[tuple[int, int]] = []  # what the seal leaves out: first byte, end

    def __enter__(self) -> UnfailingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise the failure that was kept back, if there is one."""
        if self._failure is not None:
            raise OSError(self._failure.errno, self._failure.strerror)

    def put_seal(self) -> None:
        """Write the seal behind the file, which HDF5 has closed. Raises OSError for any failure so far."""
        mark = seal.seal_of(self, self._size, self._numbers)
        self.check()
        self.seek(0, os.SEEK_END)
        self.write(mark)

    def make_durable(self) -> None:
        """Force everything onto the disk. Raises OSError for any failure so far."""
        self.check()
        os.fsync(self._file.fileno())

    # What HDF5 calls

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: bytearray | memoryview) -> int:
        view, start = memoryview(buffer).cast("B"), self._position
        try:
            self._file.seek(start)
            done = 0
            while done < len(view) and (count := self._file.readinto(view[done:])):
                done += count
        except OSError as error:
            self._failure = self._failure or error
            done = 0
        view[done:] = bytes(len(view) - done)
        for at, data in self._kept:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        self._position += len(view)
        return len(view)

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        if self._failure is None:
            try:
                self._file.seek(self._position)
                rest = view
                while rest:
                    rest = rest[self._file.write(rest) or 0 :]
            except OSError as error:
                self._failure = error
        if self._failure is not None and len(view) <= LARGEST_KEPT:
            self._kept.append((self._position, bytes(view)))
        if seal.is_left_out(view):
            self._numbers.append((self._position, self._position + len(view)))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        if self._failure is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self._failure = error
        return self._size

    def flush(self) -> None:
        """Nothing is buffered here."""


def open_new(path: Path) -> io.FileIO:
    """A new, unbuffered file, with the rights that the user gives to files."""
    return io.FileIO(path, "x+")
