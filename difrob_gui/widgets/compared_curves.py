"""The charts of the Compare page: one metric of all runs over training, and whole curves over radius or eps."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from difrob.comparison import shared_names, without
from difrob.quantities import Quantity, quantity_of
from difrob_gui.charts.chart import Chart
from difrob_gui.charts.menu import ChartMenu
from difrob_gui.charts.ticks import Scale
from difrob_gui.models.chart_plans import scale_of
from difrob_gui.models.run_data import RunData
from difrob_gui.theme import set_role
from difrob_gui.widgets.chart_controls import ChartControls
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.responsive_grid import ResponsiveGrid

Compared = tuple[RunData, str, int, bool]
LAST = 1_000  # behind all metrics that may stand for a run


class MetricsTab(QWidget):
    """One metric of all runs in one chart."""

    toggled = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: list[Compared] = []
        self._wanted = ""
        self.chooser = QComboBox()
        self.chooser.setAccessibleName("Metric")
        self.chooser.setToolTip("Metrics that at least two of the chosen runs have recorded")
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.setMinimumContentsLength(10)
        self.chooser.setMaximumWidth(self.fontMetrics().averageCharWidth() * 44)
        self.controls = ChartControls()
        self.chart = Chart("")
        self.chart.set_menu(ChartMenu(self.chart))
        self.missing = QLabel()
        self.missing.setWordWrap(True)
        set_role(self.missing, "caption")
        self._empty = EmptyState(
            "monitor", "No metric in common",
            "The chosen runs recorded no metric that two of them share. Choose runs of one kind to see them in one chart.",
        )  # fmt: skip
        bar = QHBoxLayout()
        bar.setSpacing(8)
        label = QLabel("&Metric")
        label.setBuddy(self.chooser)
        set_role(label, "muted")
        bar.addWidget(label)
        bar.addWidget(self.chooser, 2)
        bar.addSpacing(8)
        bar.addWidget(self.controls, 3)
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 10, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(bar)
        layout.addWidget(self.chart, 1)
        layout.addWidget(self.missing)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(filled)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)
        self.chooser.activated.connect(self._on_chosen)
        self.controls.smoothing_changed.connect(self.chart.set_smoothing)
        self.controls.axis_changed.connect(self.chart.set_x_axis)
        self.chart.legend.toggled.connect(self._on_toggled)

    @property
    def chosen_metric(self) -> str:
        """The metric in view; empty without one."""
        return str(self.chooser.currentData() or "")

    def show_runs(self, runs: list[Compared]) -> None:
        """Show these runs: data, title, style, whether shown."""
        self._runs = list(runs)
        names = shared_names([run.metrics for run, _, _, shown in runs if shown] or [])
        names.sort(key=self._rank)
        if [self.chooser.itemData(row) for row in range(self.chooser.count())] != names:
            self.chooser.clear()
            for name in names:
                self.chooser.addItem(self._quantity(name).heading, name)
            self.chooser.setCurrentIndex(max(self.chooser.findData(self._wanted), 0))
        self._stack.setCurrentIndex(1 if names else 0)
        self._draw()

    def touch(self) -> None:
        """Values were added."""
        self.chart.touch()

    def _quantity(self, name: str) -> Quantity:
        """What a metric is, as the first run that has it says."""
        return next((run.quantity(name) for run, *_ in self._runs if name in run.metrics), quantity_of(name))

    def _rank(self, name: str) -> int:
        """What stands best for a run comes first."""
        rank = self._quantity(name).rank
        return LAST if rank is None else rank

    def _on_chosen(self) -> None:
        self._wanted = self.chosen_metric
        self.chart.clear()
        self._draw()

    def _on_toggled(self, run_id: str) -> None:
        self.toggled.emit(run_id, self.chart.curves[run_id].shown)

    def _draw(self) -> None:
        name = self.chosen_metric
        if not name:
            self.chart.clear()
            return
        quantity = self._quantity(name)
        scale, title = scale_of(quantity), quantity.heading
        if title != self.chart.title:
            self.chart.clear()
            self.chart.set_title(title)
        having = [(run, label, style, shown) for run, label, style, shown in self._runs if name in run.metrics]
        units = {run.summary.progress.unit for run, *_ in having if run.summary is not None}
        self.chart.set_axes(units.pop() if len(units) == 1 else "step", Scale.COUNT, scale)
        for key in set(self.chart.curves) - {run.run_id for run, *_ in having}:
            self.chart.remove_curve(key)
        for run, label, style, shown in having:
            data = run.metrics[name]
            known = self.chart.curves.get(run.run_id)
            if known is None or (known.data, known.label, known.style) != (data, label, style):
                self.chart.add_curve(run.run_id, label, data, style, interval=run.interval(name), hint=run.run_id)
            self.chart.set_curve_shown(run.run_id, shown)
        live = any(run.summary is not None and run.summary.state.is_live for run, *_ in having)
        self.chart.set_growing(live)
        shown_runs = [(run, label) for run, label, _, shown in self._runs if shown]
        self.missing.setText(
            without(title, [name in run.metrics for run, _ in shown_runs], [label for _, label in shown_runs])
        )
        self.chart.touch()


class CurvesTab(QWidget):
    """Certified accuracy over radius, robust accuracy over eps: one chart per curve that any run has."""

    toggled = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._charts: dict[str, Chart] = {}
        self.grid = ResponsiveGrid(least_width=420, row_height=320, most_columns=2)
        self.missing = QLabel()
        self.missing.setWordWrap(True)
        set_role(self.missing, "caption")
        self._empty = EmptyState(
            "certificate", "No other curves",
            "Certification records certified accuracy over the radius, evaluation robust accuracy over eps, analyses and "
            "probes theirs. Choose runs of these kinds.",
        )  # fmt: skip
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        set_role(self.grid, "plain")
        area.setWidget(self.grid)
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 10, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(area, 1)
        layout.addWidget(self.missing)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(filled)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)

    @property
    def charts(self) -> dict[str, Chart]:
        """The charts in view, by the name of the curve."""
        return {name: chart for name, chart in self._charts.items() if not chart.isHidden()}

    def show_runs(self, runs: list[Compared]) -> None:
        """Show these runs: data, title, style, whether shown."""
        names = list(dict.fromkeys(name for run, *_ in runs for name in run.curves))
        for name in self._charts.keys() - set(names):
            self._charts[name].clear()
        shown_runs = [(run, label) for run, label, _, shown in runs if shown]
        notes = []
        for name in names:
            self._draw(name, runs)
            have = [name in run.curves for run, _ in shown_runs]
            heading = self._charts[name].title
            notes.append(without(heading, have, [title for _, title in shown_runs]))
            labels = dict.fromkeys(run.curves[name].x_label for run, _ in shown_runs if name in run.curves)
            if len(labels) > 1:
                notes.append(f"The {heading.lower()} curves run over different quantities: {'; '.join(labels)}.")
        self.missing.setText("  ".join(note for note in notes if note))
        self.grid.set_widgets([self._charts[name] for name in names])
        self._stack.setCurrentIndex(1 if names else 0)

    def _draw(self, name: str, runs: list[Compared]) -> None:
        first = next(run.curves[name] for run, *_ in runs if name in run.curves)
        chart = self._charts.get(name)
        if chart is None:
            quantity = quantity_of(name, first)
            scale = scale_of(quantity)
            chart = Chart(quantity.heading, y_scale=scale, x_scale=Scale.NUMBER, x_label=first.x_label, parent=self)
            chart.set_menu(ChartMenu(chart))
            chart.hide()
            chart.legend.toggled.connect(
                lambda run_id, chart=chart: self.toggled.emit(run_id, chart.curves[run_id].shown)
            )
            self._charts[name] = chart
        chart.set_axes(first.x_label, Scale.NUMBER, chart.y_scale)
        having = [(run, label, style, shown) for run, label, style, shown in runs if name in run.curves]
        for key in set(chart.curves) - {run.run_id for run, *_ in having}:
            chart.remove_curve(key)
        for run, label, style, shown in having:
            curve, data = run.curves[name], run.drawn_curves[name]
            known = chart.curves.get(run.run_id)
            if known is None or (known.data, known.label, known.style) != (data, label, style):
                hint = f"{run.run_id}, as of step {curve.step:,}"
                chart.add_curve(run.run_id, label, data, style, interval=curve.interval, hint=hint)
            chart.set_curve_shown(run.run_id, shown)
