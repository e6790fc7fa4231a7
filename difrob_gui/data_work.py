"""``difrob data add``, ``check`` and ``rm`` as a process of their own: the window neither waits nor loads the engine."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

ADD, CHECK, REMOVE = "add", "check", "rm"
INTERRUPTED = 3
GRACE_MS = 4000
CLOSE_MS = 3000


class DataWork(QObject):
    """At most one command at a time.

    Signals:
        begun: ``(command, subject)``.
        progressed: ``(done, total, what)`` as the command tells it.
        ended: ``(command, subject, result)``; the result is what the command printed last.
        failed: ``(command, subject, sentence)``; the sentence is empty when it was cancelled.
    """

    begun = Signal(str, str)
    progressed = Signal(float, float, str)
    ended = Signal(str, str, object)
    failed = Signal(str, str, str)

    def __init__(self, root: Path, program: list[str] | None = None, parent: QObject | None = None) -> None:
        """Prepare.

        Args:
            root: folder of the workspace.
            program: what is started in front of the command's words; by default this interpreter with ``-m difrob``.
        """
        super().__init__(parent)
        self._root = root
        self._program = program or [sys.executable, "-m", "difrob"]
        self._process: QProcess | None = None
        self._command = self._subject = ""
        self._result: dict[str, Any] = {}
        self._rest = b""
        self._complaint = b""
        self._cancelled = False
        self._grace = QTimer(self, singleShot=True, interval=GRACE_MS)
        self._grace.timeout.connect(self._kill)

    @property
    def is_busy(self) -> bool:
        """Whether a command is under way."""
        return self._process is not None

    @property
    def command(self) -> str:
        """The command under way; empty for none."""
        return self._command if self.is_busy else ""

    def start(self, command: str, subject: str, options: list[str] | None = None) -> None:
        """Begin a command about a path or a name; ``options`` go in front of it.

        Raises:
            RuntimeError: while another is under way.
        """
        if self._process is not None:
            raise RuntimeError("one command at a time")
        self._command, self._subject, self._cancelled = command, subject, False
        self._result, self._rest, self._complaint = {}, b"", b""
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_complaint)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        words = ["data", command, "--workspace", str(self._root), "--lines", *(options or []), "--", subject]
        self.begun.emit(command, subject)
        process.start(self._program[0], [*self._program[1:], *words])

    def cancel(self) -> None:
        """Ask the command to stop and tidy up; after a few seconds it is ended by force."""
        if self._process is not None and not self._cancelled:
            self._cancelled = True
            self._interrupt()
            self._grace.start()

    def close(self) -> None:
        """Stop the command, for the window closes: what it had begun is taken away again."""
        self._grace.stop()
        process, self._process = self._process, None
        if process is None:
            return
        for signal_of in (process.finished, process.errorOccurred, process.readyReadStandardOutput):
            signal_of.disconnect()
        _interrupt(process)
        if not process.waitForFinished(CLOSE_MS):
            process.kill()
            process.waitForFinished(1000)

    def _interrupt(self) -> None:
        if self._process is not None:
            _interrupt(self._process)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _on_output(self) -> None:
        if self._process is None:
            return
        self._rest += bytes(self._process.readAllStandardOutput().data())
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._on_line(line)

    def _on_line(self, line: bytes) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            return  # a library's own words
        if not isinstance(values, dict):
            return
        if "total" in values:
            done, total = values.get("done"), values["total"]
            if isinstance(done, (int, float)) and isinstance(total, (int, float)):
                self.progressed.emit(float(done), float(total), str(values.get("what", "")))
        else:
            self._result = values

    def _on_complaint(self) -> None:
        if self._process is not None:
            self._complaint = (self._complaint + bytes(self._process.readAllStandardError().data()))[-20_000:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self._process is not None:
            self._finish(f"{self._program[0]} could not be started: {self._process.errorString()}")

    def _on_finished(self, code: int, _status: QProcess.ExitStatus) -> None:
        self._on_output()
        self._on_complaint()
        if code == 0 and self._result:
            self._finish(None)
        elif self._cancelled or code == INTERRUPTED:
            self._finish("")
        else:
            self._finish(sentence_of(self._complaint) or f"'difrob data {self._command}' ended with code {code}")

    def _finish(self, complaint: str | None) -> None:
        self._grace.stop()
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if complaint is None:
            self.ended.emit(self._command, self._subject, self._result)
        else:
            self.failed.emit(self._command, self._subject, complaint)


def sentence_of(complaint: bytes) -> str:
    """What a command wrote on stderr, as one sentence: its own words after ``difrob:``, else the last line."""
    lines = [line.strip() for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    own = [line.removeprefix("difrob:").strip() for line in lines if line.startswith("difrob:")]
    return own[-1] if own else (lines[-1] if lines else "")


def _interrupt(process: QProcess) -> None:
    """Like Ctrl+C in a terminal: the command removes what it had begun."""
    if os.name == "nt" or not process.processId():  # pragma: no cover - no signals there
        process.kill()
        return
    try:
        os.kill(process.processId(), signal.SIGINT)
    except OSError:
        process.kill()
