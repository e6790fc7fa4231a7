"""When a job must have shown a sign of life again, worked out from its own rhythm."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_SECONDS = 900.0  # before the second sign: data are read, networks built, kernels compiled
LEAST_SECONDS = 120.0
PATIENCE = 10.0


class Heartbeat:
    """A job beats at each step, measurement and checkpoint; it may take ten times its longest pause so far.

    The limit follows the job: one that measures for a minute every hour is given ten minutes, one that never paused for
    long two.

    Attributes:
        beats: how many signs of life there have been.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._longest = 0.0
        self.beats = 0

    def beat(self) -> None:
        """A sign of life. Cheap: called by the job at every step."""
        now = self._clock()
        if self.beats and now - self._last > self._longest:
            self._longest = now - self._last
        self._last = now
        self.beats += 1

    def skip(self) -> None:
        """The job was paused or waited for the disk: that was no pause of its own."""
        self._last = self._clock()

    @property
    def limit(self) -> float:
        """The longest silence that is still in order, in seconds."""
        return FIRST_SECONDS if self.beats < 2 else max(LEAST_SECONDS, PATIENCE * self._longest)

    @property
    def seconds_left(self) -> float:
        """How long from now until the job is overdue; negative when it is."""
        return self.limit - (self._clock() - self._last)
