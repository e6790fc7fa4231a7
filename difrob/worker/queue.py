"""The queue as a model: entries, their order, their states, what may start next. Knows no process and no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace, new_run_id
from difrob.runs.states import TRANSITIONS, check_transition
from difrob.specs import input_runs, parse_spec
from difrob.worker.lanes import choose_lane
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore

POLICIES = ("skip_dependants", "stop", "go_on")
KEPT_ENDED = 200


class Queue:
    """All entries in order. Every change is saved before it is announced.

    Args:
        announce: called with each event (a dictionary as in :mod:`difrob.worker.messages`).
    """

    def __init__(self, workspace: Workspace, store: QueueStore, announce: Callable[[dict[str, Any]], None]) -> None:
        self._workspace = workspace
        self._store = store
        self._announce = announce
        self._entries: dict[str, Entry] = {entry.run_id: entry for entry in store.load()}
        self.paused = bool(store.setting("paused", False))
        self.on_failure = str(store.setting("on_failure", POLICIES[0]))

    @property
    def entries(self) -> list[Entry]:
        """All entries in queue order."""
        return list(self._entries.values())

    def get(self, run_id: str) -> Entry:
        """One entry. Raises UserError when the queue does not know it."""
        try:
            return self._entries[run_id]
        except KeyError:
            raise UserError(f"the queue has no run '{run_id}'") from None

    def knows(self, run_id: str) -> bool:
        """Whether there is an entry of this id."""
        return run_id in self._entries

    def live(self) -> list[Entry]:
        """Entries with a worker."""
        return [entry for entry in self.entries if entry.state.is_live]

    # Changes

    def submit(self, requests: list[dict[str, Any]]) -> list[str]:
        """Append runs. All are checked before any is taken, and they may depend on each other.

        Raises:
            UserError: for a bad specification, an id in use, an unknown input run or a circle.
        """
        added: dict[str, Entry] = {}
        for request in requests:
            unknown = set(request) - {"run_id", "spec", "after", "lane", "held"}
            if unknown:
                raise UserError(f"an entry has no field '{unknown.pop()}'")
            spec = parse_spec(request.get("spec") or {})
            run_id = str(request.get("run_id") or new_run_id(spec.kind, spec.name))
            if run_id in self._entries or run_id in added or self._workspace.run_path(run_id).exists():
                raise UserError(f"run '{run_id}' exists already")
            inputs = [name for name in input_runs(spec).values() if not self._is_finished(name)]
            after = list(dict.fromkeys([*map(str, request.get("after") or []), *inputs]))
            for parent in after:
                if parent not in added and parent not in self._entries and not self._exists(parent):
                    raise UserError(
                        f"run '{parent}' that '{run_id}' needs does not exist; 'difrob runs' lists the runs"
                    )
            added[run_id] = Entry(
                run_id=run_id, spec=spec.model_dump(mode="json"), after=after, lane=str(request.get("lane") or "any"),
                held=bool(request.get("held")), created=time.time(),
            )  # fmt: skip
        self._store.save(*added.values())
        for entry in added.values():
            self._adopt(entry)
        return list(added)

    def put(self, entry: Entry) -> None:
        """Save and announce an entry, new or changed. Raises ValueError for a forbidden change of state."""
        old = self._entries.get(entry.run_id)
        if old is not None:
            check_transition(old.state, entry.state)
        self._store.save(entry)
        self._adopt(entry)

    def _adopt(self, entry: Entry) -> None:
        self._entries[entry.run_id] = entry
        position = list(self._entries).index(entry.run_id)
        self._announce({"event": "entry", "entry": entry, "position": position})

    def change(self, run_id: str, **changes: Any) -> Entry:
        """Change fields of an entry."""
        entry = self.get(run_id).model_copy(update=changes)
        self.put(entry)
        return entry

    def edit(self, run_id: str, spec: dict[str, Any] | None, after: list[str] | None, lane: str | None) -> None:
        """Change what a waiting entry will do. Raises UserError when it has started or the change is wrong."""
        entry = self._waiting(run_id, "edited")
        changes: dict[str, Any] = {}
        if spec is not None:
            parsed = parse_spec(spec)
            changes["spec"] = parsed.model_dump(mode="json")
            kept = [parent for parent in entry.after if parent not in input_runs(parse_spec(entry.spec)).values()]
            inputs = [name for name in input_runs(parsed).values() if not self._is_finished(name)]
            changes["after"] = list(dict.fromkeys([*kept, *inputs]))
        if after is not None:
            changes["after"] = after
        for parent in changes.get("after", []):
            if not self.knows(parent) and not self._exists(parent):
                raise UserError(f"run '{parent}' does not exist")
            if self._depends_on(parent, run_id):
                raise UserError(f"run '{parent}' itself waits for '{run_id}'")
        if lane is not None:
            changes["lane"] = lane
        self.change(run_id, **changes)

    def duplicate(self, run_id: str) -> str:
        """Append a copy of an entry, whatever its state, as a new run."""
        entry = self.get(run_id)
        return self.submit([{"spec": entry.spec, "lane": entry.lane}])[0]

    def hold(self, run_id: str, held: bool) -> None:
        """Keep a waiting entry back, or let it go."""
        self._waiting(run_id, "held")
        self.change(run_id, held=held)

    def remove(self, run_ids: list[str]) -> None:
        """Forget waiting or ended entries; files of runs stay.

        Raises:
            UserError: when one of them is live, or another waiting entry needs it.
        """
        for run_id in run_ids:
            entry = self.get(run_id)
            if entry.state.is_live:
                raise UserError(f"run '{run_id}' is {entry.state}; stop it first")
            needed_by = [e.run_id for e in self.entries if run_id in e.after and e.state is RunState.QUEUED]
            needed_by = [other for other in needed_by if other not in run_ids]
            if entry.state is RunState.QUEUED and needed_by:
                raise UserError(f"run '{needed_by[0]}' waits for '{run_id}'; remove that one too")
        self._forget(run_ids)

    def move(self, run_ids: list[str], before: str | None) -> None:
        """Move entries, in their order, in front of another one, or to the end."""
        moving = [run_id for run_id in self._entries if run_id in set(map(str, run_ids))]
        if before is not None:
            self.get(before)
        if before in moving:
            raise UserError("an entry cannot be moved in front of itself")
        rest = [run_id for run_id in self._entries if run_id not in moving]
        at = rest.index(before) if before is not None else len(rest)
        self._reorder(rest[:at] + moving + rest[at:])

    def set_paused(self, paused: bool) -> None:
        """Start nothing new (runs that are live go on), or go on starting."""
        self.paused = paused
        self._store.set_setting("paused", paused)
        self._announce({"event": "paused", "paused": paused})

    def set_policy(self, on_failure: str) -> None:
        """What happens after a failure: see :data:`POLICIES`."""
        if on_failure not in POLICIES:
            raise UserError(f"unknown policy '{on_failure}'; use one of {', '.join(POLICIES)}")
        self.on_failure = on_failure
        self._store.set_setting("on_failure", on_failure)
        self._announce({"event": "policy", "on_failure": on_failure})

    def resume(self, run_id: str) -> None:
        """Queue an ended run again, to go on from its checkpoint."""
        if not self.knows(run_id):
            summary = self._workspace.reader(run_id).summary()
            if not summary.state.is_end or summary.state is RunState.FINISHED:
                raise UserError(
                    f"run '{run_id}' is {summary.state}; only an interrupted, failed or cancelled run resumes"
                )
            self.put(
                Entry(
                    run_id=run_id,
                    spec=summary.spec,
                    state=summary.state,
                    reason=summary.reason,
                    created=summary.created,
                )
            )
        entry = self.get(run_id)
        if RunState.QUEUED not in TRANSITIONS[entry.state]:
            raise UserError(f"run '{run_id}' is {entry.state}; only an interrupted, failed or cancelled run resumes")
        readable = self._workspace.run_path(run_id).exists()
        self.change(run_id, state=RunState.QUEUED, reason="", resume=readable, pid=None, on_lane="", stop_deadline=None)

    def ended(self, run_id: str, state: RunState, reason: str) -> None:
        """Note how a run ended, and apply the policy."""
        self.change(run_id, state=state, reason=reason, pid=None, on_lane="", stop_deadline=None, resume=False)
        if state is RunState.FAILED and self.on_failure == "stop":
            self.set_paused(True)
        old = [entry.run_id for entry in self.entries if entry.state.is_end]
        needed = {parent for entry in self.entries if entry.state is RunState.QUEUED for parent in entry.after}
        self._forget([name for name in old[: max(0, len(old) - KEPT_ENDED)] if name not in needed])

    # Choosing what starts

    def next_start(self, lanes: list[str]) -> tuple[Entry, str] | None:
        """The first entry that may start now, and its lane; what the others wait for is noted at them."""
        busy = {entry.on_lane for entry in self.live()}
        for entry in self.entries:
            if entry.state is not RunState.QUEUED:
                continue
            reason = self._why_wait(entry, lanes)
            if reason != entry.reason:
                entry = self.change(entry.run_id, reason=reason)
            if not reason and (lane := choose_lane(entry, lanes, busy)) is not None:
                return entry, lane
        return None

    def can_go_on(self, lanes: list[str]) -> bool:
        """Whether anything is live or would start as soon as a lane is free."""
        waiting = [entry for entry in self.entries if entry.state is RunState.QUEUED]
        return bool(self.live()) or any(not self._why_wait(entry, lanes) for entry in waiting)

    def _why_wait(self, entry: Entry, lanes: list[str]) -> str:
        if entry.held:
            return "held"
        if self.paused:
            return "the queue is paused"
        if entry.lane != "any" and entry.lane not in lanes:
            return f"this machine has no lane '{entry.lane}'"
        for parent in entry.after:
            state = self._entries[parent].state if parent in self._entries else self._state_on_disk(parent)
            if state is RunState.FINISHED or (state is not None and state.is_end and self.on_failure == "go_on"):
                continue
            if state is None:
                return f"needs '{parent}', which is gone"
            return f"needs '{parent}', which is {state}" + ("; resume that or remove this" if state.is_end else "")
        return ""

    def _state_on_disk(self, run_id: str) -> RunState | None:
        try:
            return self._workspace.reader(run_id).summary().state
        except UserError:
            return None

    def _exists(self, run_id: str) -> bool:
        return self._state_on_disk(run_id) is not None

    def _is_finished(self, run_id: str) -> bool:
        return not self.knows(run_id) and self._state_on_disk(run_id) is RunState.FINISHED

    def _depends_on(self, run_id: str, other: str) -> bool:
        if run_id == other:
            return True
        entry = self._entries.get(run_id)
        return entry is not None and any(self._depends_on(parent, other) for parent in entry.after)

    def _waiting(self, run_id: str, verb: str) -> Entry:
        entry = self.get(run_id)
        if entry.state is not RunState.QUEUED:
            raise UserError(f"run '{run_id}' is {entry.state}; only a waiting entry can be {verb}")
        return entry

    def _reorder(self, order: list[str]) -> None:
        self._store.order(order)
        self._entries = {run_id: self._entries[run_id] for run_id in order}
        self._announce({"event": "order", "run_ids": order})

    def _forget(self, run_ids: list[str]) -> None:
        self._store.remove(run_ids)
        for run_id in run_ids:
            del self._entries[run_id]
            self._announce({"event": "removed", "run_id": run_id})
