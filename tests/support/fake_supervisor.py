"""A supervisor in the test's own thread: it answers as it is told, remembers what it was asked, and can misbehave."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtNetwork import QLocalServer, QLocalSocket

from difrob.runs import RunState
from difrob.worker.messages import Entry, QueueState, decode, encode, own_version, refusal


def make_entry(run_id: str, state: RunState = RunState.QUEUED, **changes: Any) -> Entry:
    """An entry of the queue with a small specification."""
    spec = changes.pop("spec", {"kind": "train_denoiser", "name": changes.pop("name", run_id), "seed": 0})
    return Entry(run_id=run_id, spec=spec, state=state, created=changes.pop("created", 1.7e9), **changes)


class FakeSupervisor:
    """Listens on a socket path; ``calls`` holds every request but ``watch``.

    ``answers[name](args)`` gives the result of a call; an exception's text becomes its error.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.state = QueueState(lanes=["cpu"], pid=1)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.silent = False
        self.version = own_version()
        self.sockets: list[QLocalSocket] = []
        self._server = QLocalServer()
        self._server.newConnection.connect(self._on_connection)
        self.listen()

    def listen(self) -> None:
        """Begin (again) to answer on the path."""
        QLocalServer.removeServer(self.path)
        assert self._server.listen(self.path), self._server.errorString()

    def die(self) -> None:
        """Vanish as a killed process does."""
        self._server.close()
        for socket in self.sockets:
            with contextlib.suppress(RuntimeError):
                socket.abort()
        self.sockets.clear()

    close = die

    def named(self, name: str) -> list[dict[str, Any]]:
        """Arguments of all calls of one name."""
        return [args for called, args in self.calls if called == name]

    def set_entries(self, *entries: Entry, **changes: Any) -> None:
        """Have these entries, and tell everybody the full state."""
        self.state = self.state.model_copy(update={"entries": list(entries), **changes})
        self.event("state", state=self.state)

    def set_settings(self, **changes: Any) -> None:
        """Change fields of the state that are not entries, and tell everybody what changed."""
        self.state = self.state.model_copy(update=changes)
        self.event("settings", settings=changes)

    def event(self, name: str, **fields: Any) -> None:
        """Send an event to everybody."""
        self.raw(encode({"event": name, **fields}))

    def raw(self, data: bytes) -> None:
        """Send bytes to everybody, sense or nonsense."""
        for socket in self.sockets:
            socket.write(data)
            socket.flush()

    def _on_connection(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            self.sockets.append(socket)
            socket.readyRead.connect(lambda socket=socket: self._read(socket))
            socket.disconnected.connect(lambda socket=socket: self._forget(socket))
            self._read(socket)

    def _forget(self, socket: QLocalSocket) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)

    def _read(self, socket: QLocalSocket) -> None:
        while socket.canReadLine():
            request = decode(bytes(socket.readLine().data()))
            name, args = request["call"], request["args"]
            if self.silent:
                continue
            if name == "watch":
                socket.write(encode({"event": "state", "state": self.state}))
                socket.write(encode({"id": request["id"], "ok": True, "result": None}))
                continue
            self.calls.append((name, args))
            try:
                result = self.answers.get(name, lambda _args: None)(args)
                reply = {"id": request["id"], "ok": True, "result": result}
            except ValueError as error:
                reply = {**refusal(request["id"], str(error)), "version": self.version}
            with contextlib.suppress(RuntimeError):
                socket.write(encode(reply))
