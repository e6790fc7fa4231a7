"""The queue as a model: entries, their order, their states, what may start next. Knows no process and no socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from difrob.errors import UserError
from difrob.inputs.facts import InputFacts
from difrob.inputs.fitting import require_fitting_inputs
from difrob.runs import RunState, Workspace, new_run_id
from difrob.runs.states import TRANSITIONS
from difrob.specs import input_runs, parse_spec
from difrob.worker.dependencies import those_behind
from difrob.worker.lanes import choose_lane, cpu_lanes, lanes_to_keep, wanted_lane, wants_gpus, why_never, why_not_yet
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore
from difrob.worker.saved_queue import SavedQueue
from difrob.worker.states_on_disk import StatesOnDisk
from difrob.worker.undo import Picture, title, titles

KEPT_ENDED = 200
REASONS_AT_ONCE = 500
"""So many changed reasons are noted in one go; the others follow with the next ticks, so that answers need not wait."""
PRIORITIES = range(-100, 101)
_AT_REST: dict[str, Any] = {
    "pid": None, "on_lane": "", "stop_grade": "", "stop_deadline": None, "stuck_since": None, "stuck_deadline": None,
}  # fmt: skip


@dataclass(frozen=True)
class _Rest:
    """What was found when nothing could start: at which revision, and whether an entry wants nothing but a lane."""

    revision: int
    can_start: bool


class Queue(SavedQueue):
    """Who comes when. What a person changes can be taken back; what happens to runs cannot.

    Args:
        announce: called with each event (a dictionary as in :mod:`difrob.worker.messages`).
        gpus: the GPU lanes of this machine.
    """

    def __init__(
        self,
        workspace: Workspace,
        store: QueueStore,
        announce: Callable[[dict[str, Any]], None],
        gpus: Iterable[str] = (),
    ) -> None:
        super().__init__(store, announce, self._exists)
        self._workspace = workspace
        self._gpus = list(gpus)
        self._on_disk = StatesOnDisk(workspace)
        self._rest: _Rest | None = None

    @property
    def lanes(self) -> list[str]:
        """The lanes on which runs may start."""
        return self._gpus + cpu_lanes(self.settings.cpu_lanes)

    def _announce_settings(self, **settings: Any) -> None:
        lanes = {"lanes": self.lanes} if "cpu_lanes" in settings else {}
        super()._announce_settings(**settings, **lanes)

    # What a person changes

    def submit(self, requests: list[dict[str, Any]], words: str = "") -> list[str]:
        """Append runs. All are checked before any is taken, and they may depend on each other.

        Args:
            requests: for each run its ``spec``, and where wanted ``run_id``, ``after``, ``lane``, ``held``, ``priority``.
            words: what undo shall call this.

        Raises:
            UserError: for a bad specification, an id in use, an unknown input run or a circle, or inputs that do not fit.
        """
        added: dict[str, Entry] = {}
        waiting = self._waiting_specs()
        facts = InputFacts(self._workspace, waiting)
        for request in requests:
            unknown = set(request) - {"run_id", "spec", "after", "lane", "held", "priority"}
            if unknown:
                raise UserError(f"an entry has no field '{unknown.pop()}'")
            spec = parse_spec(request.get("spec") or {})
            run_id = str(request.get("run_id") or "")
            while not run_id or (self._is_known(run_id, added) and not request.get("run_id")):
                run_id = new_run_id(spec.kind, spec.name)  # of thousands made in one second, two may be alike
            if self._is_known(run_id, added):
                raise UserError(f"run '{run_id}' exists already")
            inputs = [name for name in input_runs(spec).values() if not self._is_finished(name)]
            after = list(dict.fromkeys([*map(str, request.get("after") or []), *inputs]))
            for parent in after:
                if parent not in added and parent not in self._entries and not self._exists(parent):
                    raise UserError(
                        f"run '{parent}' that '{run_id}' needs does not exist; 'difrob runs' lists the runs"
                    )
            self._workspace.require_data_of(spec, facts.record)
            require_fitting_inputs(facts, spec)
            waiting[run_id] = spec.model_dump(mode="json")
            added[run_id] = Entry(
                run_id=run_id, spec=waiting[run_id], after=after, created=time.time(),
                lane=wanted_lane(str(request.get("lane") or "any")), held=bool(request.get("held")),
                priority=checked_priority(request.get("priority", 0)),
            )  # fmt: skip
        self._refuse_circles(added)
        self._do(words or f"add {titles(added.values())}", {**self._entries, **added})
        return list(added)

    def _refuse_circles(self, added: dict[str, Entry]) -> None:
        """A new entry may bear the id of a run that is gone and that others still name; it must not wait for those."""
        awaited = {parent for entry in self.entries for parent in entry.after}
        for run_id in added.keys() & awaited:
            behind = those_behind(run_id, {**self._entries, **added})
            if circle := next((parent for parent in added[run_id].after if parent in behind), ""):
                raise UserError(f"run '{circle}' itself waits for '{run_id}'; give the new run another id")

    def edit(self, run_id: str, spec: dict[str, Any] | None, after: list[str] | None, lane: str | None) -> None:
        """Change what a waiting entry will do. Raises UserError when it has started, or the change is wrong or does not fit."""
        entry = self._waiting(run_id, "edited")
        changes: dict[str, Any] = {}
        if spec is not None:
            parsed = parse_spec(spec)
            changes["spec"] = parsed.model_dump(mode="json")
            kept = [parent for parent in entry.after if parent not in input_runs(parse_spec(entry.spec)).values()]
            inputs = [name for name in input_runs(parsed).values() if not self._is_finished(name)]
            changes["after"] = list(dict.fromkeys([*kept, *inputs]))
            self._workspace.require_data_of(parsed)
            require_fitting_inputs(InputFacts(self._workspace, self._waiting_specs()), parsed)
        if after is not None:
            changes["after"] = list(map(str, after))
        behind = those_behind(run_id, self._entries)
        for parent in changes.get("after", []):
            if not self.knows(parent) and not self._exists(parent):
                raise UserError(f"run '{parent}' does not exist")
            if parent in behind:
                raise UserError(f"run '{parent}' itself waits for '{run_id}'")
        if lane is not None:
            changes["lane"] = wanted_lane(lane)
        self._do(f"edit '{title(entry)}'", self._with(entry.model_copy(update=changes)))

    def duplicate(self, run_id: str) -> str:
        """Append a copy of an entry, whatever its state, as a new run."""
        entry = self.get(run_id)
        copy = {"spec": entry.spec, "lane": entry.lane, "priority": entry.priority}
        return self.submit([copy], f"duplicate '{title(entry)}'")[0]

    def hold(self, run_id: str, held: bool) -> None:
        """Keep a waiting entry back, or let it go."""
        entry = self._waiting(run_id, "held")
        words = f"{'hold' if held else 'release'} '{title(entry)}'"
        self._do(words, self._with(entry.model_copy(update={"held": bool(held)})))

    def set_priority(self, run_ids: list[str], priority: int) -> None:
        """Give waiting entries a priority. Raises UserError when one has started, or for a wrong priority."""
        entries = [self._waiting(run_id, "given a priority") for run_id in run_ids]
        changed = [entry.model_copy(update={"priority": checked_priority(priority)}) for entry in entries]
        if changed:
            self._do(f"give {titles(entries)} priority {priority}", self._with(*changed))

    def remove(self, run_ids: list[str]) -> None:
        """Forget waiting or ended entries; files of runs stay.

        Raises:
            UserError: when one of them is live, or another waiting entry needs it.
        """
        removed = {run_id: self.get(run_id) for run_id in run_ids}
        needed_by = {
            parent: entry.run_id
            for entry in reversed(self.entries) if entry.state is RunState.QUEUED and entry.run_id not in removed
            for parent in entry.after
        }  # fmt: skip
        for run_id, entry in removed.items():
            if entry.state.is_live:
                raise UserError(f"run '{run_id}' is {entry.state}; stop it first")
            if entry.state is RunState.QUEUED and run_id in needed_by:
                raise UserError(f"run '{needed_by[run_id]}' waits for '{run_id}'; remove that one too")
        if removed:
            rest = {run_id: entry for run_id, entry in self._entries.items() if run_id not in removed}
            self._do(f"remove {titles(removed.values())}", rest)

    def move(self, run_ids: list[str], before: str | None) -> None:
        """Move entries, in their order, in front of another one, or to the end."""
        chosen = set(map(str, run_ids))
        moving = [run_id for run_id in self._entries if run_id in chosen]
        if before is not None:
            self.get(before)
        if before in chosen:
            raise UserError("an entry cannot be moved in front of itself")
        rest = [run_id for run_id in self._entries if run_id not in chosen]
        at = rest.index(before) if before is not None else len(rest)
        order = rest[:at] + moving + rest[at:]
        if moving:
            words = f"move {titles(self._entries[run_id] for run_id in moving)}"
            self._do(words, {run_id: self._entries[run_id] for run_id in order}, moved=tuple(moving))

    def set(self, name: str, value: Any) -> None:
        """Change a setting. Raises UserError for a value that it cannot have."""
        settings = self.settings.with_value(name, value)
        self._do(settings.order(name), self._entries, settings)

    # What happens to runs

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
                    cause=summary.cause,
                    created=summary.created,
                )
            )
        entry = self.get(run_id)
        if RunState.QUEUED not in TRANSITIONS[entry.state]:
            raise UserError(f"run '{run_id}' is {entry.state}; only an interrupted, failed or cancelled run resumes")
        readable = self._workspace.run_path(run_id).exists()
        self.change(run_id, state=RunState.QUEUED, reason="", cause="", resume=readable, **_AT_REST)

    def ended(self, run_id: str, state: RunState, reason: str, cause: str) -> None:
        """Note how a run ended, and apply the policy."""
        self.change(run_id, state=state, reason=reason, cause=str(cause), resume=False, **_AT_REST)
        if state is RunState.FAILED and self.settings.on_failure == "stop":
            self._take(Picture(self._entries, self.settings.with_value("paused", True)))
        old = [entry.run_id for entry in self.entries if entry.state.is_end]
        needed = {parent for entry in self.entries if entry.state is RunState.QUEUED for parent in entry.after}
        gone = {name for name in old[: max(0, len(old) - KEPT_ENDED)] if name not in needed}
        if gone:
            rest = {run_id: entry for run_id, entry in self._entries.items() if run_id not in gone}
            self._take(Picture(rest, self.settings))

    # Choosing what starts

    def next_start(self) -> tuple[Entry, str] | None:
        """The entry that may start now, and its lane; what the others wait for is noted at them.

        Of several it is the one of highest priority, and of equals the one further up. GPUs that are too few for the entry
        whose turn it is are kept for it: those after it do not get them.
        """
        if self._is_at_rest():
            return None
        busy, lanes = {lane for entry in self.live() for lane in entry.on_lanes}, self.lanes
        kept: dict[str, Entry] = {}
        chosen: dict[tuple[str, int], str | None] = {}  # by what an entry asks for, until more GPUs are kept
        reasons: dict[str, str] = {}
        start: tuple[str, str] | None = None
        can_start = False
        waiting = [entry for entry in self.entries if entry.state is RunState.QUEUED]
        for entry in sorted(waiting, key=lambda entry: -entry.priority):
            reason, lane = self._why_wait(entry, lanes), None
            if not reason:
                can_start = True
                asked = (entry.lane, entry.devices)
                if asked not in chosen:
                    chosen[asked] = choose_lane(entry, lanes, busy | kept.keys())
                lane = chosen[asked]
            if not reason and lane is None:
                reason = _why_no_lane(entry, lanes, busy, kept)
                if entry.devices > 1 and wants_gpus(entry, lanes):
                    kept |= dict.fromkeys(lanes_to_keep(entry, lanes, busy | kept.keys()), entry)
                    chosen.clear()
            if reason != entry.reason:
                reasons[entry.run_id] = reason
            if lane is not None:
                start = entry.run_id, lane
                break
        self.note_reasons(dict(islice(reasons.items(), REASONS_AT_ONCE)))
        if start is not None:
            return self.get(start[0]), start[1]
        if len(reasons) <= REASONS_AT_ONCE:
            self._on_disk.forget_all_but({parent for entry in waiting for parent in entry.after})
            self._rest = _Rest(self.revision, can_start)
        return None

    def can_go_on(self) -> bool:
        """Whether anything is live or would start as soon as a lane is free."""
        if self.live():
            return True
        if self._rest is not None and self._is_at_rest():
            return self._rest.can_start
        lanes = self.lanes
        return any(entry.state is RunState.QUEUED and not self._why_wait(entry, lanes) for entry in self.entries)

    def _is_at_rest(self) -> bool:
        """Whether all is as it was when nothing could start and every reason had been noted."""
        return self._rest is not None and self._rest.revision == self.revision and not self._on_disk.have_changed()

    def _why_wait(self, entry: Entry, lanes: list[str]) -> str:
        if entry.held:
            return "held"
        if self.settings.paused:
            return "the queue is paused"
        if never := why_never(entry, lanes):
            return never
        for parent in entry.after:
            state = self._entries[parent].state if parent in self._entries else self._on_disk.of(parent)
            if state is RunState.FINISHED or (
                state is not None and state.is_end and self.settings.on_failure == "go_on"
            ):
                continue
            if state is None:
                return f"needs '{parent}', which is gone"
            return f"needs '{parent}', which is {state}" + ("; resume that or remove this" if state.is_end else "")
        return ""

    def _is_known(self, run_id: str, added: Collection[str]) -> bool:
        return self.knows(run_id) or run_id in added or self._workspace.run_path(run_id).exists()

    def _exists(self, run_id: str) -> bool:
        return self._on_disk.of(run_id) is not None

    def _is_finished(self, run_id: str) -> bool:
        return not self.knows(run_id) and self._on_disk.of(run_id) is RunState.FINISHED

    def _waiting_specs(self) -> dict[str, dict[str, Any]]:
        """What has not ended, by run id: runs to come are judged by what these will be."""
        return {entry.run_id: entry.spec for entry in self.entries if not entry.state.is_end}

    def _waiting(self, run_id: str, verb: str) -> Entry:
        entry = self.get(run_id)
        if entry.state is not RunState.QUEUED:
            raise UserError(f"run '{run_id}' is {entry.state}; only a waiting entry can be {verb}")
        return entry


def _why_no_lane(entry: Entry, lanes: list[str], busy: set[str], kept: dict[str, Entry]) -> str:
    """Why an entry that may start does not, where that is not plain from the lanes all being taken."""
    wanted = choose_lane(entry, lanes, busy) if kept else None
    if wanted is not None:
        first = next(kept[lane] for lane in wanted.split(",") if lane in kept)
        return f"the free GPUs are kept for '{title(first)}', which needs {first.devices} at once"
    return why_not_yet(entry, lanes, busy)


def checked_priority(value: Any) -> int:
    """A priority as it may be. Raises UserError for anything but a whole number within :data:`PRIORITIES`."""
    if not isinstance(value, int) or isinstance(value, bool) or value not in PRIORITIES:
        raise UserError(f"a priority is a whole number from {PRIORITIES.start} to {PRIORITIES.stop - 1}, not {value!r}")
    return value
