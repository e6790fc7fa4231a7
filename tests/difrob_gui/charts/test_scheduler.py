"""The one timer of all charts."""

from __future__ import annotations

import time

from difrob_gui.charts.scheduler import RepaintScheduler


class Drawing:
    """Counts its redraws and takes as long as told."""

    def __init__(self, scheduler: RepaintScheduler, seconds: float = 0.0, paint_seconds: float = 0.0) -> None:
        self.scheduler, self.seconds, self.paint_seconds = scheduler, seconds, paint_seconds
        self.times: list[float] = []

    def refresh(self) -> None:
        self.times.append(time.monotonic())
        time.sleep(self.seconds)


def test_many_requests_make_one_picture_per_period(qtbot) -> None:
    scheduler = RepaintScheduler(period=0.1)
    drawing = Drawing(scheduler)
    end = time.monotonic() + 0.55
    while time.monotonic() < end:
        scheduler.request(drawing)
        qtbot.wait(5)
    assert 3 <= len(drawing.times) <= 7
    gaps = [b - a for a, b in zip(drawing.times, drawing.times[1:], strict=False)]
    assert min(gaps) >= 0.09
    qtbot.waitUntil(lambda: scheduler.is_idle)


def test_costly_charts_take_turns_with_the_event_loop(qtbot) -> None:
    scheduler = RepaintScheduler(budget=0.012)
    order: list[str] = []

    class Costly(Drawing):
        def refresh(self) -> None:
            super().refresh()
            order.append("chart")

    drawings = [Costly(scheduler, seconds=0.02) for _ in range(4)]
    for drawing in drawings:
        scheduler.request(drawing)
    from PySide6.QtCore import QTimer

    ticker = QTimer()
    ticker.timeout.connect(lambda: order.append("loop"))
    ticker.start(1)
    qtbot.waitUntil(lambda: scheduler.is_idle)
    ticker.stop()
    assert order.count("chart") == 4
    between = "".join(word[0] for word in order).strip("l")
    assert "cc" not in between, "two costly charts were drawn without letting the event loop run"


def test_cheap_charts_share_a_turn(qtbot) -> None:
    scheduler = RepaintScheduler(budget=0.5)
    drawings = [Drawing(scheduler) for _ in range(10)]
    for drawing in drawings:
        scheduler.request(drawing)
    qtbot.waitUntil(lambda: scheduler.is_idle)
    assert max(d.times[0] for d in drawings) - min(d.times[0] for d in drawings) < 0.05


def test_too_much_painting_stretches_the_period(qtbot) -> None:
    scheduler = RepaintScheduler(period=0.05, share=0.25)
    drawing = Drawing(scheduler, paint_seconds=0.5)
    for _ in range(2):
        scheduler.request(drawing)
        scheduler.flush()
    scheduler.request(drawing)
    started = time.monotonic()
    qtbot.waitUntil(lambda: scheduler.is_idle)
    assert time.monotonic() - started > 0.12


def test_what_was_forgotten_is_not_drawn(qtbot) -> None:
    scheduler = RepaintScheduler()
    drawing = Drawing(scheduler)
    scheduler.request(drawing)
    scheduler.forget(drawing)
    assert scheduler.is_idle
    qtbot.wait(20)
    assert drawing.times == []
