"""How long the window keeps its user waiting while many long curves grow.

Runs 20 runs x 8 charts x 100,000 points, each growing ten times a second, once with plain ``setData`` of pyqtgraph and once
with :class:`difrob_gui.charts.chart.Chart`, in the same process. What is measured is the delay of the event loop: how much too
late a timer of 5 ms fires; and, for machines that are busy with other things, the processor time that the GUI thread spent
between two of its firings. Run it as

    QT_QPA_PLATFORM=offscreen python tests/benchmarks/bench_charts.py [--runs 20] [--charts 8] [--points 100000] [--seconds 8]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyqtgraph
from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication, QGridLayout, QWidget

from difrob_gui.charts.chart import Chart
from difrob_gui.charts.series_data import SeriesData
from difrob_gui.theme import apply_theme
from difrob_gui.themes import THEMES

TICK_MS = 5
UPDATE_MS = 100


def main() -> None:
    """Measure both ways and print the delays and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--charts", type=int, default=8)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=20, help="points that each curve gains per update")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--skip-plain", action="store_true")
    given = parser.parse_args()
    app = QApplication([])
    apply_theme(app, THEMES["light"])
    found = {}
    for name, scene in (("plain setData", PlainScene), ("Chart", ChartScene)):
        if given.skip_plain and scene is PlainScene:
            continue
        found[name] = measure(scene(given), given.seconds)
        delay, busy, updates = found[name]
        print(f"{name}: {updates} updates of all curves in {given.seconds:g} s")
        for title, (p50, p99, worst) in (("delay of the event loop", delay), ("processor time per turn", busy)):
            print(f"    {title}: p50 {p50:8.1f} ms   p99 {p99:8.1f} ms   worst {worst:8.1f} ms")
    if len(found) == 2:
        for number, title in enumerate(("delay of the event loop", "processor time per turn")):
            plain, chart = found["plain setData"][number], found["Chart"][number]
            ratios = [first / max(second, 0.1) for first, second in zip(plain, chart, strict=True)]
            print(f"plain / Chart, {title}: p50 {ratios[0]:.0f}x   p99 {ratios[1]:.0f}x   worst {ratios[2]:.0f}x")


Triple = tuple[float, float, float]


def measure(scene: Scene, seconds: float) -> tuple[Triple, Triple, int]:
    """p50, p99 and largest value in ms of delay and of processor time, and how often all curves were updated."""
    scene.window.show()
    wait(1.0)
    delays: list[float] = []
    busy: list[float] = []
    updates = 0
    last, last_busy = time.perf_counter(), time.thread_time()

    def tick() -> None:
        nonlocal last, last_busy
        now, now_busy = time.perf_counter(), time.thread_time()
        delays.append(max(0.0, 1000 * (now - last) - TICK_MS))
        busy.append(1000 * (now_busy - last_busy))
        last, last_busy = now, now_busy

    def update() -> None:
        nonlocal updates
        scene.update()
        updates += 1

    ticker, feeder = QTimer(), QTimer()
    ticker.setTimerType(Qt.TimerType.PreciseTimer)
    ticker.timeout.connect(tick)
    feeder.timeout.connect(update)
    last, last_busy = time.perf_counter(), time.thread_time()
    ticker.start(TICK_MS)
    feeder.start(UPDATE_MS)
    wait(seconds)
    ticker.stop()
    feeder.stop()
    scene.window.close()
    scene.window.deleteLater()
    wait(0.2)
    return quantiles(delays), quantiles(busy), updates


def quantiles(values: list[float]) -> Triple:
    """p50, p99 and largest, weighted with the time that each took: a blocked loop fires its timer once, not once per 5 ms."""
    found = np.sort(np.array(values))
    share = np.cumsum(found + TICK_MS) / (found + TICK_MS).sum()
    p50, p99 = (float(found[np.searchsorted(share, p)]) for p in (0.5, 0.99))
    return p50, p99, float(found[-1])


def wait(seconds: float) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()


class Scene:
    """A window of charts, and noise for their curves."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.random = np.random.default_rng(0)
        self.window = QWidget()
        self.window.resize(1600, 900)
        self.grid = QGridLayout(self.window)

    def place(self, number: int) -> tuple[int, int]:
        """Row and column of a chart."""
        return divmod(number, 4)

    def values(self, start: int, count: int, run: int) -> np.ndarray:
        """What a training loss looks like."""
        step = np.arange(start, start + count)
        return 2 * np.exp(-step / 30_000) + 0.05 * run + 0.2 * self.random.normal(size=count)

    def update(self) -> None:
        """All curves grow."""
        raise NotImplementedError


class PlainScene(Scene):
    """All points given to ``PlotDataItem.setData`` each time."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        self.curves = []
        for number in range(given.charts):
            widget = pyqtgraph.PlotWidget()
            self.grid.addWidget(widget, *self.place(number))
            for run in range(given.runs):
                values = self.values(0, given.points, run)
                self.curves.append([widget.plot(values, pen=pyqtgraph.intColor(run)), values, run])

    def update(self) -> None:
        for curve in self.curves:
            item, values, run = curve
            values = np.append(values, self.values(len(values), self.given.new, run))
            curve[1] = values
            item.setData(values)


class ChartScene(Scene):
    """The same with our chart."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        self.charts: list[tuple[Chart, list[SeriesData]]] = []
        for number in range(given.charts):
            chart = Chart(f"metric {number}")
            chart.set_growing(True)
            chart.set_smoothing(given.smoothing)
            self.grid.addWidget(chart, *self.place(number))
            series = []
            for run in range(given.runs):
                data = SeriesData()
                step = np.arange(given.points)
                data.extend(step, step * 0.01, self.values(0, given.points, run))
                chart.add_curve(str(run), f"run {run}", data, run)
                series.append(data)
            self.charts.append((chart, series))

    def update(self) -> None:
        for chart, series in self.charts:
            for run, data in enumerate(series):
                step = np.arange(len(data), len(data) + self.given.new)
                data.extend(step, step * 0.01, self.values(len(data), self.given.new, run))
            chart.touch()


if __name__ == "__main__":
    main()
