"""What can be done with one run, from menus, keys and context menus alike."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication

from difrob.runs import RunState, Workspace
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.models.run_row import RunRow
from difrob_gui.supervisor_like import Answered
from difrob_gui.widgets.toasts import Tone

_STOPPABLE = {RunState.STARTING, RunState.RUNNING, RunState.PAUSING, RunState.PAUSED}
_RESUMABLE = {RunState.PAUSED, RunState.PAUSING, RunState.INTERRUPTED, RunState.FAILED, RunState.CANCELLED}


class RunCommands(QObject):
    """Acts on the run that ``current`` gives.

    Signals:
        notice: ``(text, tone, (label, function) or None)``, what has happened.
        removed: the run of this id was moved into the bin.
    """

    notice = Signal(str, object, object)
    removed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        feeds: FeedHub,
        client: SupervisorClient,
        current: Callable[[], RunRow | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._feeds = feeds
        self._client = client
        self._current = current

    def allows(self, action_id: str) -> bool:
        """Whether an action on the current run makes sense now."""
        row = self._current()
        if row is None:
            return False
        state = row.state
        if action_id == "run.pause":
            return state is RunState.RUNNING
        if action_id == "run.resume":
            return state in _RESUMABLE
        if action_id == "run.stop":
            return state in _STOPPABLE or state is RunState.QUEUED
        if action_id == "run.abort":
            return state in _STOPPABLE or state is RunState.STOPPING
        if action_id == "run.kill":
            return state.is_live
        if action_id == "run.remove":
            return state.is_end and row.has_file
        if action_id == "run.show_file":
            return row.has_file
        return True

    def stop(self, grade: str) -> None:
        """Stop the current run by a grade: ``pause``, ``stop``, ``abort`` or ``kill``."""
        row = self._current()
        if row is not None:
            self._client.call("stop", self._told(f"“{row.title}” was not stopped"), run_id=row.run_id, grade=grade)

    def resume(self) -> None:
        """Let the current run go on, or queue it again from its last checkpoint."""
        row = self._current()
        if row is None:
            return
        if row.state.is_end and not row.has_checkpoint:
            text = f"“{row.title}” has no checkpoint and starts from the beginning."
            self.notice.emit(text, Tone.INFO, None)
        self._client.call("resume", self._told(f"“{row.title}” was not resumed"), run_id=row.run_id)

    def copy_id(self) -> None:
        """Put the id of the current run on the clipboard."""
        row = self._current()
        if row is not None:
            QGuiApplication.clipboard().setText(row.run_id)
            self.notice.emit(f"Copied {row.run_id}", Tone.INFO, None)

    def show_file(self) -> None:
        """Open the folder of the current run's file."""
        row = self._current()
        if row is not None:
            path = self._workspace.run_path(row.run_id)
            self._open_folder(str(path.parent), f"The file is {path}")

    def show_workspace(self) -> None:
        """Open the folder of the workspace."""
        self._open_folder(str(self._workspace.root), f"The workspace is {self._workspace.root}")

    def remove(self) -> None:
        """Move the current run to the bin; it can be taken back."""
        row = self._current()
        if row is None or not self.allows("run.remove"):
            return
        waiting = [
            str(entry.spec.get("name") or entry.run_id)
            for entry in self._client.state.entries
            if row.run_id in entry.after and entry.state is RunState.QUEUED
        ]
        if waiting:
            text = f"“{waiting[0]}” waits in the queue for “{row.title}”; remove that entry first."
            self.notice.emit(text, Tone.WARNING, None)
            return
        run_id, title = row.run_id, row.title

        def done(_result: object, error: str | None) -> None:
            if error is not None:
                self.notice.emit(f"Not removed: {error}", Tone.BAD, None)
                return
            if run_id in self._client.mirror.entries:
                self._client.call("remove", lambda _result, _error: None, run_ids=[run_id])
            self.removed.emit(run_id)
            self.notice.emit(f"“{title}” is in the bin.", Tone.INFO, ("Undo", lambda: self._restore(run_id)))

        self._feeds.submit(self, lambda workspace: workspace.remove_run(run_id), done)

    def _restore(self, run_id: str) -> None:
        def done(_result: object, error: str | None) -> None:
            if error is not None:
                self.notice.emit(f"Not taken out of the bin: {error}", Tone.BAD, None)

        self._feeds.submit(self, lambda workspace: workspace.restore_run(run_id), done)

    def _open_folder(self, folder: str, otherwise: str) -> None:
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(folder)):
            self.notice.emit(otherwise, Tone.INFO, None)

    def _told(self, failure: str) -> Answered:
        def done(_result: object, error: str | None) -> None:
            if error is not None:
                self.notice.emit(f"{failure}: {error}", Tone.BAD, None)

        return done
