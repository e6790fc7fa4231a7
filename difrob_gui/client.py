"""The window's link to the supervisor: JSON lines over a private local socket, never blocking.

The link mends itself. When nobody listens, a supervisor is started (detached: it outlives the window); when the
supervisor dies, the link is tried again with growing pauses; a malformed line costs a fresh full copy of the state,
never the window.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QLocalSocket

from difrob.errors import UserError
from difrob.worker.messages import MAX_LINE, QueueState, decode, encode, refusal_text
from difrob_gui.mirror import QueueMirror
from difrob_gui.supervisor_like import Answered

log = logging.getLogger(__name__)

NO_SUPERVISOR = "no supervisor is running"


class Link(Enum):
    """How the window stands with the supervisor."""

    CLOSED = "not connected"
    CONNECTING = "connecting"
    STARTING = "starting the supervisor"
    CONNECTED = "connected"
    FAILED = "supervisor not reachable"


@dataclass
class _Pending:
    name: str
    callback: Answered | None
    deadline: float


class SupervisorClient(QObject):
    """Mirror of the supervisor's state, and calls to it.

    ``callback(result, error)`` of a call runs in the GUI thread: ``error`` is None when it went well, else one sentence.
    A failed call without a callback emits :attr:`call_failed`. Calls made while the link is down wait for it.
    """

    connected = Signal()
    disconnected = Signal(str)
    link_changed = Signal(object)
    state_changed = Signal()
    entry_changed = Signal(str)
    entry_removed = Signal(str)
    progress_changed = Signal(str)
    meters_changed = Signal()
    call_failed = Signal(str, str)

    FIRST_PAUSE_MS = 100
    LONGEST_PAUSE_MS = 5000
    LONGEST_START_PAUSE_MS = 400
    CALL_SECONDS = 30.0
    STARTS_PER_MINUTE = 3

    def __init__(
        self,
        socket_path: str | Path,
        workspace_root: str | Path,
        *,
        start_command: list[str] | None = None,
        autostart: bool = True,
        parent: QObject | None = None,
    ) -> None:
        """Prepare the link; nothing happens before :meth:`open`.

        Args:
            socket_path: the supervisor's socket.
            workspace_root: folder of the workspace.
            start_command: what starts a supervisor; by default this interpreter with ``difrob.worker.supervisor``.
            autostart: whether to start one when nobody listens.
        """
        super().__init__(parent)
        self._path = str(socket_path)
        self._command = start_command or [
            sys.executable, "-m", "difrob.worker.supervisor", "--workspace", str(workspace_root),
        ]  # fmt: skip
        self._autostart = autostart
        self._mirror = QueueMirror()
        self._buffer = bytearray()
        self._pending: dict[int, _Pending] = {}
        self._waiting: list[tuple[str, dict[str, Any], Answered | None, float]] = []
        self._next_id = 0
        self._link = Link.CLOSED
        self._reason = ""
        self._pause_ms = self.FIRST_PAUSE_MS
        self._starts: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self._watched = False
        self._closed = False

        self._socket = QLocalSocket(self)
        self._socket.connected.connect(self._on_connected)
        self._socket.disconnected.connect(self._on_disconnected)
        self._socket.errorOccurred.connect(self._on_error)
        self._socket.readyRead.connect(self._on_ready_read)
        self._retry = QTimer(self, singleShot=True)
        self._retry.timeout.connect(self._connect)
        self._clock = QTimer(self, interval=500)
        self._clock.timeout.connect(self._expire_calls)

    # ------------------------------------------------------------------ what others see

    @property
    def state(self) -> QueueState:
        """The supervisor's state as last told; after a loss of the link it stays as it was."""
        return self._mirror.state

    @property
    def mirror(self) -> QueueMirror:
        """The same state by run id, without copying."""
        return self._mirror

    @property
    def link(self) -> Link:
        """How the link stands."""
        return self._link

    @property
    def is_connected(self) -> bool:
        """Whether the mirror is live: linked, and the full state has come."""
        return self._link is Link.CONNECTED

    @property
    def reason(self) -> str:
        """Why the link is down, as one sentence; empty while it stands."""
        return self._reason

    def open(self) -> None:
        """Connect now (starting a supervisor if need be); also the way to try again after a failure."""
        self._closed = False
        self._starts.clear()
        self._pause_ms = self.FIRST_PAUSE_MS
        if self._socket.state() == QLocalSocket.LocalSocketState.UnconnectedState:
            self._connect()

    def close(self) -> None:
        """Let go of the supervisor; it and its runs go on."""
        self._closed = True
        self._retry.stop()
        self._clock.stop()
        self._socket.abort()
        self._drop_calls("the window was closed")
        self._set_link(Link.CLOSED)
        if self._complaints is not None:
            self._complaints.close()
            self._complaints = None

    def call(self, name: str, callback: Answered | None = None, **args: Any) -> None:
        """Ask the supervisor for something; see the class for the callback."""
        if self._link is Link.CONNECTED:
            self._send(name, args, callback)
            return
        self._waiting.append((name, args, callback, time.monotonic() + self.CALL_SECONDS))
        self._clock.start()
        if self._link in (Link.CLOSED, Link.FAILED):
            self.open()

    # ------------------------------------------------------------------ link

    def _connect(self) -> None:
        if self._closed:
            return
        if self._link is not Link.STARTING:
            self._set_link(Link.CONNECTING)
        self._socket.abort()
        self._buffer.clear()
        self._watched = False
        self._socket.connectToServer(self._path)

    def _on_connected(self) -> None:
        self._send("watch", {}, self._on_watching)

    def _on_watching(self, _result: object, error: str | None) -> None:
        if error is not None and not self._closed:
            self._reason = f"the supervisor refused to be watched: {error}"
            self._socket.abort()
            self._try_later()

    def _on_disconnected(self) -> None:
        if self._closed or self._retry.isActive():
            return
        self._lost("the supervisor went away")

    def _on_error(self, error: QLocalSocket.LocalSocketError) -> None:
        if self._closed or error == QLocalSocket.LocalSocketError.PeerClosedError:
            return
        if self._socket.state() == QLocalSocket.LocalSocketState.ConnectedState:
            return
        absent = error in (
            QLocalSocket.LocalSocketError.ServerNotFoundError,
            QLocalSocket.LocalSocketError.ConnectionRefusedError,
        )
        reason = NO_SUPERVISOR if absent else f"no link to the supervisor: {self._socket.errorString()}"
        if absent and self._autostart and self._start_supervisor():
            self._set_link(Link.STARTING)
            self._try_later()
            return
        self._lost(self._why_start_failed() or reason)

    def _lost(self, reason: str) -> None:
        was_connected = self._link is Link.CONNECTED
        self._reason = reason
        self._drop_calls(f"{reason}; whether the request was carried out is not known, so look at the queue first")
        self._set_link(Link.CONNECTING if was_connected else Link.FAILED)
        if was_connected:
            self._pause_ms = self.FIRST_PAUSE_MS
        self.disconnected.emit(reason)
        self._try_later()

    def _try_later(self) -> None:
        longest = self.LONGEST_START_PAUSE_MS if self._link is Link.STARTING else self.LONGEST_PAUSE_MS
        self._pause_ms = min(self._pause_ms, longest)
        self._retry.start(self._pause_ms)
        self._pause_ms = min(self._pause_ms * 2, longest)

    def _set_link(self, link: Link) -> None:
        if link is not self._link:
            self._link = link
            self.link_changed.emit(link)

    # ------------------------------------------------------------------ starting a supervisor

    def _start_supervisor(self) -> bool:
        """Start one unless one is on its way; True while it is worth waiting for."""
        if self._process is not None and self._process.poll() is None:
            return True
        now = time.monotonic()
        self._starts = [start for start in self._starts if now - start < 60]
        if len(self._starts) >= self.STARTS_PER_MINUTE:
            return False
        self._starts.append(now)
        try:
            if self._complaints is not None:
                self._complaints.close()
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
                close_fds=True,
            )
        except OSError as error:
            self._process = None
            self._reason = f"the supervisor could not be started: {error.strerror or error}"
            return False
        log.info("started a supervisor: process %s", self._process.pid)
        return True

    def _why_start_failed(self) -> str:
        """The last line that a dead supervisor said; empty when none was started or it still lives."""
        if self._process is None or self._process.poll() is None:
            return self._reason if self._reason.startswith("the supervisor could not") else ""
        last = ""
        if self._complaints is not None:
            size = self._complaints.seek(0, 2)
            self._complaints.seek(max(0, size - 4000))
            lines = self._complaints.read().decode(errors="replace").strip().splitlines()
            last = lines[-1].strip() if lines else ""
        return f"the supervisor ended with code {self._process.returncode}" + (f": {last}" if last else "")

    # ------------------------------------------------------------------ lines

    def _on_ready_read(self) -> None:
        new = bytes(self._socket.readAll().data())
        self._buffer += new
        if b"\n" in new:  # a long line comes in many pieces, and is looked at when it is whole
            *lines, rest = bytes(self._buffer).split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                if line.strip() and not self._take(line):
                    return
        if len(self._buffer) > MAX_LINE:
            self._start_over(f"a message is longer than the {MAX_LINE} bytes allowed")

    def _take(self, line: bytes) -> bool:
        """Handle one line; False when the link was dropped because of it."""
        try:
            message = decode(line)
            if "event" in message:
                self._announce(*self._mirror.apply(message))
            elif isinstance(message.get("id"), int):
                self._answer(message)
            else:
                raise UserError("a message is neither an answer nor an event")
        except UserError as error:
            self._start_over(str(error))
            return False
        return True

    def _start_over(self, problem: str) -> None:
        """A change may have been lost: drop the link and fetch the full state again."""
        log.warning("supervisor link: %s", problem)
        self._pause_ms = max(self._pause_ms, 2 * self.FIRST_PAUSE_MS)
        pause = self._pause_ms
        self._retry.start(pause)
        self._socket.abort()
        self._buffer.clear()
        self._drop_calls(f"{problem}; whether the request was carried out is not known, so look at the queue first")
        self._reason = f"the supervisor sent something unreadable ({problem}); connecting anew"
        self._set_link(Link.CONNECTING)
        self.disconnected.emit(self._reason)
        self._pause_ms = min(pause * 2, self.LONGEST_PAUSE_MS)

    def _announce(self, change: str, run_id: str) -> None:
        if change == "state":
            if not self._watched:
                self._watched = True
                self._reason = ""
                self._pause_ms = self.FIRST_PAUSE_MS
                self._set_link(Link.CONNECTED)
                self.connected.emit()
                self._send_waiting()
            self.state_changed.emit()
        elif change == "entry":
            self.entry_changed.emit(run_id)
        elif change == "removed":
            self.entry_removed.emit(run_id)
        elif change == "progress":
            self.progress_changed.emit(run_id)
        elif change == "meters":
            self.meters_changed.emit()

    # ------------------------------------------------------------------ calls

    def _send(self, name: str, args: dict[str, Any], callback: Answered | None) -> None:
        self._next_id += 1
        try:
            line = encode({"id": self._next_id, "call": name, "args": args})
        except (TypeError, ValueError) as error:
            self._finish(name, callback, None, f"the request '{name}' cannot be sent: {error}")
            return
        if len(line) > MAX_LINE:
            self._finish(name, callback, None, f"the request '{name}' is too long to be sent")
            return
        self._pending[self._next_id] = _Pending(name, callback, time.monotonic() + self.CALL_SECONDS)
        self._clock.start()
        self._socket.write(line)

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for name, args, callback, _deadline in waiting:
            self._send(name, args, callback)

    def _answer(self, message: dict[str, Any]) -> None:
        pending = self._pending.pop(message["id"], None)
        if pending is None:
            return
        if message.get("ok"):
            self._finish(pending.name, pending.callback, message.get("result"), None)
        else:
            self._finish(pending.name, pending.callback, None, refusal_text(message, self.state.pid))

    def _finish(self, name: str, callback: Answered | None, result: Any, error: str | None) -> None:
        if callback is not None:
            callback(result, error)
        elif error is not None:
            self.call_failed.emit(name, error)

    def _drop_calls(self, why: str) -> None:
        pending, self._pending = list(self._pending.values()), {}
        for call in pending:
            if call.name != "watch":
                self._finish(call.name, call.callback, None, why)

    def _expire_calls(self) -> None:
        now = time.monotonic()
        late = [key for key, call in self._pending.items() if call.deadline < now]
        for key in late:
            call = self._pending.pop(key)
            if call.name == "watch":
                self._start_over("the supervisor does not answer")
                return
            self._finish(call.name, call.callback, None, f"the supervisor did not answer '{call.name}' in time")
        expired = [item for item in self._waiting if item[3] < now]
        self._waiting = [item for item in self._waiting if item[3] >= now]
        for name, _args, callback, _deadline in expired:
            self._finish(name, callback, None, self._reason or "the supervisor is not reachable")
        if not self._pending and not self._waiting:
            self._clock.stop()
