"""The private local socket, as seen from a blocking client: command line and workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import Any, Protocol

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.messages import MAX_LINE, decode, encode, refusal_text
from difrob.worker.serving import server_of

START_SECONDS = 20.0
OTHER_FIRST = 4  # exit code of a supervisor that steps back before another


class NoSupervisor(UserError):
    """Nobody listens on the workspace's socket."""


class ServedElsewhere(NoSupervisor):
    """A supervisor on another machine serves the workspace."""


class _Pipe(Protocol):
    def connect(self, address: str, /) -> None: ...
    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class _NamedPipe:  # pragma: no cover - exercised on Windows only
    """A Windows named pipe with the few methods of a socket that are needed here; it cannot time out."""

    def connect(self, address: str) -> None:
        self._file = open(address, "r+b", buffering=0)  # noqa: SIM115 - kept open for the life of the object

    def sendall(self, data: bytes) -> None:
        self._file.write(data)

    def recv(self, size: int) -> bytes:
        return self._file.read(size) or b""

    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class Connection:
    """A connection to the supervisor of a workspace: requests, replies, and (after ``watch``) events."""

    def __init__(self, workspace: Workspace) -> None:
        """Connect.

        Raises:
            NoSupervisor: when no supervisor runs, or (ServedElsewhere) one on another machine.
        """
        self._pipe: _Pipe = _NamedPipe() if os.name == "nt" else socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open = True
        try:
            self._pipe.connect(workspace.socket_path)
        except OSError:
            self.close()
            _refuse_if_served_elsewhere(workspace)
            raise NoSupervisor(f"no supervisor runs for '{workspace.root}'; 'difrob serve' starts one") from None
        self._workspace = workspace
        self._buffer = bytearray()
        self._next = 0
        self.events: list[dict[str, Any]] = []

    def call(self, name: str, **args: Any) -> Any:
        """Send one request and wait for its reply; events that come meanwhile are kept in :attr:`events`.

        Raises:
            UserError: what the supervisor answers when it refuses, or when it goes away.
        """
        number = self.send(name, **args)
        while True:
            message = self.receive(None)
            if message is None:
                raise UserError("the supervisor went away; try again")
            if message.get("id") != number:
                self.events.append(message)
            elif message.get("ok"):
                return message.get("result")
            else:
                server = server_of(self._workspace)
                raise UserError(refusal_text(message, None if server is None else server.pid))

    def send(self, name: str, **args: Any) -> int:
        """Send a request without waiting; returns its number."""
        self._next += 1
        try:
            self._pipe.sendall(encode({"id": self._next, "call": name, "args": args}))
        except OSError:
            raise NoSupervisor("the supervisor went away; try again") from None
        return self._next

    def receive(self, seconds: float | None) -> dict[str, Any] | None:
        """The next message; None when the time is over or the supervisor has gone (then :attr:`is_open` is False)."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._pipe.settimeout(seconds)
            try:
                data = self._pipe.recv(1 << 18)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data or len(self._buffer) > MAX_LINE:
                self.close()
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return decode(line)

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return self._open

    def close(self) -> None:
        """Hang up."""
        self._open = False
        self._pipe.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def supervisor_command(workspace: Workspace) -> list[str]:
    """The command that starts the supervisor of a workspace."""
    return [sys.executable, "-P", "-m", "difrob.worker.supervisor", "--workspace", str(workspace.root)]


def _refuse_if_served_elsewhere(workspace: Workspace) -> None:
    server = server_of(workspace)
    if server is not None and server.is_elsewhere:
        raise ServedElsewhere(
            f"workspace '{workspace.root}' is served from host '{server.host}' (process {server.pid}); use it there, or "
            "end that process first"
        )


def connect(workspace: Workspace, *, start: bool = True) -> Connection:
    """Connect to the supervisor, starting one (detached, outliving this process) when there is none.

    Raises:
        UserError: when it cannot be started; the message holds what it said.
        ServedElsewhere: when one on another machine serves the workspace already.
    """
    try:
        return Connection(workspace)
    except ServedElsewhere:
        raise
    except NoSupervisor:
        if not start:
            raise
    workspace.require_writable()
    log_path = workspace.root / "supervisor.log"
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            supervisor_command(workspace), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            return Connection(workspace)
        except ServedElsewhere:
            raise
        except NoSupervisor:
            if process.poll() not in (None, 0, OTHER_FIRST):  # another one, started at the same time, will listen soon
                break
            time.sleep(0.05)
    tail = log_path.read_text(errors="replace").strip().splitlines()[-1:]
    raise UserError(f"the supervisor did not start: {' '.join(tail) or 'no answer'} (log: {log_path})")
