"""An advisory lock on an open file: how anybody can tell whether the writer of a run, or a supervisor, is alive.

The operating system drops the lock when the process ends, however it ends, so a stale lock cannot exist.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

BINARY = getattr(os, "O_BINARY", 0)
_FAR_BYTE = 1 << 40  # Windows locks bar others from reading the bytes they cover, so cover one that is never read


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; False when another process holds it.

    Args:
        shared: only look: fails beside an exclusive lock, but lookers do not take each other for a live writer.
    """
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
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(descriptor: int, seconds: float) -> bool:
    """Take the exclusive lock, trying again for a while: somebody who merely looks holds it for an instant."""
    deadline = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def open_locked(path: Path, flags: int, seconds: float) -> int | None:
    """Open a file and take its exclusive lock; None when another process keeps the lock for longer than ``seconds``.

    The former holder may have deleted the file while this process waited; then the lock would be one on a file that
    nobody else can see. So the descriptor returned is always that of the file which lies at ``path`` now.

    Raises:
        OSError: e.g. when there is no such file and ``flags`` do not create it.
    """
    deadline = time.monotonic() + seconds
    while True:
        descriptor = os.open(path, flags | BINARY, 0o666)
        try:
            if not lock_within(descriptor, deadline - time.monotonic()):
                os.close(descriptor)
                return None
            if _lies_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lies_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_locked(descriptor: int, path: Path) -> None:
    """Delete a file whose lock is held (unless another one lies at ``path`` by now), and give up the lock."""
    ours = _lies_at(descriptor, path)
    try:
        if ours and os.name != "nt":
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    if ours and os.name == "nt":  # pragma: no cover - an open file cannot be deleted there
        path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock of a file; False for a missing file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | BINARY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)
