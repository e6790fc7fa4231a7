"""The queue without processes: who starts when and where, settings, events, and what a kill leaves on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.lanes import choose_lane, cpu_lanes, device_of, wanted_lane
from difrob.worker.messages import Entry, QueueState
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.settings import Settings

SPEC = {"kind": "train_denoiser", "steps": 10}


class Desk:
    """A queue with all that it announced."""

    def __init__(self, workspace: Workspace, gpus: tuple[str, ...] = ()) -> None:
        self.events: list[dict[str, Any]] = []
        self.store = QueueStore(workspace.database)
        self.queue = Queue(workspace, self.store, self.events.append, gpus)

    def submit(self, *names: str, **fields: Any) -> None:
        self.queue.submit([{"run_id": name, "spec": SPEC, **fields} for name in names])

    def start(self) -> str | None:
        """Start what comes next and return its id and lane."""
        found = self.queue.next_start()
        if found is None:
            return None
        self.queue.change(found[0].run_id, state=RunState.STARTING, on_lane=found[1], started=1.0)
        return f"{found[0].run_id} on {found[1]}"

    def end(self, run_id: str, state: RunState = RunState.FINISHED) -> None:
        self.queue.ended(run_id, state, "", "")

    @property
    def told(self) -> dict[str, Any]:
        """All settings announced, the newest of each."""
        return {k: v for event in self.events if event["event"] == "settings" for k, v in event["settings"].items()}


@pytest.fixture
def desk(workspace: Workspace) -> Iterator[Desk]:
    desk = Desk(workspace)
    yield desk
    desk.store.close()


def test_the_highest_priority_starts_first_and_of_equals_the_one_further_up(desk: Desk) -> None:
    desk.submit("a", "b")
    desk.submit("c", priority=5)
    desk.queue.set_priority(["b", "a"], -3)
    desk.submit("d", "e")
    desk.queue.move(["e"], "d")
    order = []
    while (started := desk.start()) is not None:
        order.append(started.split()[0])
        desk.end(order[-1])
    assert order == ["c", "e", "d", "a", "b"]


def test_a_duplicate_keeps_the_priority_and_a_resumed_run_too(desk: Desk) -> None:
    desk.submit("a", priority=7)
    assert desk.queue.get(desk.queue.duplicate("a")).priority == 7
    desk.start()
    desk.end("a", RunState.INTERRUPTED)
    desk.queue.resume("a")
    assert desk.queue.get("a").priority == 7


@pytest.mark.parametrize("priority", [101, -101, 1.5, "3", True, None])
def test_a_priority_is_a_whole_number_within_bounds(desk: Desk, priority: Any) -> None:
    desk.submit("a")
    with pytest.raises(UserError, match="from -100 to 100"):
        desk.queue.set_priority(["a"], priority)
    with pytest.raises(UserError, match="from -100 to 100"):
        desk.submit("b", priority=priority)
    assert [entry.run_id for entry in desk.queue.entries] == ["a"]


def test_a_run_that_has_started_is_given_no_priority(desk: Desk) -> None:
    desk.submit("a", "b")
    desk.start()
    with pytest.raises(UserError, match="'a' is starting; only a waiting entry"):
        desk.queue.set_priority(["b", "a"], 3)
    assert desk.queue.get("b").priority == 0


def test_several_runs_share_the_cpu_and_fewer_lanes_touch_none_of_them(desk: Desk) -> None:
    desk.submit("a", "b", "c", "d", lane="cpu")
    assert desk.start() == "a on cpu" and desk.start() is None
    desk.queue.set("cpu_lanes", 3)
    assert desk.queue.lanes == ["cpu", "cpu-2", "cpu-3"]
    assert desk.told["cpu_lanes"] == 3 and desk.told["lanes"] == desk.queue.lanes
    assert (desk.start(), desk.start(), desk.start()) == ("b on cpu-2", "c on cpu-3", None)
    desk.end("a")
    desk.queue.set("cpu_lanes", 1)
    assert {entry.on_lane for entry in desk.queue.live()} == {"cpu-2", "cpu-3"}
    assert desk.start() is None, "two use the CPU already"
    desk.end("b")
    assert desk.start() is None
    desk.end("c")
    assert desk.start() == "d on cpu"


@pytest.mark.parametrize(
    ("lane", "lanes", "busy", "chosen"),
    [
        ("any", ["cuda:0", "cuda:1", "cpu"], set(), "cuda:0"),
        ("any", ["cuda:0", "cuda:1", "cpu"], {"cuda:0"}, "cuda:1"),
        ("any", ["cuda:0", "cpu"], {"cuda:0"}, None),
        ("any", ["cpu", "cpu-2"], {"cpu"}, "cpu-2"),
        ("cpu", ["cuda:0", "cpu", "cpu-2"], {"cpu"}, "cpu-2"),
        ("cpu", ["cuda:0", "cpu"], {"cpu-7"}, None),
        ("cuda:1", ["cuda:0", "cuda:1", "cpu"], {"cuda:0"}, "cuda:1"),
        ("cuda:1", ["cuda:0", "cuda:1", "cpu"], {"cuda:1"}, None),
        ("cuda:3", ["cuda:0", "cpu"], set(), None),
    ],
)
def test_which_lane_an_entry_takes(lane: str, lanes: list[str], busy: set[str], chosen: str | None) -> None:
    assert choose_lane(Entry(run_id="a", spec={}, lane=lane), lanes, busy) == chosen


def test_names_of_lanes() -> None:
    assert cpu_lanes(3) == ["cpu", "cpu-2", "cpu-3"]
    assert [device_of(lane) for lane in ("cpu", "cpu-12", "cuda:1")] == ["cpu", "cpu", "cuda:1"]
    assert [wanted_lane(text) for text in ("", "any", "cpu", "cpu-2", "cuda", "cuda:3")] == [
        "any", "any", "cpu", "cpu", "cuda:0", "cuda:3",
    ]  # fmt: skip
    for wrong in ("mps", "cuda:", "cuda:-1", "CPU", "cpu-", "cuda:1 "):
        with pytest.raises(UserError, match="use any, cpu or cuda:N"):
            wanted_lane(wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paused", "yes"), ("paused", None), ("on_failure", "panic"), ("cpu_lanes", 0), ("cpu_lanes", 65),
        ("cpu_lanes", 2.5), ("cpu_lanes", True), ("stuck_minutes", 0), ("stuck_minutes", float("nan")),
        ("stuck_minutes", float("inf")), ("stuck_minutes", "soon"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_and_nothing_changes(desk: Desk, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"'{name}' = .* must be"):
        desk.queue.set(name, value)
    assert desk.queue.settings == Settings() and desk.events == [] and desk.queue.undo_words["undo"] == ""


def test_settings_survive_and_those_of_a_stranger_fall_back_to_their_defaults(workspace: Workspace) -> None:
    desk = Desk(workspace)
    for name, value in (("paused", True), ("on_failure", "go_on"), ("cpu_lanes", 4), ("stuck_minutes", None)):
        desk.queue.set(name, value)
    desk.store.close()
    again = QueueStore(workspace.database)
    assert again.settings() == Settings(paused=True, on_failure="go_on", cpu_lanes=4, stuck_minutes=None)
    again.close()
    with sqlite3.connect(workspace.database) as connection:
        connection.execute("UPDATE queue_settings SET value = '\"panic\"' WHERE name = 'on_failure'")
        connection.execute("UPDATE queue_settings SET value = 'no json' WHERE name = 'cpu_lanes'")
        connection.execute("INSERT INTO queue_settings VALUES ('newer', '1')")
    connection.close()
    again = QueueStore(workspace.database)
    assert again.settings() == Settings(paused=True, stuck_minutes=None)
    again.close()


def test_every_setting_is_a_field_of_the_state() -> None:
    assert Settings.model_fields.keys() <= QueueState.model_fields.keys()
    defaults = QueueState()
    assert Settings().model_dump() == {name: getattr(defaults, name) for name in Settings.model_fields}


def test_a_failure_pauses_the_queue_by_policy_and_that_is_nobodys_to_undo(desk: Desk) -> None:
    desk.queue.set("on_failure", "stop")
    desk.submit("a")
    desk.start()
    desk.end("a", RunState.FAILED)
    assert desk.queue.settings.paused and desk.told["paused"] is True
    assert desk.queue.undo_words["undo"] == "add 'a'"


def test_what_is_on_the_disk_is_what_is_in_memory(workspace: Workspace) -> None:
    desk = Desk(workspace)
    desk.submit("a", "b", "c", "d")
    desk.queue.move(["d"], "b")
    desk.queue.remove(["a"])
    desk.queue.undo()
    desk.queue.edit("c", {**SPEC, "steps": 99}, None, "cpu-2")
    desk.queue.hold("b", True)
    entries = desk.queue.entries
    assert [entry.run_id for entry in entries] == ["a", "d", "b", "c"]
    assert desk.store.load() == entries
    desk.store.close()


def test_a_change_that_cannot_be_saved_is_not_made_and_not_remembered(desk: Desk) -> None:
    desk.submit("a", "b")
    pages = desk.store._connection.execute("PRAGMA page_count").fetchone()[0]
    desk.store._connection.execute(f"PRAGMA max_page_count = {pages}")
    before, told, words = desk.queue.entries, len(desk.events), desk.queue.undo_words
    with pytest.raises(sqlite3.Error):
        desk.queue.submit([{"spec": {**SPEC, "name": "x" * 80}} for _ in range(50)])
    assert desk.queue.entries == before == desk.store.load()
    assert len(desk.events) == told and desk.queue.undo_words == words
