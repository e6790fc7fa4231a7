"""Watching one run: how it stands, its curves as they grow, pictures, log, results, specification."""

from __future__ import annotations

from collections.abc import Callable
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
from difrob_gui.models.run_model import RunModel
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
    """One run, live or ended. It draws the model that the feed hub keeps of the run, and what the client's mirror says of it.

    ``anew_wanted`` carries the id of a run whose settings are to be changed and started as another run; ``failed`` says what
    could not be done with a run that is no longer in view.
    """

    anew_wanted = Signal(str)
    failed = Signal(str)

    def __init__(self, feeds: FeedHub, client: SupervisorLike, parent: QWidget | None = None) -> None:
        """An empty page."""
        super().__init__(parent)
        self._feeds, self._client = feeds, client
        self._model: RunModel | None = None
        self._is_opened = False  # whether the tab that suits the run was chosen
        self._clock = QTimer(self)
        self._clock.setInterval(CLOCK_MS)
        self._build()
        self._clock.timeout.connect(self._on_tick)
        self.status.stop_wanted.connect(self._on_stop)
        self.status.resume_wanted.connect(self._on_resume)
        self.status.log_wanted.connect(self._show_log)
        self.status.anew_wanted.connect(lambda: self.anew_wanted.emit(self.run_id))
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
        return self._run.run_id

    @property
    def is_read(self) -> bool:
        """Whether nothing of the run in view is still to be read for the first time."""
        return self._model is None or self._model.is_read

    def show_run(self, run_id: str) -> None:
        """Watch this run."""
        if run_id != self.run_id:
            self._turn_to(self._feeds.run(run_id))
            self._stack.setCurrentWidget(self._content)

    def show_nothing(self) -> None:
        """Forget the run, for instance because it was removed."""
        self._turn_to(None)
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

    def _turn_to(self, model: RunModel | None) -> None:
        """Let go of the run in view, and draw another one or none: nothing of the last one stays until the next one is read."""
        left, self._model = self._model, None
        if left is not None:
            left.changed.disconnect(self._on_changed)
            left.failed.disconnect(self._on_failed)
            self._feeds.release(left)
        self.board.clear()
        self._draw_all()
        self._is_opened = False
        if model is not None:
            self._model = model
            model.changed.connect(self._on_changed)
            model.failed.connect(self._on_failed)
            self._draw_all()

    def _on_changed(self, _run_id: str, update: FeedUpdate) -> None:
        if update.reset:
            self._draw_all()
            return
        self.log.append(update.log)
        if update.metrics or update.curves:
            self.board.show_run(self._run)
        if update.pictures:
            self.images.set_pictures(self._run.pictures)
        self._draw_summary()

    def _on_failed(self, _run_id: str, _message: str) -> None:
        self._draw_summary()

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

    @property
    def _run(self) -> RunData:
        """What is known of the run in view; nothing without one."""
        return self._model.data if self._model is not None else RunData("")

    def _draw_all(self) -> None:
        """Everything of the run in view, in place of all that stood here."""
        run = self._run
        self.log.clear()
        self.log.append(run.log)
        self.board.show_run(run)
        self.images.set_pictures(run.pictures)
        self._draw_summary()
        if run.summary is not None and not self._is_opened:
            self._is_opened = True
            if self.tabs.currentIndex() == 0 and run.pictures and not (run.metrics or run.curves):
                self.tabs.setCurrentIndex(1)

    def _draw_summary(self) -> None:
        run = self._run
        self.results.show_results(run.results)
        self._results_stack.setCurrentIndex(1 if run.results else 0)
        self.spec.show_run(run.summary)
        self._name_tabs(run)
        self._show_standing()
        self._show_problem()
        self._show_waiting()

    def _standing(self) -> RunStanding | None:
        """The queue knows the state of a run first, its file everything else."""
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
            self.status.clear()
        else:
            self.status.show()
            self.status.show_standing(standing)
        self.board.set_growing(standing is not None and standing.state.is_live)
        self._show_log_ended(standing is not None and standing.state.is_end)
        self._run_clock()

    def _show_problem(self) -> None:
        """Why the run cannot be read. One that waits in the queue has no file so far, which is as it should be."""
        run = self._run
        message = self._model.problem if self._model is not None else ""
        entry = self._client.mirror.entries.get(run.run_id)
        if not message or (entry is not None and run.summary is None and not entry.state.is_end):
            self.problem.silence()
            return
        listed = self._feeds.summary_of(run.run_id)
        self.problem.say("bad", "Cannot be read", message, advice=RECOVER if listed and listed.damaged else "")

    def _show_log_ended(self, ended: bool) -> None:
        """The log of an ended run without lines takes one line; with the next run that has some its height comes back."""
        is_whole = self._run.summary is not None and self._model is not None and not self._model.problem
        ended = ended and is_whole  # else there may be lines that are still to be read
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
        filled = bool(self._run.metrics or self._run.curves)
        self._charts_stack.setCurrentIndex(1 if filled else 0)
        if filled:
            return
        standing = self._standing()
        if standing is None and self.is_read:
            message = ("monitor", "No curves to show", "What the run recorded cannot be read.")
        elif standing is None:
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
        self._client.call("stop", self._told(), run_id=self.run_id, grade=grade)

    def _on_resume(self) -> None:
        self._client.call("resume", self._told(), run_id=self.run_id)

    def _show_log(self) -> None:
        if not self.splitter.sizes()[1]:
            self.splitter.setSizes([600, 200])
        self.log.search.clear()
        self.log.levels.setCurrentIndex(0)
        self.log.go_to_end()
        self.log.text.setFocus()

    def _told(self) -> Callable[[object, str | None], None]:
        """What hears how an order for the run in view went: the answer may come when another one is in view."""
        run_id = self.run_id

        def done(_result: object, error: str | None) -> None:
            if error is not None and run_id == self.run_id:
                self.problem.say("bad", "Not done", error)
            elif error is not None:
                self.failed.emit(f"{run_id}: {error}")

        return done

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
