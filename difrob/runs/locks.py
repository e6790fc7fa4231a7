"""An advisory lock on an open file: how anybody can tell whether the writer of a run, or a supervisor, is alive.

The operating system drops the lock when the process ends, however it ends, so a stale lock cannot exist.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_FAR_BYTE = 1 << 40  # Windows locks bar others from reading the bytes they cover, so cover one that is never read


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file without waiting; False when another process holds it."""
    if sys.platform == "win32":  # pragma: no cover - exercised on Windows only
        import msvcrt

        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _FAR_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(descriptor: int, seconds: float) -> bool:
    """Take the lock, trying again for a while: somebody who merely looks holds it for an instant."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock of a file; False for a missing file."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return False
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
