"""Why a worker process ended that did not say so itself: from how it had been asked, its exit status, its last output."""

from __future__ import annotations

import errno
import os
import re
import signal
from dataclasses import dataclass

from difrob.runs import RunState
from difrob.runs.causes import Cause
from difrob.worker.messages import Entry

OWN_WORDS = "difrob: "  # begins a line in which the worker itself says why it cannot work
_IMPORT = re.compile(r"\b(ImportError|ModuleNotFoundError)\b|cannot be imported")
_DISK = {
    os.strerror(errno.ENOSPC): Cause.DISK_FULL, os.strerror(errno.EIO): Cause.DISK, os.strerror(errno.EROFS): Cause.DISK,
}  # fmt: skip


@dataclass(frozen=True)
class Death:
    """How a run ended.

    Attributes:
        state: one of the states that are an end.
        reason: in one sentence; "" where nothing is known.
        cause: in one word (a :class:`difrob.runs.causes.Cause`, or a word from a newer difrob); "" where nothing is known,
            or the run finished.
    """

    state: RunState
    reason: str
    cause: str


def explain(entry: Entry, exit_code: int | None, last_line: str, *, starved: bool) -> Death:
    """What a worker died of.

    Args:
        entry: the run as the queue had it: ``cause`` is ``stuck`` where the queue itself stopped it for that, and
            ``stop_grade`` how it had been asked to end.
        exit_code: of the process, negative for a signal; None when it was nobody's child.
        last_line: of what the process printed.
        starved: whether the system's out-of-memory killer has struck since the process began.
    """
    if entry.cause == Cause.STUCK:
        return Death(RunState.INTERRUPTED, f"stopped by the queue: {entry.reason}", Cause.STUCK)
    if entry.stop_grade in ("kill", "abort"):
        word = {"kill": "killed", "abort": "aborted"}[entry.stop_grade]
        return Death(RunState.CANCELLED, f"{word} on request", Cause.REQUEST)
    if exit_code is None:
        return Death(RunState.INTERRUPTED, "", Cause.NONE)
    if exit_code < 0:
        return _of_signal(-exit_code, starved)
    said = f": {last_line.removeprefix(OWN_WORDS)}" if last_line else ""
    return Death(RunState.FAILED, f"the worker ended with exit code {exit_code}{said}", _of_last_line(last_line))


def _of_signal(number: int, starved: bool) -> Death:
    if number == signal.SIGKILL and starved:
        reason = "the system ran out of memory and killed the worker (SIGKILL)"
        return Death(RunState.INTERRUPTED, reason, Cause.MEMORY)
    name = signal_name(number)
    hint = "; something outside killed it, perhaps to save memory" if number == signal.SIGKILL else ""
    return Death(RunState.INTERRUPTED, f"the worker was killed by signal {name}{hint}", Cause.SIGNAL)


def signal_name(number: int) -> str:
    """What a signal is called; real-time signals have no names, only numbers."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _of_last_line(line: str) -> Cause:
    if _IMPORT.search(line):
        return Cause.IMPORT
    if line.startswith("MemoryError"):
        return Cause.MEMORY
    for text, cause in _DISK.items():
        if text in line:
            return cause
    return Cause.BAD_INPUT if line.startswith(OWN_WORDS) else Cause.ERROR
