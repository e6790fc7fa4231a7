"""The reader thread's half of the window's reading: it polls the watched runs, lists the workspace, and carries out tasks.

It polls live runs five times a second, and never sends a run's next update before the last one was taken, so a busy window
delays news but loses none.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from difrob.errors import UserError
from difrob.runs.records import FeedUpdate, RunSummary
from difrob.specs import list_presets

TICK_MS = 200
LIST_SECONDS = 1.5
LIST_WITHIN = 0.5  # a look at thousands of new runs shows the newest at once and the others bit by bit
FIRST_WITHIN = 0.1  # the first one fills the table, before anybody can have scrolled
ABSENT_SECONDS = 1.0


class _Feed(Protocol):
    def poll(self) -> FeedUpdate: ...


class WorkspaceLike(Protocol):
    """What the hub needs of ``difrob.runs.Workspace``."""

    @property
    def unlisted_runs(self) -> int: ...

    def summaries(self, within: float | None = None) -> list[RunSummary]: ...

    def feed(self, run_id: str) -> _Feed: ...


class _Watched:
    """A run that somebody watches."""

    def __init__(self) -> None:
        self.feed: _Feed | None = None
        self.summary: RunSummary | None = None
        self.listed: RunSummary | None = None
        self.in_flight = False
        self.not_before = 0.0
        self.complaint = ""


class FeedReader(QObject):
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
        self._watched: dict[str, _Watched] = {}
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
        for run_id in list(self._watched):
            self.unsubscribe(run_id)
        QThread.currentThread().quit()

    @Slot(str)
    def subscribe(self, run_id: str) -> None:
        self._watched.setdefault(run_id, _Watched())
        self._poll(run_id)

    @Slot(str)
    def unsubscribe(self, run_id: str) -> None:
        self._drop_feed(self._watched.pop(run_id, None))

    @Slot(str)
    def acknowledge(self, run_id: str) -> None:
        watched = self._watched.get(run_id)
        if watched is not None:
            watched.in_flight = False

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
        for run_id, watched in self._watched.items():
            summary = watched.summary
            listed = (self._summaries or {}).get(run_id)
            if summary is None or not summary.state.is_end or listed != watched.listed:
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
        watched = self._watched.get(run_id)
        now = time.monotonic()
        if watched is None or watched.in_flight or now < watched.not_before:
            return
        # Only now: a change that cannot be followed while an update is under way is not to be forgotten.
        watched.listed = (self._summaries or {}).get(run_id)
        try:
            if watched.feed is None:
                watched.feed = self._workspace.feed(run_id)
            update = watched.feed.poll()
        except Exception as error:
            self._drop_feed(watched)
            watched.not_before = now + ABSENT_SECONDS
            self._complain_once(run_id, error)
            return
        watched.complaint = ""
        changed = update.summary != watched.summary
        watched.summary = update.summary
        if changed or not update.is_empty:
            watched.in_flight = True
            self.updated.emit(run_id, update)

    def _complain_once(self, run_id: str, error: Exception) -> None:
        """Tell a failure once, not five times a second."""
        foreseen = isinstance(error, UserError)
        message = str(error) if foreseen else f"{type(error).__name__}: {error}"
        if run_id in self._watched:
            known, self._watched[run_id].complaint = self._watched[run_id].complaint, message
        else:
            known, self._list_complaint = self._list_complaint, message
        if message == known:
            return
        self.failed.emit(run_id, message)
        if not foreseen:
            trace = "".join(traceback.format_exception(error))
            self.trouble.emit(f"reading {run_id or 'the list of runs'} failed\n{trace}")

    @staticmethod
    def _drop_feed(watched: _Watched | None) -> None:
        if watched is not None and watched.feed is not None:
            close = getattr(watched.feed, "close", None)
            watched.feed = None
            if close is not None:
                close()
