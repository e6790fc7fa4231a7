"""Everything the window reads from files, in one helper thread.

The GUI thread asks by method calls and hears by signals; it never opens a file. The reader polls live runs five times a
second, and never sends a run's next update before the last one was taken, so a busy window delays news but loses none.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from difrob.errors import UserError
from difrob.runs.records import FeedUpdate, RunSummary
from difrob.specs import Preset, list_presets

log = logging.getLogger(__name__)

TICK_MS = 200
LIST_SECONDS = 1.5
LIST_WITHIN = 0.5  # a look at thousands of new runs shows the newest at once and the others bit by bit
FIRST_WITHIN = 0.1  # the first one fills the table, before anybody can have scrolled
ABSENT_SECONDS = 1.0
CLOSE_MS = 10_000

_LEFT_BEHIND: list[tuple[QThread, QObject]] = []


class _Feed(Protocol):
    def poll(self) -> FeedUpdate: ...


class WorkspaceLike(Protocol):
    """What the hub needs of ``difrob.runs.Workspace``."""

    @property
    def unlisted_runs(self) -> int: ...

    def summaries(self, within: float | None = None) -> list[RunSummary]: ...

    def feed(self, run_id: str) -> _Feed: ...


class _Open:
    """A run that somebody watches."""

    def __init__(self) -> None:
        self.feed: _Feed | None = None
        self.summary: RunSummary | None = None
        self.listed: RunSummary | None = None
        self.wants_full = True
        self.in_flight = False
        self.not_before = 0.0
        self.complaint = ""


class _Reader(QObject):
    """Lives in the helper thread and does all reading there."""

    updated = Signal(str, object)
    summaries_read = Signal(object)
    presets_read = Signal(object)
    failed = Signal(str, str)
    trouble = Signal(str)
    task_done = Signal(int, object, str)

    def __init__(self, workspace: WorkspaceLike) -> None:
        super().__init__()
        self._workspace = workspace
        self._open: dict[str, _Open] = {}
        self._summaries: dict[str, RunSummary] | None = None
        self._next_list = 0.0
        self._list_complaint = ""
        self._timer: QTimer | None = None

    @Slot()
    def start(self) -> None:
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        self.tick()
        self.read_presets()

    @Slot()
    def stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        for run_id in list(self._open):
            self.unsubscribe(run_id)
        QThread.currentThread().quit()

    @Slot(str)
    def subscribe(self, run_id: str) -> None:
        self._open.setdefault(run_id, _Open())
        self._poll(run_id)

    @Slot(str)
    def unsubscribe(self, run_id: str) -> None:
        self._drop_feed(self._open.pop(run_id, None))

    @Slot(str)
    def request_full(self, run_id: str) -> None:
        watched = self._open.get(run_id)
        if watched is not None:
            watched.wants_full = True
            self._poll(run_id)

    @Slot(str)
    def acknowledge(self, run_id: str) -> None:
        watched = self._open.get(run_id)
        if watched is not None:
            watched.in_flight = False
            if watched.wants_full:
                self._poll(run_id)

    @Slot()
    def refresh(self) -> None:
        self._next_list = 0.0
        self.tick()

    @Slot()
    def read_presets(self) -> None:
        try:
            self.presets_read.emit(list_presets())
        except UserError as error:
            self.failed.emit("", str(error))

    @Slot(int, object, bool)
    def run_task(self, number: int, task: Callable[[Any], Any], changes: bool) -> None:
        try:
            self.task_done.emit(number, task(self._workspace), "")
        except UserError as error:
            self.task_done.emit(number, None, str(error))
        except Exception as error:
            self.trouble.emit(f"a task failed\n{traceback.format_exc()}")
            self.task_done.emit(number, None, f"{type(error).__name__}: {error}")
        if changes:
            self.refresh()

    @Slot()
    def tick(self) -> None:
        if time.monotonic() >= self._next_list:
            self._list()
        for run_id, watched in self._open.items():
            summary = watched.summary
            listed = (self._summaries or {}).get(run_id)
            if summary is None or watched.wants_full or not summary.state.is_end or listed != watched.listed:
                watched.listed = listed
                self._poll(run_id)

    def _list(self) -> None:
        started = time.monotonic()
        try:
            summaries = self._workspace.summaries(FIRST_WITHIN if self._summaries is None else LIST_WITHIN)
        except Exception as error:
            self._next_list = time.monotonic() + 5 * LIST_SECONDS
            self._complain_once("", error)
            return
        self._list_complaint = ""
        taken = time.monotonic() - started
        if not self._workspace.unlisted_runs:
            self._next_list = time.monotonic() + max(LIST_SECONDS, 10 * taken)
        by_id = {summary.run_id: summary for summary in summaries}
        if by_id != self._summaries:
            self._summaries = by_id
            self.summaries_read.emit(summaries)

    def _poll(self, run_id: str) -> None:
        watched = self._open.get(run_id)
        now = time.monotonic()
        if watched is None or watched.in_flight or (now < watched.not_before and not watched.wants_full):
            return
        try:
            if watched.feed is None or watched.wants_full:
                self._drop_feed(watched)
                watched.feed = self._workspace.feed(run_id)
            update = watched.feed.poll()
        except Exception as error:
            self._drop_feed(watched)
            watched.wants_full = False
            watched.not_before = now + ABSENT_SECONDS
            self._complain_once(run_id, error)
            return
        watched.complaint = ""
        watched.wants_full = False
        changed = update.summary != watched.summary
        watched.summary = update.summary
        if changed or not update.is_empty:
            watched.in_flight = True
            self.updated.emit(run_id, update)

    def _complain_once(self, run_id: str, error: Exception) -> None:
        """Tell a failure once, not five times a second."""
        foreseen = isinstance(error, UserError)
        message = str(error) if foreseen else f"{type(error).__name__}: {error}"
        if run_id in self._open:
            known, self._open[run_id].complaint = self._open[run_id].complaint, message
        else:
            known, self._list_complaint = self._list_complaint, message
        if message == known:
            return
        self.failed.emit(run_id, message)
        if not foreseen:
            trace = "".join(traceback.format_exception(error))
            self.trouble.emit(f"reading {run_id or 'the list of runs'} failed\n{trace}")

    @staticmethod
    def _drop_feed(watched: _Open | None) -> None:
        if watched is not None and watched.feed is not None:
            close = getattr(watched.feed, "close", None)
            watched.feed = None
            if close is not None:
                close()


class FeedHub(QObject):
    """The one place where the window gets run files from.

    Signals:
        updated: ``(run id, FeedUpdate)`` for each watched run with news; the first one has ``reset``.
        summaries_changed: the list of all runs, whenever it changed.
        presets_changed: the list of presets.
        failed: ``(run id or "", message)`` when something could not be read.
    """

    updated = Signal(str, object)
    summaries_changed = Signal(object)
    presets_changed = Signal(object)
    failed = Signal(str, str)

    _subscribe = Signal(str)
    _unsubscribe = Signal(str)
    _request_full = Signal(str)
    _acknowledge = Signal(str)
    _refresh = Signal()
    _reread_presets = Signal()
    _run_task = Signal(int, object, bool)
    _stop = Signal()

    def __init__(self, workspace: WorkspaceLike, parent: QObject | None = None) -> None:
        """The helper thread starts, and reads the list for the first time, as soon as the event loop runs."""
        super().__init__(parent)
        self._summaries: list[RunSummary] = []
        self._by_id: dict[str, RunSummary] = {}
        self._presets: list[Preset] = []
        self._counts: Counter[str] = Counter()
        self._tasks: dict[int, Callable[[Any, str | None], None] | None] = {}
        self._next_task = 0
        self._listed = False
        self._closed = False

        self._workspace = workspace
        self._thread = QThread(self)
        self._thread.setObjectName("difrob reader")
        self._reader = _Reader(workspace)
        self._reader.moveToThread(self._thread)
        self._thread.started.connect(self._reader.start)
        self._subscribe.connect(self._reader.subscribe)
        self._unsubscribe.connect(self._reader.unsubscribe)
        self._request_full.connect(self._reader.request_full)
        self._acknowledge.connect(self._reader.acknowledge)
        self._refresh.connect(self._reader.refresh)
        self._reread_presets.connect(self._reader.read_presets)
        self._run_task.connect(self._reader.run_task)
        self._stop.connect(self._reader.stop)
        self._reader.updated.connect(self._on_updated)
        self._reader.summaries_read.connect(self._on_summaries)
        self._reader.presets_read.connect(self._on_presets)
        self._reader.failed.connect(self.failed)
        self._reader.trouble.connect(self._on_trouble)
        self._reader.task_done.connect(self._on_task_done)
        QTimer.singleShot(0, self, self._begin)  # with the event loop: a window that fails to build leaves no thread

    @property
    def summaries(self) -> list[RunSummary]:
        """All runs of the workspace as last read."""
        return self._summaries

    @property
    def is_complete(self) -> bool:
        """Whether the list holds every run; of thousands without an index, the older ones come bit by bit."""
        return self._listed and not self._workspace.unlisted_runs

    @property
    def presets(self) -> list[Preset]:
        """All presets as last read."""
        return self._presets

    def summary_of(self, run_id: str) -> RunSummary | None:
        """The latest summary of one run, or None while it has no file."""
        return self._by_id.get(run_id)

    def subscribe(self, run_id: str) -> None:
        """Watch a run. When it is watched already, everything of it is sent once more."""
        self._counts[run_id] += 1
        if self._counts[run_id] == 1:
            self._subscribe.emit(run_id)
        else:
            self._request_full.emit(run_id)

    def unsubscribe(self, run_id: str) -> None:
        """Watch a run no more; counted, so that two pages may watch the same run."""
        if self._counts[run_id] <= 0:
            return
        self._counts[run_id] -= 1
        if self._counts[run_id] == 0:
            del self._counts[run_id]
            self._unsubscribe.emit(run_id)

    def request_full(self, run_id: str) -> None:
        """Ask for an update with everything (``reset``) of a watched run."""
        self._request_full.emit(run_id)

    def refresh(self) -> None:
        """Read the list of runs now instead of at the next turn."""
        self._refresh.emit()

    def reload(self) -> None:
        """Read the list of runs and the presets now."""
        self._refresh.emit()
        self._reread_presets.emit()

    def submit(
        self, task: Callable[[Any], Any], done: Callable[[Any, str | None], None] | None = None, *, changes: bool = True
    ) -> None:
        """Run ``task(workspace)`` in the reader thread; ``done(result, error)`` then runs in the GUI thread.

        ``changes`` says whether the list of runs may be another one afterwards, and is to be read at once.
        """
        self._next_task += 1
        self._tasks[self._next_task] = done
        self._run_task.emit(self._next_task, task, changes)

    def close(self) -> None:
        """Stop reading and join the thread."""
        if self._closed:
            return
        self._closed = True
        self._reader.updated.disconnect(self._on_updated)
        self._reader.summaries_read.disconnect(self._on_summaries)
        self._stop.emit()
        if not self._thread.wait(CLOSE_MS):
            log.error("the reader thread is stuck in a file; leaving it behind")
            self._thread.setParent(None)
            _LEFT_BEHIND.append((self._thread, self._reader))

    def _begin(self) -> None:
        if not self._closed:
            self._thread.start()

    def _on_updated(self, run_id: str, update: FeedUpdate) -> None:
        if self._closed:
            return
        try:
            if self._counts[run_id] > 0:
                self.updated.emit(run_id, update)
        finally:
            self._acknowledge.emit(run_id)

    def _on_summaries(self, summaries: list[RunSummary]) -> None:
        self._listed = True
        self._summaries = summaries
        self._by_id = {summary.run_id: summary for summary in summaries}
        self.summaries_changed.emit(summaries)

    def _on_trouble(self, text: str) -> None:
        log.error("%s", text)

    def _on_presets(self, presets: list[Preset]) -> None:
        self._presets = presets
        self.presets_changed.emit(presets)

    def _on_task_done(self, number: int, result: Any, error: str) -> None:
        done = self._tasks.pop(number, None)
        if done is not None:
            done(result, error or None)
        elif error:
            self.failed.emit("", error)
