"""What can be done with the chosen entries of the queue; the supervisor's answers change the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal

from difrob.runs import RunState
from difrob.worker.messages import Entry
from difrob_gui.client import SupervisorClient
from difrob_gui.models.queue_model import QueueModel, QueueRow


class QueueCommands(QObject):
    """``notice(text, (label, undo) or None)`` tells what was done, ``failed(text)`` what was refused."""

    notice = Signal(str, object)
    failed = Signal(str)

    def __init__(
        self,
        client: SupervisorClient,
        model: QueueModel,
        chosen: Callable[[], list[QueueRow]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._model = model
        self._chosen = chosen
        model.move_wanted.connect(self.move_before)

    def allows(self, action_id: str) -> bool:
        """Whether an action on the chosen entries makes sense now."""
        rows = self._chosen()
        waiting = [row for row in rows if row.state is RunState.QUEUED]
        if action_id in ("queue.up", "queue.down", "queue.top", "queue.bottom"):
            step = action_id.partition(".")[2]
            return self._model.target_for([row.run_id for row in waiting], step) is not None
        if action_id == "queue.hold":
            return bool(waiting)
        if action_id == "queue.edit":
            return len(rows) == 1 and bool(waiting)
        if action_id == "queue.remove":
            return bool(rows) and not any(row.state.is_live for row in rows)
        return bool(rows)

    def move(self, step: str) -> None:
        """Move the chosen entries ``up``, ``down``, to the ``top`` or ``bottom``."""
        target = self._model.target_for([row.run_id for row in self._chosen()], step)
        if target is not None:
            self.move_before(target[0], target[1] or "")

    def move_before(self, run_ids: list[str], before: str) -> None:
        """Move entries in front of another one, or to the end when ``before`` is empty."""
        self._client.call("move", self._told("Not moved"), run_ids=run_ids, before=before or None)

    def hold(self) -> None:
        """Hold the chosen waiting entries, or release them when all are held."""
        waiting = [row for row in self._chosen() if row.state is RunState.QUEUED]
        held = not all(row.entry.held for row in waiting)
        for row in waiting:
            self._client.call("hold", self._told("Not held"), run_id=row.run_id, held=held)

    def duplicate(self) -> None:
        """Put the chosen entries into the queue once more."""
        for row in self._chosen():
            self._client.call("duplicate", self._told("Not duplicated"), run_id=row.run_id)

    def toggle_pause(self) -> None:
        """Pause the whole queue, or let it go on."""
        paused = not self._client.state.paused
        self._client.call("pause_queue", self._told("The queue did not change"), paused=paused)

    def set_policy(self, policy: str) -> None:
        """What the queue does after a failure."""
        self._client.call("set_policy", self._told("The policy did not change"), on_failure=policy)

    def remove(self) -> None:
        """Take the chosen entries out; waiting ones can be put back."""
        rows = self._chosen()
        if not self.allows("queue.remove"):
            return
        order = [entry.run_id for entry in self._client.state.entries]
        waiting = [row.entry for row in rows if row.state is RunState.QUEUED]
        leaving = {entry.run_id for entry in waiting}
        followers = {
            entry.run_id: next((i for i in order[order.index(entry.run_id) + 1 :] if i not in leaving), None)
            for entry in waiting
        }

        def removed(_result: Any, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"Not removed: {error}")
                return
            count = "1 entry" if len(rows) == 1 else f"{len(rows)} entries"
            undo = ("Undo", lambda: self._put_back(waiting, followers)) if waiting else None
            self.notice.emit(f"{count} removed from the queue.", undo)

        self._client.call("remove", removed, run_ids=[row.run_id for row in rows])

    def _put_back(self, entries: list[Entry], followers: dict[str, str | None]) -> None:
        """Submit removed entries again under their ids, and move them to where they stood."""

        def done(_result: Any, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"Not put back: {error}")
                return
            for entry in entries:
                if (before := followers[entry.run_id]) is not None:
                    self._client.call("move", self._told("Not moved"), run_ids=[entry.run_id], before=before)

        requests = [
            {"run_id": e.run_id, "spec": e.spec, "after": e.after, "lane": e.lane, "held": e.held} for e in entries
        ]
        self._client.call("submit", done, entries=requests)

    def _told(self, failure: str) -> Callable[[Any, str | None], None]:
        def done(_result: Any, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"{failure}: {error}")

        return done
