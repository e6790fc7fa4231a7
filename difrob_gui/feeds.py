"""Everything the window reads from files, in one helper thread, and the one model of each run that somebody watches.

The GUI thread asks by method calls and hears by signals; it never opens a file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QThread, QTimer, Signal
from shiboken6 import isValid

from difrob.runs.records import FeedUpdate, RunSummary
from difrob.specs import Preset
from difrob_gui.feed_reader import FeedReader, WorkspaceLike
from difrob_gui.models.run_model import RunModel

log = logging.getLogger(__name__)

CLOSE_MS = 10_000

_LEFT_BEHIND: list[tuple[QThread, QObject]] = []


class FeedHub(QObject):
    """The one place where the window gets run files from.

    Signals:
        summaries_changed: the list of all runs, whenever it changed.
        presets_changed: the list of presets.
        failed: ``(run id or "", message)`` when something could not be read.
    """

    summaries_changed = Signal(object)
    presets_changed = Signal(object)
    failed = Signal(str, str)

    _subscribe = Signal(str)
    _unsubscribe = Signal(str)
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
        self._runs: dict[str, RunModel] = {}
        self._holders: Counter[str] = Counter()
        self._tasks: dict[int, tuple[QObject, Callable[[Any, str | None], None] | None]] = {}
        self._next_task = 0
        self._listed = False
        self._closed = False

        self._workspace = workspace
        self._thread = QThread(self)
        self._thread.setObjectName("difrob reader")
        self._reader = FeedReader(workspace)
        self._reader.moveToThread(self._thread)
        self._thread.started.connect(self._reader.start)
        self._subscribe.connect(self._reader.subscribe)
        self._unsubscribe.connect(self._reader.unsubscribe)
        self._acknowledge.connect(self._reader.acknowledge)
        self._refresh.connect(self._reader.refresh)
        self._reread_presets.connect(self._reader.read_presets)
        self._run_task.connect(self._reader.run_task)
        self._stop.connect(self._reader.stop)
        self._reader.updated.connect(self._on_updated)
        self._reader.summaries_read.connect(self._on_summaries)
        self._reader.presets_read.connect(self._on_presets)
        self._reader.failed.connect(self._on_failed)
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

    def run(self, run_id: str) -> RunModel:
        """The model of a run, which is read from now on if nobody watched it so far. Give it back by :meth:`release`."""
        model = self._runs.get(run_id)
        if model is None:
            model = self._runs[run_id] = RunModel(run_id)
            self._subscribe.emit(run_id)
        self._holders[run_id] += 1
        return model

    def release(self, model: RunModel) -> None:
        """Let go of a model that :meth:`run` gave; when nobody holds it any more, the run is no longer read."""
        run_id = model.run_id
        if self._runs.get(run_id) is not model:
            return
        self._holders[run_id] -= 1
        if self._holders[run_id] == 0:
            del self._holders[run_id], self._runs[run_id]
            self._unsubscribe.emit(run_id)

    def refresh(self) -> None:
        """Read the list of runs now instead of at the next turn."""
        self._refresh.emit()

    def reload(self) -> None:
        """Read the list of runs and the presets now."""
        self._refresh.emit()
        self._reread_presets.emit()

    def submit(
        self,
        asker: QObject,
        task: Callable[[Any], Any],
        done: Callable[[Any, str | None], None] | None = None,
        *,
        changes: bool = True,
    ) -> None:
        """Run ``task(workspace)`` in the reader thread; ``done(result, error)`` then runs in the GUI thread.

        Args:
            asker: who wants to know; when it has gone by the time of the answer, nobody is told.
            task: runs in the reader thread.
            done: hears what came of it, or what went wrong.
            changes: whether the list of runs may be another one afterwards, and is to be read at once.
        """
        self._next_task += 1
        self._tasks[self._next_task] = (asker, done)
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
            model = self._runs.get(run_id)
            if model is not None:
                model.take(update)
        finally:
            self._acknowledge.emit(run_id)

    def _on_failed(self, run_id: str, message: str) -> None:
        model = self._runs.get(run_id)
        if model is not None:
            model.fail(message)
        self.failed.emit(run_id, message)

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
        asker, done = self._tasks.pop(number)
        if not isValid(asker):
            return
        if done is not None:
            done(result, error or None)
        elif error:
            self.failed.emit("", error)
