"""What can be done with the chosen entries of the queue; the supervisor's answers change the table."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from difrob.runs import RunState
from difrob_gui.client import SupervisorClient
from difrob_gui.models.queue_model import QueueModel, QueueRow
from difrob_gui.supervisor_like import Answered

LEAST_PRIORITY, MOST_PRIORITY = -100, 100
MOST_SAID = 3


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
            way = action_id.partition(".")[2]
            return self._model.target_for([row.run_id for row in waiting], way) is not None
        if action_id in ("queue.raise", "queue.lower"):
            step = 1 if action_id == "queue.raise" else -1
            return any(_stepped(row, step) != row.entry.priority for row in waiting)
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

    def change_priority(self, step: int) -> None:
        """Raise (``step`` = 1) or lower (-1) the priority of the chosen waiting entries, each from what it is."""
        wanted: dict[int, list[str]] = {}
        for row in self._chosen():
            if row.state is RunState.QUEUED and (priority := _stepped(row, step)) != row.entry.priority:
                wanted.setdefault(priority, []).append(row.run_id)
        for priority, run_ids in wanted.items():
            self._client.call(
                "set_priority", self._told("The priority did not change"), run_ids=run_ids, priority=priority
            )

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

    def set_cpu_lanes(self, count: int) -> None:
        """How many runs may use the CPU at once."""
        self._client.call("set_cpu_lanes", self._told("The lanes did not change"), count=count)

    def set_stuck_minutes(self, minutes: float | None) -> None:
        """After how many minutes a stuck run is stopped; None for never."""
        self._client.call("set_stuck_minutes", self._told("The limit did not change"), minutes=minutes)

    def stop(self, run_id: str, grade: str) -> None:
        """Stop a live run by a grade: ``pause``, ``stop``, ``abort`` or ``kill``."""
        self._client.call("stop", self._told("Not stopped"), run_id=run_id, grade=grade)

    def remove(self) -> None:
        """Take the chosen entries out; the supervisor can take that back."""
        rows = self._chosen()
        if not self.allows("queue.remove"):
            return

        def removed(_result: object, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"Not removed: {error}")
                return
            count = "1 entry" if len(rows) == 1 else f"{len(rows)} entries"
            self.notice.emit(f"{count} removed from the queue.", self._way_back("undo"))

        self._client.call("remove", removed, run_ids=[row.run_id for row in rows])

    def undo(self) -> None:
        """Take back the last change of the queue."""
        self._step_in_history("undo")

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._step_in_history("redo")

    def _way_back(self, call: str) -> tuple[str, Callable[[], None]] | None:
        """A button for a notice: ``undo`` or ``redo`` of what is the last change now, and of no later one."""
        change = self._next_step(call)

        def go_back() -> None:
            if self._next_step(call) == change:
                self._step_in_history(call)
            else:
                self.failed.emit("The queue was changed since; go back step by step with “Undo” in its menu.")

        return (call.capitalize(), go_back) if change else None

    def _next_step(self, call: str) -> str:
        """What ``undo`` or ``redo`` would do; empty for nothing."""
        return self._client.state.undo if call == "undo" else self._client.state.redo

    def _step_in_history(self, call: str) -> None:
        change = self._next_step(call)
        if not change:
            return
        done, back = ("Taken back", "redo") if call == "undo" else ("Done again", "undo")

        def answered(result: object, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"Not {done.lower()}: {error}")
                return
            told = result if isinstance(result, dict) else {}
            said = [f"{done}: {told.get('words') or change}.", *(f"{each}." for each in told.get("kept") or [])]
            if len(said) > MOST_SAID:
                said[MOST_SAID - 1 :] = [f"{len(said) - MOST_SAID + 1} more things stay as they are."]
            self.notice.emit(" ".join(said), self._way_back(back))

        self._client.call(call, answered)

    def _told(self, failure: str) -> Answered:
        def done(_result: object, error: str | None) -> None:
            if error is not None:
                self.failed.emit(f"{failure}: {error}")

        return done


def _stepped(row: QueueRow, step: int) -> int:
    return max(LEAST_PRIORITY, min(MOST_PRIORITY, row.entry.priority + step))
