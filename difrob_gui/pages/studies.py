"""Studies: comparisons declared beforehand, run through the queue, and decided by their own rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelectionModel, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QStackedWidget, QVBoxLayout, QWidget

from difrob.runs import RunState
from difrob.words import plural
from difrob_gui.feeds import FeedHub
from difrob_gui.models.study_models import StudiesModel
from difrob_gui.models.study_shelf import Shown, StudyShelf
from difrob_gui.models.study_words import standing_text
from difrob_gui.supervisor_like import Answered, SupervisorLike
from difrob_gui.theme import set_role
from difrob_gui.widgets.badges import Banner
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.row_table import fit_rows, row_table
from difrob_gui.widgets.scrolling import scroll_area
from difrob_gui.widgets.study_view import StudyView

if TYPE_CHECKING:
    from difrob.studies.report import Report
    from difrob.studies.study_records import StudyRecord

SETTLE_MS = 400


class StudiesPage(QWidget):
    """A table of studies and the chosen one below it.

    ``notice`` carries (text, tone, (label, function) or None) with ``tone`` one of ``info``, ``good``, ``bad``.
    """

    notice = Signal(str, str, object)
    compare_wanted = Signal(list)
    changed = Signal()

    def __init__(
        self, feeds: FeedHub, client: SupervisorLike, shelf: StudyShelf, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._feeds, self._client, self.shelf = feeds, client, shelf
        self._wanted = ""
        self._reported: dict[str, object] = {}
        self._is_closed = False
        self.model = StudiesModel()
        self._build()
        shelf.changed.connect(self._on_shelf)
        shelf.reported.connect(self._on_report)
        self._clock = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._clock.timeout.connect(self._stand)
        for news in (feeds.summaries_changed, client.state_changed, client.entry_changed, client.entry_removed):
            news.connect(self._on_news)
        if shelf.is_read:
            self._on_shelf()

    # ------------------------------------------------------------------ what others call

    def close_down(self) -> None:
        """The window closes; what is still being read comes too late."""
        self._is_closed = True
        self._clock.stop()

    @property
    def current(self) -> Shown | None:
        """The chosen study."""
        rows = self.table.selectionModel().selectedRows()
        keys = self.model.study_keys()
        return self.shelf.get(keys[rows[0].row()]) if rows and rows[0].row() < len(keys) else None

    def choose(self, key: str) -> None:
        """Show a study; one that is not listed yet as soon as it is."""
        self._wanted = key
        if key in self.model.study_keys():
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            row = self.model.study_keys().index(key)
            self.table.selectionModel().setCurrentIndex(self.model.index(row, 0), flags)
            self._wanted = ""

    def allows(self, action_id: str) -> bool:
        """Whether an action on the chosen study makes sense now."""
        button = {
            "study.run": self.view.begin_button, "study.continue": self.view.continue_button,
            "study.compare": self.view.compare_button,
        }[action_id]  # fmt: skip
        return self.current is not None and not button.isHidden() and button.isEnabled()

    def states_of(self, shown: Shown) -> list[RunState | None]:
        """State of each run of a study that was begun: of its file, else of its entry in the queue."""
        entries = self._client.mirror.entries
        states: list[RunState | None] = []
        for run_id in shown.run_ids:
            summary, entry = self._feeds.summary_of(run_id), entries.get(run_id)
            live = entry is not None and not entry.state.is_end
            states.append(entry.state if entry and (live or summary is None) else summary.state if summary else None)
        return states

    def go_on(self) -> None:
        """Queue again what is missing of the chosen study."""
        shown = self.current
        if shown is None or shown.record is None:
            return
        from difrob.studies.continuing import what_is_missing

        files = {run_id: s.state for run_id in shown.run_ids if (s := self._feeds.summary_of(run_id)) is not None}
        queued = {run_id: e.state for run_id, e in self._client.mirror.entries.items()}
        missing = what_is_missing(shown.record.plan, files, queued)
        if missing.is_nothing:
            self.notice.emit("Nothing is missing: every run has finished or is on its way.", "info", None)
            return
        told = self._told("Not continued")
        if missing.forgotten:
            self._client.call("remove", told, run_ids=missing.forgotten)
        if missing.requests:
            self._client.call("submit", told, entries=missing.requests)
        for run_id in missing.again:
            self._client.call("resume", told, run_id=run_id)
        text = f"{plural(len(missing.requests), 'run')} queued anew, {len(missing.again)} resumed."
        self.notice.emit(text, "good", None)

    def compare(self) -> None:
        """Show the runs that the outcomes are read from side by side."""
        shown = self.current
        if shown is None or shown.record is None:
            return
        stages = {outcome.stage for outcome in shown.study.outcomes.values()}
        cells = shown.record.plan.cells.items()
        measured = dict.fromkeys(run_id for (_, _, stage), run_id in cells if stage in stages)
        self.compare_wanted.emit([run_id for run_id in measured if self._feeds.summary_of(run_id) is not None])

    def begin(self, seeds: tuple[int, ...]) -> None:
        """Write the record of the chosen study, then queue its runs."""
        shown = self.current
        if shown is None:
            return
        self.view.set_busy(True)

        def written(record: StudyRecord | None, error: str | None) -> None:
            if self._is_closed:
                return
            if record is None:
                self.view.set_busy(False)
                self.notice.emit(f"Not begun: {error}", "bad", None)
                return
            self._client.call("submit", lambda _, why: queued(record, why), entries=record.plan.requests())

        def queued(record: StudyRecord, error: str | None) -> None:
            if self._is_closed:
                return
            self.view.set_busy(False)
            self.choose(record.study_id)
            self.shelf.refresh()
            if error is not None:
                text = f"The study was written down, but its runs were not queued: {error}. “Continue” tries again."
                self.notice.emit(text, "bad", None)
            else:
                self.notice.emit(f"Begun: {plural(len(record.plan.entries), 'run')} queued.", "good", None)

        self.shelf.begin(shown.study, seeds, written)

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self.setAccessibleName("Studies")
        title = QLabel("Studies")
        set_role(title, "title")
        self.count = QLabel("Arms, seeds, outcomes, and the rule that decides, declared before anything runs.")
        self.count.setWordWrap(True)
        set_role(self.count, "muted")
        self.problem = Banner()
        self.table = row_table("Studies")
        self.table.setModel(self.model)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.selectionModel().selectionChanged.connect(self._on_chosen)
        self.view = StudyView()
        self.view.begin_wanted.connect(self.begin)
        self.view.continue_wanted.connect(self.go_on)
        self.view.compare_wanted.connect(self.compare)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(20, 16, 20, 12)
        column.setSpacing(10)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(title)
        head.addWidget(self.count, 1, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(head)
        column.addWidget(self.problem)
        column.addWidget(self.table)
        column.addWidget(scroll_area(self.view), 1)
        empty = EmptyState(
            "studies", "No studies", "A study is one JSON file: arms that differ in stated fields, seeds that they share, and "
            "what decides. None came with this installation; “difrob study run FILE.json” begins one of your own.",
        )  # fmt: skip
        self._stack = QStackedWidget()
        self._stack.addWidget(EmptyState("studies", "Studies", "Reading the declarations …"))
        self._stack.addWidget(content)
        self._stack.addWidget(empty)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)

    # ------------------------------------------------------------------ news

    def _on_shelf(self) -> None:
        chosen = self.current
        key = self._wanted or (chosen.key if chosen is not None else "")
        studies = self.shelf.studies
        self.model.show_studies(studies.all())
        self._fit()
        keys = self.model.study_keys()
        if keys:
            self.choose(key if key in keys else keys[0])
        self._stack.setCurrentIndex(1 if keys or studies.problems else 2)
        if studies.problems:
            self.problem.say("warning", "Left out:", "; ".join(studies.problems))
        else:
            self.problem.silence()
        self._stand()

    def _on_chosen(self, *_: object) -> None:
        shown = self.current
        if shown is not None:
            self.view.show_study(shown)
            self._reported.pop(shown.key, None)
            self._stand()
        self.changed.emit()

    def _on_news(self, *_: object) -> None:
        if not self._clock.isActive() and self.shelf.studies.begun:
            self._clock.start()

    def _stand(self) -> None:
        """Say how far the studies are, and work out the report of the chosen one anew when its runs have changed."""
        stands = {}
        for begun in self.shelf.studies.begun:
            states = self.states_of(begun)
            finished = sum(state is RunState.FINISHED for state in states)
            stands[begun.key] = (standing_text(states), bool(states) and finished == len(states))
        self.model.show_standing(stands)
        shown = self.current
        if shown is None or shown.record is None:
            return
        states = self.states_of(shown)
        self.view.show_states(states, any(s is None or (s.is_end and s is not RunState.FINISHED) for s in states))
        summaries = [self._feeds.summary_of(run_id) for run_id in shown.run_ids]
        signature = [(s.state, s.reason, s.results) if s is not None else None for s in summaries]
        if self._reported.get(shown.key) != signature:
            self._reported[shown.key] = signature
            self.shelf.report(shown)
        self.changed.emit()

    def _on_report(self, key: str, report: Report | None, problem: str) -> None:
        if self.view.shown is not None and self.view.shown.key == key:
            self.view.show_report(report, problem)

    def _told(self, failure: str) -> Answered:
        def done(_result: object, error: str | None) -> None:
            if error is not None:
                self.notice.emit(f"{failure}: {error}", "bad", None)

        return done

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """The table is as high as its rows, but leaves most of the page to the chosen one."""
        fit_rows(self.table, self.height() // 120)
