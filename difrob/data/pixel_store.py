"""Images kept on the disk while a job runs, for looking up a few of them again."""

from __future__ import annotations

import tempfile

import numpy as np

from difrob.errors import UserError


class PixelStore:
    """Rows of bytes in a nameless temporary file, which goes with the process. A context manager.

    A million images of 32x32x3 take 3.1 GB of disk and no memory of the process.

    Args:
        row_bytes: bytes of an image.
    """

    def __init__(self, row_bytes: int) -> None:
        self._row_bytes = row_bytes
        self._file = tempfile.TemporaryFile(prefix="difrob-")  # noqa: SIM115 - closed by close()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: np.ndarray) -> None:
        """Keep further rows, uint8 [n, row_bytes].

        Raises:
            UserError: when the disk refuses.
        """
        if rows.dtype != np.uint8 or rows.shape[1:] != (self._row_bytes,):
            raise ValueError(f"rows are {rows.dtype} {rows.shape}, not bytes [n, {self._row_bytes}]")
        try:
            self._file.seek(self._rows * self._row_bytes)
            self._file.write(np.ascontiguousarray(rows).data)
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"images cannot be kept in '{tempfile.gettempdir()}' ({error.strerror or error}); free some room there, or "
                "name another folder in the environment variable TMPDIR, and resume the run"
            ) from None
        self._rows += len(rows)

    def rows(self, index: np.ndarray) -> np.ndarray:
        """The rows with these numbers, uint8 [n, row_bytes]."""
        found = np.empty((len(index), self._row_bytes), dtype=np.uint8)
        for place, row in enumerate(index):
            if not 0 <= row < self._rows:
                raise IndexError(f"there is no row {row} among {self._rows}")
            self._file.seek(int(row) * self._row_bytes)
            found[place] = np.frombuffer(self._file.read(self._row_bytes), dtype=np.uint8)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
