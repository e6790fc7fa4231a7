"""One timer for all charts: each dirty chart is redrawn at most ten times a second, a few per turn of the event loop."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol
from weakref import WeakKeyDictionary

from PySide6.QtCore import QObject, QTimer
from shiboken6 import isValid


class Repaintable(Protocol):
    """What the scheduler asks of a chart."""

    def refresh(self) -> None:
        """Bring the picture up to date."""
        ...

    @property
    def paint_seconds(self) -> float:
        """How long its last painting took."""
        ...


class RepaintScheduler(QObject):
    """Redraws charts in turn, so that the window answers between any two of them.

    ``period`` is the shortest time between two pictures of one chart, ``soon`` the same while a person is moving something.
    ``budget`` bounds the work of one turn, the painting that follows included; ``breath`` is the pause after a turn in which
    the budget was used up. The timer rests while nothing is dirty. When all charts together would take more than ``share`` of
    the time, they are redrawn less often.
    """

    def __init__(
        self, period: float = 0.1, soon: float = 0.03, budget: float = 0.012, breath: float = 0.004, share: float = 0.5
    ) -> None:
        super().__init__()
        self.period, self.soon, self.budget, self.breath, self.share = period, soon, budget, breath, share
        self._costs: deque[tuple[float, float]] = deque()
        self._due: dict[Repaintable, float] = {}
        self._drawn: WeakKeyDictionary[Repaintable, float] = WeakKeyDictionary()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._turn)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be redrawn."""
        return not self._due

    def request(self, chart: Repaintable, *, soon: bool = False) -> None:
        """The chart wants to be redrawn, ``soon`` when somebody is waiting for it."""
        due = self._drawn.get(chart, 0.0) + (self.soon if soon else self._affordable_period())
        known = self._due.get(chart)
        if known is not None and known <= due:
            return
        self._due[chart] = due
        self._arm()

    def forget(self, chart: Repaintable) -> None:
        """The chart is gone or hidden."""
        self._due.pop(chart, None)
        if not self._due:
            self._timer.stop()

    def flush(self) -> None:
        """Redraw everything now; for exports and tests."""
        while self._due:
            self._redraw(min(self._due, key=self._due.__getitem__))
        self._timer.stop()

    def _turn(self) -> None:
        used = 0.0
        for chart in sorted(self._due, key=self._due.__getitem__):
            if self._due.get(chart, float("inf")) > time.monotonic():
                continue
            used += self._redraw(chart)
            if used >= self.budget:
                break
        self._arm(self.breath if used >= self.budget else 0.0)

    def _redraw(self, chart: Repaintable) -> float:
        del self._due[chart]
        if isinstance(chart, QObject) and not isValid(chart):
            return 0.0
        started = time.monotonic()
        chart.refresh()
        finished = time.monotonic()
        self._drawn[chart] = finished
        cost = finished - started + chart.paint_seconds
        self._costs.append((finished, cost))
        return cost

    def _affordable_period(self) -> float:
        """The usual period, stretched when the last second was too full of painting."""
        now = time.monotonic()
        while self._costs and self._costs[0][0] < now - 1.0:
            self._costs.popleft()
        return self.period * max(1.0, sum(cost for _, cost in self._costs) / self.share)

    def _arm(self, least: float = 0.0) -> None:
        if not self._due:
            return
        wait = max(min(self._due.values()) - time.monotonic(), least, 0.0)
        self._timer.start(int(1000 * wait + 0.999))


_scheduler: RepaintScheduler | None = None


def scheduler() -> RepaintScheduler:
    """The scheduler of the application."""
    global _scheduler
    if _scheduler is None:
        _scheduler = RepaintScheduler()
    return _scheduler
