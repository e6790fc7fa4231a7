"""Who serves a workspace: a lock that the supervisor holds as long as it lives, with its machine and process written in."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.runs.locks import is_locked, lock_within

_MOST_BYTES = 1000


class ServedAlready(UserError):
    """Another supervisor holds the workspace's lock."""


@dataclass(frozen=True)
class Server:
    """Machine and process of a supervisor."""

    host: str
    pid: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another machine, where its socket cannot be reached from here."""
        return self.host != socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid} on host '{self.host}'"


@contextmanager
def serving(workspace: Workspace, seconds: float = 0.5) -> Iterator[None]:
    """Hold the workspace's lock.

    Args:
        seconds: how long to try; whoever merely looks holds it for an instant.

    Raises:
        ServedAlready: when another supervisor holds it.
        OSError: when the lock cannot be written.
    """
    descriptor = os.open(_lock_path(workspace), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not lock_within(descriptor, seconds):
            by = _read(_lock_path(workspace))
            who = "" if by is None else f": {by}"
            raise ServedAlready(f"another supervisor already serves '{workspace.root}'{who}; this one steps back")
        text = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text)
        yield
    finally:
        os.close(descriptor)


def server_of(workspace: Workspace) -> Server | None:
    """The supervisor that serves a workspace now, on whatever machine; None where there is none or it does not say."""
    path = _lock_path(workspace)
    with suppress(OSError):
        return _read(path) if is_locked(path) else None
    return None


def _read(path: Path) -> Server | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        values = json.loads(path.read_bytes()[:_MOST_BYTES])
        return Server(str(values["host"]), int(values["pid"]))
    return None


def _lock_path(workspace: Workspace) -> Path:
    return workspace.root / "supervisor.lock"
