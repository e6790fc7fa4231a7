"""Watching one run: how it stands, its curves as they grow, pictures, log, results, specification."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from difrob.runs import FeedUpdate, Progress, RunState
from difrob.worker.messages import LiveProgress
from difrob_gui.feeds import FeedHub
from difrob_gui.models.results_model import ResultsModel
from difrob_gui.models.run_data import RunData
from difrob_gui.standing import RECOVER, RunStanding
from difrob_gui.supervisor_like import SupervisorLike
from difrob_gui.theme import icon, set_role
from difrob_gui.widgets.badges import Banner
from difrob_gui.widgets.chart_board import ChartBoard
from difrob_gui.widgets.chart_controls import ChartControls
from difrob_gui.widgets.empty_state import EmptyState
from difrob_gui.widgets.image_browser import ImageBrowser
from difrob_gui.widgets.log_view import LogView
from difrob_gui.widgets.meters import MeterStrip
from difrob_gui.widgets.results_view import ResultsView
from difrob_gui.widgets.run_status import RunStatus
from difrob_gui.widgets.spec_tree import SpecTree

CLOCK_MS = 1000


class MonitorPage(QWidget):
    """One run, live or ended. All data come from the feed hub and from the client's mirror.

    ``anew_wanted`` carries the id of a run whose settings are to be changed and started as another run.
    """

    anew_wanted = Signal(str)

    def __init__(self, feeds: FeedHub, client: SupervisorLike, parent: QWidget | None = None) -> None:
        """An empty page."""
        super().__init__(parent)
        self._feeds, self._client = feeds, client
        self._run: RunData | None = None
        self._generation = -1
        self._logged = 0
        self._clock = QTimer(self)
        self._clock.setInterval(CLOCK_MS)
        self._build()
        self._clock.timeout.connect(self._on_tick)
        self.status.stop_wanted.connect(self._on_stop)
        self.status.resume_wanted.connect(self._on_resume)
        self.status.log_wanted.connect(self._show_log)
        self.status.anew_wanted.connect(lambda: self.anew_wanted.emit(self.run_id))
        feeds.updated.connect(self._on_updated)
        feeds.failed.connect(self._on_failed)
        client.progress_changed.connect(self._on_run_changed)
        client.entry_changed.connect(self._on_run_changed)
        client.entry_removed.connect(self._on_run_changed)
        client.state_changed.connect(self._on_state)
        client.meters_changed.connect(self._on_meters)
        self._on_meters()

    # ------------------------------------------------------------------ what others call

    @property
    def run_id(self) -> str:
        """The run in view; empty without one."""
        return self._run.run_id if self._run is not None else ""

    @property
    def is_read(self) -> bool:
        """Whether nothing of the run in view is still to be read for the first time."""
        return self._run is None or self._run.summary is not None or not self.problem.isHidden()

    def show_run(self, run_id: str) -> None:
        """Watch this run."""
        if run_id == self.run_id:
            return
        self._leave()
        self._run = RunData(run_id)
        self._logged = 0
        self.board.clear()
        self.images.set_pictures({})
        self.log.clear()
        self.results.show_results({})
        self.problem.silence()
        self._stack.setCurrentWidget(self._content)
        self._show_standing()
        self._show_waiting()
        self._feeds.subscribe(run_id)

    def show_nothing(self) -> None:
        """Forget the run, for instance because it was removed."""
        self._leave()
        self._run = None
        self._clock.stop()
        self._stack.setCurrentWidget(self._empty)

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self._empty = EmptyState(
            "monitor", "No run in view",
            "Choose a run in the table at the left. If there is none yet, start one on the Launch page.",
        )  # fmt: skip
        self.status = RunStatus()
        self.meters = MeterStrip()
        self.problem = Banner()
        self.controls = ChartControls()
        self.board = ChartBoard(self.controls)
        self.images = ImageBrowser()
        self.log = LogView()
        self.spec = SpecTree()
        self.results = ResultsModel()
        self.results_view = ResultsView(self.results)
        self._no_results = EmptyState(
            "results",
            "No results yet",
            "Final numbers with their intervals appear here when the run has measured them.",
        )
        self._results_stack = QStackedWidget()
        self._results_stack.addWidget(self._no_results)
        self._results_stack.addWidget(self.results_view)

        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleName("Parts of the run")
        for widget, name, picture in (
            (self._charts_tab(), "Curves", "monitor"),
            (_padded(self.images), "Pictures", "image"),
            (_padded(self._results_stack), "Results", "results"),
            (_padded(self.spec), "Specification", "spec"),
        ):
            self.tabs.addTab(widget, icon(picture, "text_muted"), name)

        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.addWidget(self.tabs)
        self.splitter.addWidget(self.log)
        self.splitter.setStretchFactor(0, 4)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setCollapsible(0, False)
        self.splitter.setHandleWidth(8)
        self.splitter.setSizes([600, 120])
        self._heights: list[int] = []  # of both panes, while a log without lines has given up its own

        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(20, 16, 20, 12)
        layout.setSpacing(8)
        layout.addWidget(self.status)
        layout.addWidget(self.problem)
        layout.addWidget(self.meters)
        layout.addWidget(self.splitter, 1)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)
        self.setAccessibleName("Monitor")

    def _charts_tab(self) -> QWidget:
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(self.board)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        set_role(self.board, "plain")
        self._no_curves = EmptyState("monitor", "", "")
        self._charts_stack = QStackedWidget()
        self._charts_stack.addWidget(self._no_curves)
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 8, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.controls)
        layout.addWidget(area, 1)
        self._charts_stack.addWidget(filled)
        return self._charts_stack

    # ------------------------------------------------------------------ news

    def _on_updated(self, run_id: str, update: FeedUpdate) -> None:
        run = self._run
        if run is None or run_id != run.run_id:
            return
        is_first = run.summary is None
        run.apply(update)
        self.problem.silence()
        if run.generation != self._generation:
            self._generation = run.generation
            self._logged = 0
            self.board.clear()
            self.log.clear()
        self.log.append(run.log[self._logged :])
        self._logged = len(run.log)
        self._show_standing()
        if update.metrics or update.curves or update.reset:
            self.board.show_run(run)
        if update.pictures or update.reset:
            self.images.set_pictures(run.pictures)
        self.results.show_results(run.results)
        self._results_stack.setCurrentIndex(1 if run.results else 0)
        self.spec.show_run(update.summary)
        self._name_tabs(run)
        self._show_waiting()
        if is_first and self.tabs.currentIndex() == 0 and run.pictures and not (run.metrics or run.curves):
            self.tabs.setCurrentIndex(1)

    def _on_failed(self, run_id: str, message: str) -> None:
        if self._run is None or run_id != self._run.run_id:
            return
        entry = self._client.mirror.entries.get(run_id)
        if entry is not None and self._run.summary is None and not entry.state.is_end:
            return
        listed = self._feeds.summary_of(run_id)
        mend = RECOVER if listed and listed.damaged else ""
        self._show_log_ended(False)
        self.problem.say("bad", "Cannot be read", message, advice=mend)
        self._show_waiting()

    def _on_run_changed(self, run_id: str) -> None:
        if run_id == self.run_id:
            self._show_standing()
            self._show_waiting()

    def _on_state(self) -> None:
        self._on_run_changed(self.run_id)
        self._on_meters()

    def _on_meters(self) -> None:
        self.meters.show_meters(self._client.mirror.meters)

    # ------------------------------------------------------------------ showing

    def _standing(self) -> RunStanding | None:
        """The queue knows the state of a run first, its file everything else."""
        if self._run is None:
            return None
        run_id, summary = self._run.run_id, self._run.summary
        entry = self._client.mirror.entries.get(run_id)
        live = self._client.mirror.progress.get(run_id)
        known = summary if summary is not None else entry
        if known is None:
            return None
        spec = known.spec
        state = entry.state if entry is not None else known.state
        progress: Progress | LiveProgress | None = summary.progress if summary is not None else None
        if live is not None and state.is_live:
            progress = live
        reason = (entry.reason if entry is not None else "") or (summary.reason if summary is not None else "")
        cause = (entry.cause if entry is not None else "") or (summary.cause if summary is not None else "")
        extra: dict[str, Any] = {"progress": _progress(progress)} if progress is not None else {}
        if summary is not None:
            extra |= {
                "started": summary.started, "ended": summary.ended, "device": summary.device, "host": summary.host,
                "has_checkpoint": summary.has_checkpoint, "damaged": summary.damaged,
            }  # fmt: skip
        if entry is not None:
            extra |= {
                "stop_grade": entry.stop_grade, "stop_deadline": entry.stop_deadline,
                "stuck_since": entry.stuck_since, "stuck_deadline": entry.stuck_deadline,
            }  # fmt: skip
            extra.setdefault("device", ", ".join(entry.on_lanes))
        return RunStanding(
            run_id,
            str(spec.get("kind", "")),
            str(spec.get("name", "") or (summary.name if summary is not None else "")),
            state,
            reason if state.is_end or state is RunState.QUEUED else "",
            cause if state.is_end else "",
            waiting=live.waiting if live is not None and state.is_live else "",
            **extra,
        )

    def _show_standing(self) -> None:
        standing = self._standing()
        if standing is None:
            self.status.hide()
            return
        self.status.show()
        self.status.show_standing(standing)
        self.board.set_growing(standing.state.is_live)
        self._show_log_ended(standing.state.is_end)
        self._run_clock()

    def _show_log_ended(self, ended: bool) -> None:
        """The log of an ended run without lines takes one line; with the next run that has some its height comes back."""
        run = self._run
        if ended and (run is None or run.summary is None):
            return  # its lines are still to be read
        was_quiet = self.log.is_quiet
        if not was_quiet:
            self._heights = self.splitter.sizes()
        self.log.set_ended(ended)
        if was_quiet and not self.log.is_quiet:
            self.splitter.setSizes(self._heights)
        elif self.log.is_quiet and not was_quiet:
            line = self.log.sizeHint().height()
            self.splitter.setSizes([sum(self._heights) - line, line])

    def _show_waiting(self) -> None:
        """What stands in place of curves that are not there."""
        run = self._run
        if run is None:
            return
        filled = bool(run.metrics or run.curves)
        self._charts_stack.setCurrentIndex(1 if filled else 0)
        if filled:
            return
        standing = self._standing()
        if standing is None:
            message = ("clock", "Reading the run", "Its file is being opened.")
        elif standing.state is RunState.QUEUED:
            message = ("clock", "Waiting in the queue", "Its curves appear here as soon as it runs.")
        elif standing.state.is_live and (standing.is_stuck or standing.stop_grade):
            message = ("clock", "No values so far", "The log below tells how far it came.")
        elif standing.state.is_live:
            message = ("spinner", "Starting", "The first values come within seconds.")
        else:
            message = ("monitor", "No curves were recorded", "See its pictures, its results and the log below.")
        self._no_curves.show_message(*message)

    def _name_tabs(self, run: RunData) -> None:
        pictures = sum(len(batches) for batches in run.pictures.values())
        for number, (name, count) in enumerate((("Pictures", pictures), ("Results", len(run.results))), start=1):
            self.tabs.setTabText(number, f"{name}  {count}" if count else name)

    # ------------------------------------------------------------------ doing

    def _on_stop(self, grade: str) -> None:
        self._client.call("stop", self._tell, run_id=self.run_id, grade=grade)

    def _on_resume(self) -> None:
        self._client.call("resume", self._tell, run_id=self.run_id)

    def _show_log(self) -> None:
        if not self.splitter.sizes()[1]:
            self.splitter.setSizes([600, 200])
        self.log.search.clear()
        self.log.levels.setCurrentIndex(0)
        self.log.go_to_end()
        self.log.text.setFocus()

    def _tell(self, _result: object, error: str | None) -> None:
        if error is not None:
            self.problem.say("bad", "Not done", error)

    def _leave(self) -> None:
        if self._run is not None:
            self._feeds.unsubscribe(self._run.run_id)

    # ------------------------------------------------------------------ clock

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._run_clock()

    def _on_tick(self) -> None:
        # Noticed here and not in hideEvent: Qt still hides widgets while the interpreter is shutting down.
        if self.isVisible():
            self.status.tick()
        else:
            self._clock.stop()

    def _run_clock(self) -> None:
        standing = self.status.standing
        if self.isVisible() and standing is not None and standing.state.is_live:
            if not self._clock.isActive():
                self._clock.start()
        else:
            self._clock.stop()


def _padded(widget: QWidget) -> QWidget:
    holder = QWidget()
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 10, 0, 0)
    layout.addWidget(widget)
    return holder


def _progress(source: Progress | LiveProgress) -> Progress:
    """Progress from a summary or from a live message."""
    return Progress(source.done, source.total, source.unit, source.seconds_left)
