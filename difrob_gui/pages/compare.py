"""Several runs side by side: curves over training, curves over radius or eps, results, specifications."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QStackedWidget,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from difrob.comparison import unlike_conditions, warning_text
from difrob.runs import FeedUpdate, RunSummary
from difrob.specs import trains
from difrob.words import plural
from difrob_gui.feeds import FeedHub
from difrob_gui.models.compared_runs import ComparedRunsModel
from difrob_gui.models.run_model import RunModel
from difrob_gui.supervisor_like import SupervisorLike
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.badges import Banner
from difrob_gui.widgets.compared_curves import CurvesTab, MetricsTab
from difrob_gui.widgets.compared_tables import DifferencesTab, ResultsTab
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.swatch_delegate import SwatchDelegate

LEAST_ROWS, MOST_ROWS = 2, 7


class ComparePage(QWidget):
    """The runs that are ticked in the table of runs. What is unticked here is left out of everything on the page."""

    def __init__(self, feeds: FeedHub, client: SupervisorLike, parent: QWidget | None = None) -> None:
        """An empty page; ``feeds`` is the FeedHub. The client is not needed: nothing is done to runs here."""
        super().__init__(parent)
        self._feeds = feeds
        self._models: dict[str, RunModel] = {}
        self._tab_chosen = False
        self.runs = ComparedRunsModel()
        self._build()
        self.runs.shown_changed.connect(self._show_all)
        for tab in (self.metrics, self.curves):
            tab.toggled.connect(self.runs.set_shown)

    # ------------------------------------------------------------------ what others call

    def show_runs(self, run_ids: list[str]) -> None:
        """Compare these runs."""
        wanted = list(dict.fromkeys(run_ids))
        left = [model for run_id, model in self._models.items() if run_id not in wanted]
        self._models = {run_id: self._models.get(run_id) or self._join(run_id) for run_id in wanted}
        for model in left:
            self._leave(model)
        self.runs.set_runs(wanted)
        for model in self._models.values():
            if model.data.summary is not None:
                self.runs.set_summary(model.data.summary)
        self._stack.setCurrentIndex(1 if wanted else 0)
        self._fit_table()
        self._show_all()
        self._choose_tab()

    @property
    def unread(self) -> list[str]:
        """The runs that are still to be read for the first time."""
        return [run_id for run_id, model in self._models.items() if not model.is_read]

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self.setAccessibleName("Compare")
        empty = EmptyState(
            "compare", "No runs chosen",
            "Tick two or more runs in the table at the left. Their curves, results and settings then stand side by side here.",
        )  # fmt: skip
        self.count = QLabel()
        set_role(self.count, "muted")
        title = QLabel("Compare")
        set_role(title, "title")
        self.table = QTableView()
        self.table.setModel(self.runs)
        self.table.setAccessibleName("Compared runs")
        self.table.setItemDelegateForColumn(1, SwatchDelegate(self.table))
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.setVerticalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, 56)
        header.setStretchLastSection(True)
        self.banner = Banner()
        self.problem = Banner()

        self.metrics = MetricsTab()
        self.curves = CurvesTab()
        self.results = ResultsTab()
        self.differences = DifferencesTab()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleName("Ways to compare")
        for widget, name, picture in (
            (self.metrics, "Over training", "monitor"),
            (self.curves, "Other curves", "certificate"),
            (self.results, "Results", "results"),
            (self.differences, "Specifications", "spec"),
        ):
            self.tabs.addTab(widget, icon(picture, "text_muted"), name)

        self.tabs.tabBarClicked.connect(self._on_tab_clicked)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(20, 16, 20, 12)
        layout.setSpacing(8)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(title)
        head.addWidget(self.count, 1, Qt.AlignmentFlag.AlignBottom)
        layout.addLayout(head)
        layout.addWidget(self.table)
        layout.addWidget(self.banner)
        layout.addWidget(self.problem)
        layout.addWidget(self.tabs, 1)
        self._stack = QStackedWidget()
        self._stack.addWidget(empty)
        self._stack.addWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_table()

    # ------------------------------------------------------------------ news

    def _join(self, run_id: str) -> RunModel:
        model = self._feeds.run(run_id)
        model.changed.connect(self._on_changed)
        model.failed.connect(self._show_problem)
        return model

    def _leave(self, model: RunModel) -> None:
        model.changed.disconnect(self._on_changed)
        model.failed.disconnect(self._show_problem)
        self._feeds.release(model)

    def _on_changed(self, run_id: str, update: FeedUpdate) -> None:
        run = self._models[run_id].data
        is_new = self.runs.set_summary(update.summary)
        begun = any(len(run.metrics[name]) == len(series.step) for name, series in update.metrics.items())
        if update.reset or begun or update.curves:
            self._show_all()
            self._choose_tab()
            return
        if is_new:
            self._show_summaries()
        if update.metrics:
            self.metrics.touch()

    # ------------------------------------------------------------------ showing

    def _show_all(self, *_: object) -> None:
        self._show_problem()
        self._show_summaries()
        self._show_curves()

    def _show_problem(self, *_: object) -> None:
        """Name the first run that cannot be read."""
        for run_id, model in self._models.items():
            if model.problem:
                self.problem.say("bad", f"{self.runs.title(run_id)} cannot be read.", model.problem)
                return
        self.problem.silence()

    def _show_summaries(self) -> None:
        shown = self._summaries()
        hidden = len(self.runs.run_ids) - len(self.runs.shown_ids)
        self.count.setText(plural(len(self.runs.run_ids), "run") + (f", {hidden} switched off" if hidden else ""))
        warning = warning_text(unlike_conditions(shown))
        if warning:
            self.banner.say("warning", "Not like with like.", warning)
        else:
            self.banner.silence()
        titles = [self.runs.title(summary.run_id) for summary in shown]
        self._fit_table()
        self.results.show_runs(shown, titles)
        self.differences.show_runs(shown, titles)

    def _show_curves(self) -> None:
        shown = set(self.runs.shown_ids)
        runs = [
            (model.data, self.runs.title(run_id), self.runs.style_of(run_id), run_id in shown)
            for run_id, model in self._models.items()
            if model.data.summary is not None
        ]
        self.metrics.show_runs(runs)
        self.curves.show_runs(runs)

    def _choose_tab(self) -> None:
        """Open the first tab that has something to show, until somebody chooses otherwise.

        Runs that only measure are compared by their own curves first, even where they share a metric.
        """
        summaries = self._summaries()
        if self._tab_chosen or not summaries:
            return
        measures = not any(trains(summary.kind) for summary in summaries)
        has_curves = any(model.data.curves for model in self._models.values())
        has_metrics = bool(self.metrics.chosen_metric)
        if has_curves and (measures or not has_metrics):
            tab = 1
        elif has_metrics or not any(summary.results for summary in summaries):
            tab = 0
        else:
            tab = 2
        self.tabs.setCurrentIndex(tab)

    def _on_tab_clicked(self, _index: int) -> None:
        self._tab_chosen = True

    def _summaries(self) -> list[RunSummary]:
        found = (self.runs.summary(run_id) for run_id in self.runs.shown_ids)
        return [summary for summary in found if summary is not None]

    def _fit_table(self) -> None:
        """As high as its rows, but not more than a share of the page."""
        count = max(self.runs.rowCount(), 1)
        rows = min(count, max(LEAST_ROWS, min(MOST_ROWS, self.height() // 130)))
        row_height = max(self.table.verticalHeader().defaultSectionSize(), self.fontMetrics().height() + 10)
        self.table.verticalHeader().setDefaultSectionSize(row_height)
        frame = self.table.horizontalHeader().sizeHint().height() + 6
        self.table.setMinimumHeight(frame + min(count, LEAST_ROWS) * row_height)
        self.table.setMaximumHeight(frame + rows * row_height)
        # Names get what they need, but leave half of the room to the main results.
        header = self.table.horizontalHeader()
        room = self.table.viewport().width() - sum(header.sectionSize(column) for column in (1, 2, 3))
        names = [self.fontMetrics().horizontalAdvance(self.runs.title(run_id)) for run_id in self.runs.run_ids]
        header.resizeSection(0, max(min(max(names, default=0) + 52, room // 2), 120))
