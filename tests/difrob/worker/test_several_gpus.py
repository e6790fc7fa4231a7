"""Runs that need several GPUs at once: which lanes they get, what is kept for them, and what the others may still take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from difrob.cli.queue import console, print_queue
from difrob.runs import RunState, Workspace
from difrob.specs import devices_of, parse_spec
from difrob.worker import processes, supervisor
from difrob.worker.deaths import Death
from difrob.worker.lanes import choose_lane, device_of, lanes_to_keep
from difrob.worker.messages import Entry, QueueState
from difrob.worker.processes import WorkerProcesses
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.supervisor import Supervisor

FOUR = ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cpu", "cpu-2"]


def spec_for(devices: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "train_denoiser", "steps": 10, "batch_size": 64, "compute": {"devices": devices}, **fields}


class Desk:
    """A queue of a machine with so many GPUs, as it is when runs start and end."""

    def __init__(self, workspace: Workspace, gpus: int) -> None:
        self.store = QueueStore(workspace.database)
        self.queue = Queue(workspace, self.store, lambda event: None, [f"cuda:{index}" for index in range(gpus)])

    def submit(self, run_id: str, devices: int, **fields: Any) -> None:
        self.queue.submit([{"run_id": run_id, "spec": spec_for(devices), **fields}])

    def start(self) -> list[str]:
        """Start all that may start."""
        started = []
        while (found := self.queue.next_start()) is not None:
            entry, lane = found
            self.queue.change(entry.run_id, state=RunState.STARTING, on_lane=lane, reason="", started=1.0)
            started.append(f"{entry.run_id} on {lane}")
        return started

    def end(self, run_id: str) -> None:
        self.queue.ended(run_id, RunState.FINISHED, "", "")

    def why(self, run_id: str) -> str:
        return self.queue.get(run_id).reason


@pytest.fixture
def desk(workspace: Workspace, request: pytest.FixtureRequest) -> Iterator[Desk]:
    desk = Desk(workspace, getattr(request, "param", 2))
    yield desk
    desk.store.close()


@pytest.mark.parametrize(
    ("devices", "lane", "lanes", "busy", "chosen"),
    [
        (2, "any", FOUR, set(), "cuda:0,cuda:1"),
        (2, "any", FOUR, {"cuda:0", "cuda:2"}, "cuda:1,cuda:3"),
        (3, "any", FOUR, {"cuda:0", "cuda:2"}, None),
        (4, "any", FOUR, {"cpu"}, "cuda:0,cuda:1,cuda:2,cuda:3"),
        (5, "any", FOUR, set(), None),
        (2, "cuda:1", FOUR, set(), "cuda:1,cuda:0"),
        (3, "cuda:3", FOUR, {"cuda:0"}, "cuda:3,cuda:1,cuda:2"),
        (2, "cuda:1", FOUR, {"cuda:1"}, None),
        (2, "cuda:7", FOUR, set(), None),
        (4, "cpu", FOUR, {"cpu"}, "cpu-2"),
        (4, "cpu", FOUR, {"cpu", "cpu-2"}, None),
        (64, "any", ["cpu", "cpu-2"], {"cpu"}, "cpu-2"),
        (2, "cuda:0", ["cpu"], set(), None),
    ],
)
def test_which_lanes_a_run_takes(devices: int, lane: str, lanes: list[str], busy: set[str], chosen: str | None) -> None:
    entry = Entry(run_id="a", spec=spec_for(devices), lane=lane)
    assert choose_lane(entry, lanes, busy) == chosen
    if chosen is not None:
        assert entry.model_copy(update={"on_lane": chosen}).on_lanes == chosen.split(",")


@pytest.mark.parametrize(
    ("lane", "busy", "kept"),
    [
        ("any", {"cuda:0", "cuda:1"}, ["cuda:2", "cuda:3"]),
        ("cuda:1", {"cuda:1"}, ["cuda:0", "cuda:2"]),
        ("cuda:1", {"cuda:0", "cuda:2", "cuda:3"}, ["cuda:1"]),
        ("any", set(FOUR), []),
    ],
)
def test_no_more_is_kept_for_a_run_than_it_will_take(lane: str, busy: set[str], kept: list[str]) -> None:
    assert lanes_to_keep(Entry(run_id="a", spec=spec_for(3), lane=lane), FOUR, busy) == kept


@pytest.mark.parametrize(
    ("spec", "devices"),
    [
        ({}, 1), ({"kind": "evaluate"}, 1), ({"compute": {}}, 1), ({"compute": None}, 1), ({"compute": [2]}, 1),
        ({"compute": {"devices": "2"}}, 1), ({"compute": {"devices": 0}}, 1), (spec_for(3), 3),
    ],
)  # fmt: skip
def test_how_many_an_entry_needs_is_read_from_any_specification(spec: dict[str, Any], devices: int) -> None:
    assert Entry(run_id="a", spec=spec).devices == devices


def test_the_queue_and_the_specification_count_alike() -> None:
    for devices in (1, 2, 64):
        spec = parse_spec(spec_for(devices))
        assert Entry(run_id="a", spec=spec.model_dump(mode="json")).devices == devices_of(spec) == devices


def test_a_worker_is_told_all_its_devices(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    class Child:
        pid = 1

        def __init__(self, command: list[str], **_: Any) -> None:
            commands.append(command)

    monkeypatch.setattr(processes.subprocess, "Popen", Child)
    workers = WorkerProcesses(workspace)
    for lane in ("cuda:2,cuda:0", "cuda:1", "cpu-2"):
        workers.start("run", lane)
    assert [command[-2:] for command in commands] == [
        ["--device", "cuda:2,cuda:0"], ["--device", "cuda:1"], ["--device", "cpu"],
    ]  # fmt: skip
    assert device_of("cuda:0,cuda:1") == "cuda:0,cuda:1"


def test_gpus_are_kept_for_the_run_whose_turn_it_is(desk: Desk) -> None:
    desk.submit("first", 1)
    assert desk.start() == ["first on cuda:0"]
    desk.submit("both", 2)
    desk.submit("small", 1)
    desk.submit("named", 1, lane="cuda:1")
    desk.submit("aside", 1, lane="cpu")
    assert desk.start() == ["aside on cpu"], "the CPU is free for all"
    assert desk.why("both") == "needs 2 GPUs at once; free: 1 of 2"
    assert desk.why("small") == desk.why("named") == "the free GPUs are kept for 'both', which needs 2 at once"
    desk.end("first")
    assert desk.start() == ["both on cuda:0,cuda:1"]
    assert [desk.why(run_id) for run_id in ("both", "small", "named")] == ["", "", ""], "they wait for a lane"
    desk.end("both")
    assert desk.start() == ["small on cuda:0", "named on cuda:1"]


def test_whose_turn_it_is_follows_priority_and_then_position(desk: Desk) -> None:
    desk.submit("first", 1)
    desk.start()
    desk.submit("both", 2)
    desk.submit("urgent", 1, priority=1)
    desk.submit("small", 1)
    assert desk.start() == ["urgent on cuda:1"], "it comes before the run that needs both"
    desk.end("urgent")
    assert desk.start() == []
    desk.queue.move(["small"], "both")
    assert desk.start() == ["small on cuda:1"]


@pytest.mark.parametrize("desk", [4], indirect=True)
def test_two_runs_that_need_several_wait_in_their_order(desk: Desk) -> None:
    desk.submit("first", 1)
    desk.submit("second", 1)
    desk.start()
    desk.submit("three", 3)
    desk.submit("two", 2)
    assert desk.start() == []
    assert desk.why("three") == "needs 3 GPUs at once; free: 2 of 4"
    assert desk.why("two") == "the free GPUs are kept for 'three', which needs 3 at once"
    desk.end("second")
    assert desk.start() == ["three on cuda:1,cuda:2,cuda:3"]
    assert desk.why("two") == "needs 2 GPUs at once; free: 0 of 4"
    desk.end("first")
    assert desk.start() == []
    desk.end("three")
    assert desk.start() == ["two on cuda:0,cuda:1"]


@pytest.mark.parametrize("desk", [4], indirect=True)
def test_what_a_run_on_a_named_gpu_will_not_need_goes_to_others(desk: Desk) -> None:
    desk.submit("first", 1, lane="cuda:1")
    desk.start()
    desk.submit("pair", 2, lane="cuda:1")
    for name in ("x", "y", "z"):
        desk.submit(name, 1)
    assert desk.start() == ["x on cuda:2", "y on cuda:3"]
    assert desk.why("pair") == "needs 2 GPUs at once, cuda:1 among them; free: 1 of 4"
    assert desk.why("z") == "the free GPUs are kept for 'pair', which needs 2 at once"
    desk.end("first")
    assert desk.start() == ["pair on cuda:1,cuda:0"]


@pytest.mark.parametrize("desk", [1], indirect=True)
def test_a_run_that_needs_more_gpus_than_there_are_says_so_and_keeps_nobody_waiting(desk: Desk) -> None:
    desk.submit("four", 4, priority=5)
    desk.submit("small", 1)
    assert desk.start() == ["small on cuda:0"]
    words = "asks for 4 GPUs (compute.devices), this machine has 1; edit it, or give it the lane cpu"
    assert desk.why("four") == words
    assert desk.queue.can_go_on(), "the other one is live"
    desk.end("small")
    assert desk.start() == [] and not desk.queue.can_go_on()
    desk.queue.edit("four", None, None, "cpu")
    assert desk.queue.can_go_on() and desk.start() == ["four on cpu"]


def test_a_run_that_cannot_start_yet_for_other_reasons_keeps_no_gpu(desk: Desk) -> None:
    desk.submit("first", 1)
    desk.start()
    desk.submit("held", 2, held=True)
    desk.submit("later", 2, after=["first"])
    desk.submit("small", 1)
    assert desk.start() == ["small on cuda:1"]
    assert (desk.why("held"), desk.why("later")) == ("held", "needs 'first', which is starting")


@pytest.mark.parametrize("desk", [0], indirect=True)
def test_without_a_gpu_any_number_shares_one_lane_of_the_cpu(desk: Desk) -> None:
    desk.queue.set("cpu_lanes", 2)
    desk.submit("many", 8)
    desk.submit("one", 1)
    assert desk.start() == ["many on cpu", "one on cpu-2"]


def test_the_number_is_a_persons_to_edit_to_copy_and_to_take_back(desk: Desk) -> None:
    desk.submit("first", 1)
    desk.start()
    desk.submit("run", 2, lane="cuda:1")
    copy = desk.queue.duplicate("run")
    assert (desk.queue.get(copy).devices, desk.queue.get(copy).lane) == (2, "cuda:1")
    desk.queue.undo()
    desk.queue.edit("run", spec_for(1), None, None)
    assert desk.queue.get("run").devices == 1
    desk.queue.undo()
    assert desk.queue.get("run").devices == 2 and desk.start() == []
    assert desk.why("run").startswith("needs 2 GPUs")
    desk.queue.redo()
    assert desk.start() == ["run on cuda:1"]


def test_the_supervisor_gives_lanes_together_and_a_successor_leaves_them_with_their_runs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "detect_gpus", lambda meters: ["cuda:0", "cuda:1", "cuda:2"])
    workers = NoWorkers()
    first = workers.given_to(Supervisor(workspace))
    sizes = {"pair": 2, "triple": 3, "small": 1}
    first._queue.submit([{"run_id": name, "spec": spec_for(size)} for name, size in sizes.items()])
    first._schedule()
    assert workers.lanes == {"pair": "cuda:0,cuda:1"}
    first._store.close()

    second = workers.given_to(Supervisor(workspace))
    second._take_stock()
    second._schedule()
    assert workers.lanes == {"pair": "cuda:0,cuda:1"}, "the third GPU is kept for 'triple'"
    assert second._queue.get("pair").on_lanes == ["cuda:0", "cuda:1"]
    monkeypatch.setattr(console, "width", 300)
    print_queue(QueueState.model_validate_json(second._state().text))
    printed = capsys.readouterr().out
    assert "cuda:0, cuda:1 " in printed and "needs 3 GPUs at once; free: 1 of 3" in printed
    for ended, started in (("pair", {"triple": "cuda:0,cuda:1,cuda:2"}), ("triple", {"small": "cuda:0"})):
        del workers.lanes[ended]
        second._schedule()
        assert second._queue.get(ended).state is RunState.FINISHED and second._queue.get(ended).on_lane == ""
        assert workers.lanes == started
    second._store.close()


class NoWorkers:
    """Stands for the processes of workers: notes where each was started, and finds it finished when it is gone."""

    def __init__(self) -> None:
        self.lanes: dict[str, str] = {}

    def given_to(self, supervisor: Supervisor) -> Supervisor:
        supervisor._processes = self  # type: ignore[assignment]
        return supervisor

    def start(self, run_id: str, lane: str) -> int:
        self.lanes[run_id] = lane
        return 2**30

    def is_alive(self, run_id: str, pid: int | None) -> bool:
        return run_id in self.lanes

    def autopsy(self, entry: Entry) -> Death:
        return Death(RunState.FINISHED, "", "")
