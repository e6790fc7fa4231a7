"""The charts of one run, made from the names of what it recorded."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from difrob.quantities import Place, quantity_of
from difrob.runs import Curve
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.series_data import SeriesData, XAxis
from difrob_gui.charts.ticks import Scale
from difrob_gui.models.chart_plans import plan_charts, scale_of
from difrob_gui.models.run_data import RunData
from difrob_gui.widgets.chart_controls import ChartControls
from difrob_gui.widgets.responsive_grid import ResponsiveGrid


class ChartBoard(QWidget):
    """Charts in a grid; curves over another quantity (radius, eps) come first, they are what the run is about.

    Curves of one moment of a training (accuracy by class, attack success by step, spectrum of the features) come last: its
    metrics say how it goes.

    Charts are used again for the next run: making one costs more than filling it. What was hidden stays hidden, and what was
    zoomed stays zoomed, until the board is cleared for another run: also when this one is read anew, or groups its metrics
    otherwise.
    """

    def __init__(self, controls: ChartControls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controls = controls
        self._charts: dict[str, Chart] = {}
        self._shown: dict[str, Chart] = {}
        self._hidden: set[str] = set()
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
        """Show no charts, and forget how they were looked at."""
        for chart in self._charts.values():
            chart.clear()
        self._shown, self._hidden = {}, set()
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
            is_of_a_moment = quantity_of(name, curve).place is Place.MOMENT
            (of_a_moment if is_of_a_moment else wanted).append(key)
            self._show_curve(key, curve, run.drawn_curves[name])
        for plan in plan_charts(run.quantities):
            key = f"metric:{plan.key}"
            wanted.append(key)
            chart = self._chart(key, plan.title, plan.scale, Scale.COUNT, unit)
            chart.set_title(plan.title)
            for name in chart.curves.keys() - set(plan.names):
                chart.remove_curve(name)  # a later metric can change which ones belong together
            for style, quantity in enumerate(plan.quantities):
                name, data = quantity.name, run.metrics[quantity.name]
                known = chart.curves.get(name)
                if known is None or known.data is not data or known.style != style:
                    chart.add_curve(
                        name, quantity.legend, data, style, interval=run.interval(name), hint=quantity.heading
                    )
                    chart.set_curve_shown(name, f"metric:{name}" not in self._hidden)
            chart.touch()
        shown = {key: self._charts[key] for key in [*wanted, *of_a_moment]}
        for key in self._shown.keys() - shown.keys():
            for name in list(self._charts[key].curves):
                self._charts[key].remove_curve(name)
        self._shown = shown
        self._controls.set_axis_shown(bool(run.metrics))
        self.grid.set_widgets(list(self._shown.values()))

    def _show_curve(self, key: str, curve: Curve, data: SeriesData) -> None:
        known = self._charts[key].curves.get(curve.name) if key in self._charts else None
        if known is not None and known.data is data:
            return
        quantity = quantity_of(curve.name, curve)
        chart = self._chart(key, quantity.heading, scale_of(quantity), Scale.NUMBER, curve.x_label)
        chart.add_curve(
            curve.name, curve.y_label or quantity.heading, data, 0,
            interval=curve.interval, hint=f"{quantity.heading} as of step {curve.step:,}",
        )  # fmt: skip
        chart.set_curve_shown(curve.name, key not in self._hidden)

    def _chart(self, key: str, title: str, y_scale: Scale, x_scale: Scale, x_label: str) -> Chart:
        chart = self._charts.get(key)
        if chart is None:
            chart = self._charts[key] = Chart(title, y_scale=y_scale, x_scale=x_scale, x_label=x_label, parent=self)
            chart.set_menu(ChartMenu(chart))
            chart.hide()
            chart.cursor_moved.connect(lambda x, moved=key: self._on_cursor(moved, x))
            chart.legend.toggled.connect(lambda name, key=key: self._on_toggled(key, name))
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

    def _on_toggled(self, key: str, name: str) -> None:
        """Remember what was hidden by name: a metric can come back, or move to another chart."""
        mark = f"{key.partition(':')[0]}:{name}"
        (self._hidden.discard if self._charts[key].curves[name].shown else self._hidden.add)(mark)

    def _on_cursor(self, moved: str, x: float | None) -> None:
        """Charts over training move their read-outs together."""
        if not moved.startswith("metric:"):
            return
        for key, chart in self._shown.items():
            if key != moved and key.startswith("metric:") and chart.x_axis is self._shown[moved].x_axis:
                chart.set_cursor(x)
