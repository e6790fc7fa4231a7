"""Who has been silent for longer than announced. Pure bookkeeping with a clock that can be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STARTING_SECONDS = (
    600.0  # a worker that is being started, or that an earlier supervisor left behind, says hello by then
)
LONGEST_TICK = 5.0


@dataclass(frozen=True)
class Silence:
    """The silence of a worker that should have reported by now, in seconds.

    Attributes:
        lasted: since the last sign of life.
        announced: within which the next one was to come.
    """

    lasted: float
    announced: float

    @property
    def overdue(self) -> float:
        """Seconds since the report should have come."""
        return self.lasted - self.announced

    def __str__(self) -> str:
        whole = self.lasted if self.lasted < 60 else self.lasted // 10 * 10  # so that it is no news every second
        return f"no sign of life for {span(whole)}; expected one within {span(self.announced)}"


class SilenceWatch:
    """When each worker was heard last, and how long it may be silent.

    Time in which nobody ticked does not count: a machine that slept, or a supervisor that was busy, heard nothing because
    it did not listen.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked = clock()
        self._now = 0.0
        self._heard: dict[str, tuple[float, float | None]] = {}

    def tick(self) -> None:
        """To be called all the time: somebody is listening."""
        now = self._clock()
        self._now += min(max(0.0, now - self._looked), LONGEST_TICK)
        self._looked = now

    def expect(self, run_id: str, within: float | None) -> None:
        """A worker was heard just now and will be again ``within`` so many seconds; None: it promises nothing."""
        self._heard[run_id] = self._now, None if within is None else max(0.0, within)

    def heard(self, run_id: str) -> None:
        """A worker was heard just now, and what it announced last holds from now on."""
        if run_id in self._heard:
            self.expect(run_id, self._heard[run_id][1])

    def forget(self, run_id: str) -> None:
        """The worker has gone."""
        self._heard.pop(run_id, None)

    def silence(self, run_id: str) -> Silence | None:
        """The silence of a worker that is overdue, else None."""
        last, within = self._heard.get(run_id, (self._now, None))
        if within is None or self._now - last <= within:
            return None
        return Silence(self._now - last, within)


def span(seconds: float) -> str:
    """A span to the second: ``45 s``, ``3 min 20 s``, ``2 min``, ``1 h 05 min``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
