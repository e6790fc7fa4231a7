"""Whether a run file may be read in a process that has to live, such as the window or the supervisor.

HDF5 2.0 meets some rare damage by reading for ever, in the midst of which no thread of the process gets a turn, and some by
crashing. A file whose seal holds cannot do that, and is read right away. Any other one (changed by another program, written
by an earlier difrob, or damaged) is looked through once by another process, which is ended when it does not come back.
"""

from __future__ import annotations

import atexit
import os
import threading
from functools import lru_cache
from pathlib import Path

from difrob.runs import seal
from difrob.runs.inspection import Inspector
from difrob.runs.schema import Damaged

LIMIT_SECONDS = 5.0  # for each piece, and a second for each 5 MB of the file

_lock = threading.Lock()
_inspectors: dict[int, Inspector] = {}  # by process: a forked one must not talk to the helper of its parent


def require_harmless(path: Path) -> None:
    """Raise Damaged for a file that HDF5 would not come back from, OSError for one that cannot be read.

    Harmless is not whole: what cannot be read in a harmless file raises an error when it is read.
    """
    status = path.stat()
    if why := _peril(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ino):
        raise Damaged(f"run file '{path}' is damaged: {why}")


@lru_cache(16_384)
def _peril(path: str, size: int, changed: int, inode: int) -> str:
    if seal.holds(Path(path)):
        return ""
    with _lock:
        return _inspector().peril(Path(path))


def _inspector() -> Inspector:
    """The helper of this process, which lives as long as this does: many files may want it one after the other."""
    if os.getpid() not in _inspectors:
        inspector = _inspectors[os.getpid()] = Inspector(LIMIT_SECONDS)
        atexit.register(inspector.close)
    return _inspectors[os.getpid()]
