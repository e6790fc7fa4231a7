"""Asking a running job to pause, to stop, or to leave at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from difrob.errors import Stopped

_STRENGTH = {None: 0, "pause": 1, "stop": 2, "abort": 3}


class StopControl:
    """Shared by the thread that listens for requests and the thread that runs the job."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._grade: str | None = None
        self.is_paused = False

    def request(self, grade: str) -> None:
        """Ask for ``pause``, ``stop`` or ``abort``; a stronger request replaces a weaker one, never the reverse."""
        if grade not in _STRENGTH:
            raise ValueError(f"unknown grade '{grade}'; use pause, stop or abort")
        with self._condition:
            if _STRENGTH[grade] >= _STRENGTH[self._grade]:
                self._grade = grade
            self._condition.notify_all()

    def resume(self) -> None:
        """Let a paused job go on; a stop that was asked for meanwhile stays."""
        with self._condition:
            if self._grade == "pause":
                self._grade = None
            self._condition.notify_all()

    @property
    def grade(self) -> str | None:
        """What is being asked for."""
        return self._grade

    def check(self, paused: Callable[[bool], None]) -> None:
        """Called by the job at safe points: blocks while a pause is asked for, raises ``Stopped`` for a stop.

        Args:
            paused: told True when the job begins to wait and False when it goes on.
        """
        if self._grade is None:
            return
        with self._condition:
            if self._grade == "pause":
                self.is_paused = True
                try:
                    paused(True)
                    self._condition.wait_for(lambda: self._grade != "pause")
                finally:
                    self.is_paused = False
                paused(False)
            if self._grade is not None:
                raise Stopped(self._grade)

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up for a stop; raises ``Stopped`` then."""
        with self._condition:
            self._condition.wait_for(lambda: self._grade in ("stop", "abort"), seconds)
            if self._grade in ("stop", "abort"):
                raise Stopped(self._grade or "stop")
