"""The real window with a peephole: it tells on standard output which points its Monitor page has of a run.

Run as ``python watched_window.py WORKSPACE RUN_ID``. One JSON object per line and change:
``{metric: [[step, value], ...]}``, and ``{"run": state}`` under the key ``""``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from PySide6.QtCore import QTimer

import difrob_gui.main_window
from difrob_gui.app import main
from difrob_gui.charts.series_data import XAxis

LOOK_MS = 100


class WatchedWindow(difrob_gui.main_window.MainWindow):
    """The window of the program, showing one run."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told = ""
        self._look_clock = QTimer(self, interval=LOOK_MS)
        self._look_clock.timeout.connect(self._look)

    def start(self) -> None:
        super().start()
        self._look_clock.start()

    def _look(self) -> None:
        run_id = sys.argv[2]
        if self.feeds.summary_of(run_id) is None:
            return
        if self.monitor.run_id != run_id:
            self.show_run(run_id)
        run = self.monitor._run
        if run is None or run.run_id != run_id or run.summary is None:
            return
        points: dict[str, Any] = {"": str(run.summary.state)}
        for name, series in run.metrics.items():
            steps = series.positions(XAxis.STEP).tolist()
            points[name] = list(zip(steps, series.value.tolist(), strict=True))
        line = json.dumps(points)
        if line != self._told:
            self._told = line
            print(line, flush=True)


if __name__ == "__main__":
    difrob_gui.main_window.MainWindow = WatchedWindow
    sys.exit(main(sys.argv[1], theme="light"))
