"""A copy of the supervisor's state, kept up to date by its events.

The supervisor sends the full state once and small changes afterwards. This class applies them and says what changed;
it knows no sockets and no widgets.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from difrob.errors import UserError
from difrob.worker.messages import Entry, LiveProgress, Meters, QueueState

# What one event may change without the full state; runs, progress and meters have events of their own.
SETTINGS = frozenset(QueueState.model_fields) - {"entries", "progress", "meters"}


class QueueMirror:
    """Entries in queue order, progress of live runs, meters and settings, as the supervisor last told them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.progress: dict[str, LiveProgress] = {}
        self.meters: Meters | None = None
        self._base = QueueState()
        self._state: QueueState | None = None

    @property
    def paused(self) -> bool:
        """Whether the whole queue is paused."""
        return self._base.paused

    @property
    def state(self) -> QueueState:
        """The whole state as one message; built when asked for, then kept until the next change."""
        if self._state is None:
            self._state = self._base.model_copy(
                update={
                    "entries": list(self.entries.values()),
                    "progress": dict(self.progress),
                    "meters": self.meters,
                }
            )
        return self._state

    def apply(self, event: dict[str, Any]) -> tuple[str, str]:
        """Apply one event and return ``(kind of change, run id)``.

        The kind is ``state``, ``entry``, ``removed``, ``progress``, ``meters``, or ``""`` for an event that this
        version does not know, which is ignored so that a newer supervisor can say more.

        Raises:
            UserError: when the event does not have the shape it must have.
        """
        name = event.get("event")
        handler = getattr(self, f"_on_{name}", None) if isinstance(name, str) else None
        if handler is None:
            return "", ""
        try:
            change = handler(event)
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"malformed event '{name}' from the supervisor: {error}") from None
        self._state = None
        return change

    def _on_state(self, event: dict[str, Any]) -> tuple[str, str]:
        state = QueueState.model_validate(event["state"])
        self._base = state
        self.entries = {entry.run_id: entry for entry in state.entries}
        self.progress = dict(state.progress)
        self.meters = state.meters
        return "state", ""

    def _on_entry(self, event: dict[str, Any]) -> tuple[str, str]:
        entry = Entry.model_validate(event["entry"])
        position = event.get("position")
        order = list(self.entries)
        if entry.run_id in self.entries and (position is None or order.index(entry.run_id) == position):
            self.entries[entry.run_id] = entry
        else:
            order = [run_id for run_id in order if run_id != entry.run_id]
            order.insert(len(order) if position is None else int(position), entry.run_id)
            self.entries[entry.run_id] = entry
            self.entries = {run_id: self.entries[run_id] for run_id in order}
        if entry.state.is_end:
            self.progress.pop(entry.run_id, None)
        return "entry", entry.run_id

    def _on_removed(self, event: dict[str, Any]) -> tuple[str, str]:
        run_id = str(event["run_id"])
        self.entries.pop(run_id, None)
        self.progress.pop(run_id, None)
        return "removed", run_id

    def _on_changes(self, event: dict[str, Any]) -> tuple[str, str]:
        """Several entries have changed at once; new ones come last, unless an order says otherwise."""
        changed = [Entry.model_validate(entry) for entry in event["entries"]]
        gone = set(map(str, event["removed"]))
        self.entries = {run_id: entry for run_id, entry in self.entries.items() if run_id not in gone}
        self.entries |= {entry.run_id: entry for entry in changed}
        for run_id in gone | {entry.run_id for entry in changed if entry.state.is_end}:
            self.progress.pop(run_id, None)
        if event["order"] is not None:
            self._on_order({"run_ids": event["order"]})
        return "state", ""

    def _on_reasons(self, event: dict[str, Any]) -> tuple[str, str]:
        """What waiting entries wait for, by id."""
        for run_id, reason in event["reasons"].items():
            if run_id in self.entries:
                self.entries[run_id] = self.entries[run_id].model_copy(update={"reason": str(reason)})
        return "state", ""

    def _on_order(self, event: dict[str, Any]) -> tuple[str, str]:
        told = [run_id for run_id in event["run_ids"] if run_id in self.entries]
        named = set(told)
        rest = [run_id for run_id in self.entries if run_id not in named]
        self.entries = {run_id: self.entries[run_id] for run_id in [*told, *rest]}
        return "state", ""

    def _on_progress(self, event: dict[str, Any]) -> tuple[str, str]:
        progress = LiveProgress.model_validate(event["progress"])
        self.progress[progress.run_id] = progress
        return "progress", progress.run_id

    def _on_meters(self, event: dict[str, Any]) -> tuple[str, str]:
        self.meters = Meters.model_validate(event["meters"])
        return "meters", ""

    def _on_settings(self, event: dict[str, Any]) -> tuple[str, str]:
        """Some fields of the state have changed; those that this version does not know are left alone."""
        told = {name: value for name, value in event["settings"].items() if name in SETTINGS}
        checked = QueueState.model_validate(told)
        self._base = self._base.model_copy(update={name: getattr(checked, name) for name in told})
        return "state", ""
