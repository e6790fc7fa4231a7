"""Whether a run file may be read in a process that has to live, such as the window or the supervisor.

HDF5 2.0 meets some rare damage by reading for ever, in the midst of which no thread of the process gets a turn, and some by
crashing. A file whose seal holds cannot do that, and is read right away. Any other one (changed by another program, written
by an earlier difrob, or damaged) is looked through once by another process, which is ended when it does not come back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from difrob.runs.damage import seal
from difrob.runs.damage.inspection import Inspector
from difrob.runs.schema import Damaged

LIMIT_SECONDS = 5.0  # for each piece, and a second for each 5 MB of the file


class _Helper:
    """The process that looks into files for this one; it starts with the first file and ends with the last user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._inspector: Inspector | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._inspector is not None:
                    self._inspector.close()
                    self._inspector = None

    def peril(self, path: Path) -> str:
        with self(), self._lock:
            self._inspector = self._inspector or Inspector(LIMIT_SECONDS)
            return self._inspector.peril(path)


one_helper = _Helper()
"""For whoever is about to open many files, ``with one_helper():`` keeps one helper for all of them that need it."""


def require_harmless(path: Path) -> None:
    """Raise Damaged for a file that HDF5 would not come back from, OSError for one that cannot be read.

    Harmless is not whole: what cannot be read in a harmless file raises an error when it is read.
    """
    status = path.stat()
    if why := _peril(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino):
        raise Damaged(f"run file '{path}' is damaged: {why}")


@lru_cache(16_384)
def _peril(path: str, size: int, changed: int, inode: int) -> str:
    return "" if seal.holds(Path(path)) else one_helper.peril(Path(path))


def forget() -> None:
    """Look at every file anew."""
    _peril.cache_clear()
