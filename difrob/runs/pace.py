"""How fast a run goes, and when it will be done."""

from __future__ import annotations

import time
from collections import deque

SPAN_SECONDS = 60
APART_SECONDS = 0.25


class Pace:
    """Time left from the speed over about the last minute: steady against one slow step, quick to notice a change."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, int]] = deque(maxlen=round(SPAN_SECONDS / APART_SECONDS))

    def seconds_left(self, done: int, total: int) -> float | None:
        """Note how far the run is; the time left in seconds, None until it can be told."""
        now = time.monotonic()
        if not self._history or now - self._history[-1][0] > APART_SECONDS:
            self._history.append((now, done))
        while len(self._history) > 2 and now - self._history[1][0] > SPAN_SECONDS:
            self._history.popleft()
        began, done_then = self._history[0]
        if done <= done_then or now - began < 0.5:
            return None if done < total else 0.0
        return (total - done) * (now - began) / (done - done_then)

    def forget(self) -> None:
        """After a pause: what was before says nothing about now."""
        self._history.clear()
