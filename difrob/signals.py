"""Signals that end a process: Ctrl+C (SIGINT) and SIGTERM, which shells report as exit codes 130 and 143.

While a program is being imported and built, a signal is left to the system, which ends the process in an instant. Python's
own way, an exception wherever it just is, would be swallowed by an import, or go through the half-built widgets of a window.
Once there is something to leave in order, whoever began it takes signals over.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 10.0


def exit_code(number: int) -> int:
    """The exit code of what a signal has ended: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number


def end_at_once() -> None:
    """Let the system end this process at a signal; for the very beginning of a program."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def ended_by_system() -> Iterator[None]:
    """Let the system end this process at a signal; afterwards all is as it was."""
    with _taken(signal.SIG_DFL):
        yield


class Ending:
    """What a command does at a signal: it cleans up, as KeyboardInterrupt lets it, and ends with the signal's exit code.

    Attributes:
        number: the signal that has come; 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._last_word: threading.Timer | None = None

    @contextmanager
    def watched(self) -> Iterator[Ending]:
        """Take signals while this lasts."""
        with _taken(self._end):
            try:
                yield self
            finally:
                if self._last_word is not None:
                    self._last_word.cancel()

    def _end(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks; the second one, or an exception that somebody swallowed, ends at once."""
        if self.number:
            os._exit(exit_code(number))
        self.number = number
        self._last_word = threading.Timer(GRACE_SECONDS, os._exit, (exit_code(number),))
        self._last_word.daemon = True
        self._last_word.start()
        raise KeyboardInterrupt


@contextmanager
def _taken(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle signals so for a while. Elsewhere than in the main thread, which alone gets any, nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in ENDING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(
                number, signal.SIG_DFL if earlier is None else earlier
            )  # None: not Python's, so unknown to it
