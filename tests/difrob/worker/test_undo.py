"""Undo and redo of what a person changed: exact where nothing has started, careful where something has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.messages import Entry
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.settings import Settings
from difrob.worker.undo import PERSONS, History, Picture, Step

SPEC = {"kind": "train_denoiser", "steps": 10}


class Desk:
    """A queue whose events are applied to a copy, as a window does."""

    def __init__(self, workspace: Workspace) -> None:
        self.store = QueueStore(workspace.database)
        self.queue = Queue(workspace, self.store, self._hear)
        self.copy: list[Entry] = []
        self.told: dict[str, Any] = {}

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "settings":
            self.told |= event["settings"]
            return
        entries = {entry.run_id: entry for entry in self.copy}
        if event["event"] == "reasons":
            for run_id, reason in event["reasons"].items():
                entries[run_id] = entries[run_id].model_copy(update={"reason": reason})
            self.copy = list(entries.values())
        elif event["event"] == "changes":
            for run_id in event["removed"]:
                del entries[run_id]
            entries |= {entry.run_id: entry for entry in event["entries"]}
            self.copy = [entries[run_id] for run_id in event["order"] or entries]
        elif event["event"] == "removed":
            del entries[event["run_id"]]
            self.copy = list(entries.values())
        elif event["event"] == "order":
            assert sorted(event["run_ids"]) == sorted(entries)
            self.copy = [entries[run_id] for run_id in event["run_ids"]]
        else:
            entry = event["entry"]
            if entry.run_id in entries:
                self.copy = [entry if entry.run_id == other.run_id else other for other in self.copy]
            else:
                self.copy.insert(event["position"], entry)

    def submit(self, *names: str, **fields: Any) -> None:
        self.queue.submit([{"run_id": name, "spec": SPEC, **fields} for name in names])

    def start(self, run_id: str) -> None:
        self.queue.change(run_id, state=RunState.STARTING, started=1.0, on_lane="cpu")

    @property
    def ids(self) -> list[str]:
        return [entry.run_id for entry in self.queue.entries]

    @property
    def look(self) -> tuple[list[Entry], Settings]:
        return self.queue.entries, self.queue.settings


@pytest.fixture
def desk(workspace: Workspace) -> Iterator[Desk]:
    desk = Desk(workspace)
    yield desk
    desk.store.close()


CHANGES: list[tuple[str, Any]] = [
    ("add 'x'", lambda queue: queue.submit([{"run_id": "x", "spec": SPEC}])),
    ("add 2 entries", lambda queue: queue.submit([{"run_id": name, "spec": SPEC} for name in "xy"])),
    ("remove 2 entries", lambda queue: queue.remove(["b", "d"])),
    ("move 'd'", lambda queue: queue.move(["d"], "a")),
    ("move 2 entries", lambda queue: queue.move(["a", "c"], None)),
    ("edit 'b'", lambda queue: queue.edit("b", {**SPEC, "steps": 7}, ["a"], "cpu")),
    ("hold 'b'", lambda queue: queue.hold("b", True)),
    ("give 2 entries priority 4", lambda queue: queue.set_priority(["a", "c"], 4)),
    ("duplicate 'c'", lambda queue: queue.duplicate("c")),
    ("pause the queue", lambda queue: queue.set("paused", True)),
    ("set the policy to go_on", lambda queue: queue.set("on_failure", "go_on")),
    ("set the CPU lanes to 3", lambda queue: queue.set("cpu_lanes", 3)),
    ("set the limit for stuck runs to never", lambda queue: queue.set("stuck_minutes", None)),
    ("set the limit for stuck runs to 2.5 min", lambda queue: queue.set("stuck_minutes", 2.5)),
]


@pytest.mark.parametrize(("words", "change"), CHANGES, ids=[words for words, _ in CHANGES])
def test_every_change_is_taken_back_and_done_again_exactly(desk: Desk, words: str, change: Any) -> None:
    desk.submit("a", "b", "c", "d")
    before = desk.look
    change(desk.queue)
    after = desk.look
    assert after != before and desk.told["undo"] == words and desk.told["redo"] == ""
    assert desk.queue.undo() == {"words": words, "kept": []}
    assert desk.look == before and desk.told["redo"] == words
    assert desk.store.load() == before[0] and desk.store.settings() == before[1]
    assert desk.queue.redo() == {"words": words, "kept": []}
    assert desk.look == after and desk.told["undo"] == words and desk.told["redo"] == ""
    assert desk.store.load() == after[0] == desk.copy and desk.store.settings() == after[1]


def test_what_is_refused_or_changes_nothing_is_not_remembered(desk: Desk) -> None:
    desk.submit("a", "b")
    words = desk.queue.undo_words
    for wrong in (
        lambda: desk.submit("a"),
        lambda: desk.queue.edit("a", {**SPEC, "steps": -1}, None, None),
        lambda: desk.queue.edit("a", None, ["gone"], None),
        lambda: desk.queue.edit("a", None, None, "mps"),
        lambda: desk.queue.remove(["gone"]),
        lambda: desk.queue.set("paused", "perhaps"),
    ):
        with pytest.raises(UserError):
            wrong()
    desk.queue.hold("a", False)
    desk.queue.move(["b"], None)
    desk.queue.set("paused", False)
    desk.queue.remove([])
    assert desk.queue.undo_words == words


def test_nothing_to_undo_or_redo_is_said(desk: Desk) -> None:
    with pytest.raises(UserError, match="nothing to take back"):
        desk.queue.undo()
    desk.submit("a")
    with pytest.raises(UserError, match="nothing to do again"):
        desk.queue.redo()
    desk.queue.undo()
    desk.submit("b")
    with pytest.raises(UserError, match="nothing to do again"):
        desk.queue.redo()


def test_an_undone_submission_leaves_what_has_started(desk: Desk) -> None:
    desk.submit("a", "b", "c")
    desk.start("a")
    result = desk.queue.undo()
    assert desk.ids == ["a"] and result["kept"] == ["'a' stays as it is: it is starting"]
    assert desk.queue.redo()["kept"] == [] and desk.ids == ["a", "b", "c"]
    desk.queue.undo()
    assert desk.ids == ["a"]


def test_an_undone_submission_leaves_what_ran_and_waits_again(desk: Desk) -> None:
    desk.submit("a")
    desk.start("a")
    desk.queue.ended("a", RunState.INTERRUPTED, "", "signal")
    desk.queue.resume("a")
    assert desk.queue.undo() == {"words": "add 'a'", "kept": ["'a' stays as it is: it has begun already"]}
    assert desk.ids == ["a"] and desk.queue.undo_words == {"undo": "", "redo": ""}


def test_an_undone_submission_leaves_what_another_entry_waits_for(desk: Desk) -> None:
    desk.submit("a")
    desk.submit("b", after=["a"])
    desk.start("b")  # as if the policy had let it
    desk.queue.ended("b", RunState.INTERRUPTED, "", "signal")
    desk.queue.resume("b")
    assert desk.queue.undo()["kept"] and desk.queue.undo()["kept"] == ["'a' stays as it is: another entry waits for it"]
    assert desk.ids == ["a", "b"]


def test_an_undone_edit_leaves_what_has_started_and_what_others_changed(desk: Desk) -> None:
    desk.submit("a", "b")
    desk.queue.set_priority(["a", "b"], 9)
    desk.start("a")
    desk.queue.change("b", reason="waits for a lane")
    result = desk.queue.undo()
    assert result["kept"] == ["'a' stays as it is: it is starting"]
    assert (desk.queue.get("a").priority, desk.queue.get("b").priority) == (9, 0)
    assert desk.queue.get("b").reason == "waits for a lane"


def test_a_move_is_undone_for_what_still_waits(desk: Desk) -> None:
    desk.submit("a", "b", "c", "d")
    desk.queue.move(["c", "d"], "a")
    desk.start("c")
    assert desk.queue.undo()["kept"] == ["'c' stays as it is: it is starting"]
    assert desk.ids == ["c", "a", "b", "d"]


def test_removed_ended_entries_come_back_where_they_were(desk: Desk) -> None:
    desk.submit("a", "b", "c")
    desk.start("b")
    desk.queue.ended("b", RunState.FAILED, "it broke", "error")
    before = desk.look
    desk.queue.remove(["b"])
    desk.start("a")
    assert desk.queue.undo()["kept"] == []
    assert desk.queue.get("b") == before[0][1] and desk.ids == ["a", "b", "c"]


def test_a_removed_entry_is_not_put_back_over_a_run_of_its_id(desk: Desk, workspace: Workspace) -> None:
    desk.submit("a")
    desk.queue.remove(["a"])
    workspace.run_path("a").write_bytes(b"somebody else's")
    assert desk.queue.undo()["kept"] == ["'a' is not put back: there is a run of its id again"]
    assert desk.ids == []


def test_a_setting_changed_by_the_policy_since_stays(desk: Desk) -> None:
    desk.queue.set("on_failure", "stop")
    desk.submit("a")
    desk.queue.set("paused", True)
    desk.queue.set("paused", False)
    desk.start("a")
    desk.queue.ended("a", RunState.FAILED, "", "error")
    assert desk.queue.undo()["kept"] == [] and desk.queue.settings.paused, "as it was before, and as it is now"
    result = desk.queue.undo()
    assert result == {"words": "pause the queue", "kept": []} and not desk.queue.settings.paused


def test_the_history_has_a_bounded_length() -> None:
    history = History(3)
    steps = [Step(str(number), Picture(), Picture()) for number in range(5)]
    for step in steps:
        history.add(step)
    assert history.undo is steps[4]
    for step in reversed(steps[2:]):
        assert history.undo is step
        history.undone(step)
    assert history.undo is None and history.redo is steps[2]
    history.redone(None)
    assert history.undo is None and history.redo is steps[3]
    history.add(steps[0])
    assert history.redo is None and history.undo is steps[0]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 3), st.integers(-2, 2)),
        st.tuples(st.just("remove"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("move"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("hold"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("priority"), st.integers(0, 9), st.integers(-2, 2)),
        st.tuples(st.just("edit"), st.integers(0, 9), st.integers(1, 3)),
        st.tuples(st.just("set"), st.integers(1, 3), st.booleans()),
        st.tuples(st.just("start"), st.integers(0, 9), st.none()),
    ),
    max_size=12,
)


def perform(desk: Desk, operation: tuple[str, Any, Any], number: int) -> None:
    """One operation; what the queue refuses is left out."""
    name, first, second = operation
    entries = desk.queue.entries
    pick = entries[first % len(entries)].run_id if entries else "none"
    try:
        match name:
            case "submit":
                desk.submit(*(f"run-{number}-{index}" for index in range(first)), priority=second)
            case "remove":
                desk.queue.remove(list(dict.fromkeys([pick, entries[second % len(entries)].run_id])) if entries else [])
            case "move":
                desk.queue.move([pick], entries[second % len(entries)].run_id if entries else None)
            case "hold":
                desk.queue.hold(pick, second)
            case "priority":
                desk.queue.set_priority([pick], second)
            case "edit":
                desk.queue.edit(pick, {**SPEC, "steps": second}, None, None)
            case "set":
                desk.queue.set("cpu_lanes", first)
                desk.queue.set("paused", second)
            case "start":
                desk.start(pick)
    except (UserError, ValueError):
        return


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(Workspace(tmp_path_factory.mktemp("undo") / "workspace"))
    yield desk
    desk.store.close()


def emptied(desk: Desk) -> Desk:
    """The shared desk, as if it were new."""
    desk.store.commit(remove=desk.ids, settings=Settings().model_dump())
    desk.queue._entries, desk.queue.settings, desk.queue._history = {}, Settings(), History()
    desk.copy, desk.told = [], {}
    return desk


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_all_undone_is_the_beginning_and_all_redone_the_end(shared: Desk, operations: list[Any]) -> None:
    desk = emptied(shared)
    for number, operation in enumerate(operations):
        if operation[0] != "start":
            perform(desk, operation, number)
    end, steps = desk.look, 0
    while desk.queue.undo_words["undo"]:
        assert desk.queue.undo()["kept"] == []
        assert desk.store.load() == desk.queue.entries == desk.copy
        steps += 1
    assert desk.look == ([], Settings())
    for _ in range(steps):
        assert desk.queue.redo()["kept"] == []
        assert desk.store.load() == desk.queue.entries == desk.copy
    assert desk.look == end and desk.queue.undo_words["redo"] == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS, later=OPERATIONS)
def test_undo_never_touches_what_has_started(shared: Desk, operations: list[Any], later: list[Any]) -> None:
    desk = emptied(shared)
    for number, operation in enumerate([*operations, *later]):
        perform(desk, operation, number)
    started = {entry.run_id: entry for entry in desk.queue.live()}
    while desk.queue.undo_words["undo"]:
        desk.queue.undo()
        assert {entry.run_id: entry for entry in desk.queue.live()} == started
        assert desk.store.load() == desk.queue.entries == desk.copy
    assert all(entry.state is not RunState.QUEUED for entry in desk.queue.entries)
    while desk.queue.undo_words["redo"]:
        desk.queue.redo()
        assert {entry.run_id: entry for entry in desk.queue.live()} == started
        assert desk.store.load() == desk.queue.entries == desk.copy


def test_a_persons_fields_are_fields_of_an_entry() -> None:
    assert set(PERSONS) < set(Entry.model_fields)
