"""The charts of one run, made from the names of what it recorded."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from difrob.runs import Curve
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.series_data import XAxis
from difrob_gui.charts.ticks import Scale
from difrob_gui.models.metric_groups import FEATURES, full_name, label_of, plan_charts, words
from difrob_gui.models.run_data import RunData, curve_data
from difrob_gui.widgets.chart_controls import ChartControls
from difrob_gui.widgets.responsive_grid import ResponsiveGrid

TRAINING = ("train/", "validation/", FEATURES)


class ChartBoard(QWidget):
    """Charts in a grid; curves over another quantity (radius, eps) come first, they are what the run is about.

    Curves of one moment of a training (accuracy by class, attack success by step, spectrum of the features) come last: its
    metrics say how it goes.

    Charts are used again for the next run: making one costs more than filling it.
    """

    def __init__(self, controls: ChartControls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controls = controls
        self._charts: dict[str, Chart] = {}
        self._shown: dict[str, Chart] = {}
        self._drawn: dict[str, Curve] = {}
        self._growing = False
        self.grid = ResponsiveGrid()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.grid)
        controls.smoothing_changed.connect(self._on_smoothing)
        controls.axis_changed.connect(self._on_axis)

    @property
    def charts(self) -> dict[str, Chart]:
        """The charts in view, by key."""
        return dict(self._shown)

    def clear(self) -> None:
        """Show no charts."""
        for chart in self._shown.values():
            chart.clear()
        self._shown, self._drawn = {}, {}
        self.grid.set_widgets([])

    def set_growing(self, growing: bool) -> None:
        """Whether the run is live."""
        self._growing = growing
        for key, chart in self._shown.items():
            chart.set_growing(growing and not key.startswith("curve:"))

    def show_run(self, run: RunData) -> None:
        """Bring the charts up to date with what the run has recorded."""
        wanted: list[str] = []
        of_a_moment: list[str] = []
        unit = run.summary.progress.unit if run.summary is not None else "steps"
        for name, curve in run.curves.items():
            key = f"curve:{name}"
            (of_a_moment if name.startswith(TRAINING) else wanted).append(key)
            self._show_curve(key, curve)
        for plan in plan_charts(run.metrics):
            key = f"metric:{plan.key}"
            wanted.append(key)
            chart = self._chart(key, plan.title, plan.scale, Scale.COUNT, unit)
            chart.set_title(full_name(plan.names[0]) if len(plan.names) == 1 else plan.title)
            for name in chart.curves.keys() - set(plan.names):
                chart.remove_curve(name)  # a later metric can change which ones belong together
            for style, name in enumerate(plan.names):
                data = run.metrics[name]
                known = chart.curves.get(name)
                if known is None or known.data is not data or known.style != style:
                    chart.add_curve(
                        name, label_of(name), data, style, interval=run.interval(name), hint=full_name(name)
                    )
            chart.touch()
        self._shown = {key: self._charts[key] for key in [*wanted, *of_a_moment]}
        self._controls.set_axis_shown(bool(run.metrics))
        self.grid.set_widgets(list(self._shown.values()))

    def _show_curve(self, key: str, curve: Curve) -> None:
        if self._drawn.get(key) is curve:
            return
        self._drawn[key] = curve
        share = "accuracy" in curve.y_label or "accuracy" in curve.name
        chart = self._chart(key, words(curve.name), Scale.SHARE if share else Scale.NUMBER, Scale.NUMBER, curve.x_label)
        chart.add_curve(
            curve.name, curve.y_label or words(curve.name), curve_data(curve), 0,
            interval=curve.interval, hint=f"{words(curve.name)} as of step {curve.step:,}",
        )  # fmt: skip

    def _chart(self, key: str, title: str, y_scale: Scale, x_scale: Scale, x_label: str) -> Chart:
        chart = self._charts.get(key)
        if chart is None:
            chart = self._charts[key] = Chart(title, y_scale=y_scale, x_scale=x_scale, x_label=x_label, parent=self)
            chart.set_menu(ChartMenu(chart))
            chart.hide()
            chart.cursor_moved.connect(lambda x, moved=key: self._on_cursor(moved, x))
        chart.set_axes(x_label, x_scale, y_scale)
        chart.set_smoothing(self._controls.smoothing)
        chart.set_x_axis(self._controls.x_axis)
        chart.set_growing(self._growing and not key.startswith("curve:"))
        return chart

    def _on_smoothing(self, weight: float) -> None:
        for chart in self._shown.values():
            chart.set_smoothing(weight)

    def _on_axis(self, axis: XAxis) -> None:
        for chart in self._shown.values():
            chart.set_x_axis(axis)

    def _on_cursor(self, moved: str, x: float | None) -> None:
        """Charts over training move their read-outs together."""
        if not moved.startswith("metric:"):
            return
        for key, chart in self._shown.items():
            if key != moved and key.startswith("metric:") and chart.x_axis is self._shown[moved].x_axis:
                chart.set_cursor(x)
