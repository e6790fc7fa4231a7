"""The menu of a chart: axes, and export of data and picture."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QMessageBox

from difrob_gui.charts import exporting
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.series_data import XAxis
from difrob_gui.charts.ticks import Scale
from difrob_gui.theme import icon


class ChartMenu(QMenu):
    """Filled anew each time it opens, so that it shows how the chart stands."""

    def __init__(self, chart: Chart) -> None:
        super().__init__(chart)
        self._chart = chart
        self.setAccessibleName("Menu of the chart")
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Make the entries."""
        chart = self._chart
        self.clear()
        # Keys behind a tab are only shown; the plot handles them itself, so that they mean the chart that has the focus.
        fit = self.addAction(icon("fit"), "Show all data\tHome", chart.fit)
        fit.setEnabled(not chart.follows)
        if chart.y_scale is not Scale.SHARE:
            log = self.addAction("Logarithmic y axis\tL")
            log.setCheckable(True)
            log.setChecked(chart.is_log)
            log.toggled.connect(chart.set_log_y)
        if chart.has_steps:
            self.addSection("Horizontal axis")
            group = QActionGroup(self)
            for axis in XAxis:
                action = group.addAction(str(axis).capitalize())
                action.setCheckable(True)
                action.setChecked(chart.x_axis is axis)
                action.triggered.connect(lambda _checked, axis=axis: chart.set_x_axis(axis))
                self.addAction(action)
        self.addSeparator()
        self.addAction(icon("copy"), "Copy picture", self._copy)
        self.addAction(icon("export"), "Export data as CSV…", lambda: self._ask("csv"))
        self.addAction(icon("export"), "Export picture as PNG…", lambda: self._ask("png"))
        self.addAction(icon("export"), "Export picture as SVG…", lambda: self._ask("svg"))

    def _copy(self) -> None:
        QApplication.clipboard().setImage(exporting.image_of(self._chart))

    def _ask(self, ending: str) -> None:
        name = re.sub(r"[^\w-]+", "_", self._chart.title).strip("_").lower() or "chart"
        chosen, _ = QFileDialog.getSaveFileName(
            self._chart, f"Export {self._chart.title}", f"{name}.{ending}", f"{ending.upper()} (*.{ending})"
        )
        if chosen:
            path = Path(chosen)
            exporting.export(self._chart, path if path.suffix else path.with_suffix(f".{ending}"), self._tell)

    def _tell(self, _path: Path, error: str) -> None:
        if error:
            QMessageBox.warning(self._chart, "Export", error)
