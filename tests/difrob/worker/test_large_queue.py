"""A queue of thousands: what is counted is work, not time: transactions, messages, files read, entries written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.input_runs import a_denoiser, a_set

from difrob.errors import UserError
from difrob.inputs.facts import InputFacts
from difrob.inputs.fitting import require_fitting_inputs
from difrob.runs import RunState, Workspace
from difrob.runs.reader import RunReader
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainDenoiserSpec, parse_spec
from difrob.worker import clients as clients_module
from difrob.worker.clients import Client, Clients
from difrob.worker.messages import Entry, QueueState, Written, encode
from difrob.worker.queue import REASONS_AT_ONCE, Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.states_on_disk import StatesOnDisk
from difrob.worker.supervisor import Supervisor
from difrob.worker.transport import connect
from difrob.worker.undo import _with_places_of

SPEC = {"kind": "train_denoiser", "steps": 10}
MANY = 2000


class Counted:
    """A queue, with its events and with the transactions that it makes."""

    def __init__(self, workspace: Workspace) -> None:
        self.events: list[dict[str, Any]] = []
        self.statements: list[str] = []
        self.store = QueueStore(workspace.database)
        self.store._connection.set_trace_callback(self.statements.append)
        self.queue = Queue(workspace, self.store, self.events.append)

    def submit(self, count: int, **fields: Any) -> None:
        self.queue.submit([{"run_id": f"r{number}", "spec": SPEC, **fields} for number in range(count)])

    def transactions(self) -> int:
        """How many since this was asked last."""
        count = sum(statement.startswith("BEGIN") for statement in self.statements)
        self.statements.clear()
        return count


@pytest.fixture
def counted(workspace: Workspace) -> Iterator[Counted]:
    counted = Counted(workspace)
    yield counted
    counted.store.close()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the files of each run were opened."""
    counter: Counter[str] = Counter()
    look = RunReader.look

    def counting(reader: RunReader) -> Any:
        counter[reader.run_id] += 1
        return look(reader)

    monkeypatch.setattr(RunReader, "look", counting)
    return counter


def test_many_entries_are_taken_in_one_transaction_and_told_in_one_message(counted: Counted) -> None:
    counted.submit(MANY)
    assert counted.transactions() == 1
    told = [event for event in counted.events if event["event"] != "settings"]
    assert [event["event"] for event in told] == ["changes"] and len(told[0]["entries"]) == MANY
    assert counted.store.load() == counted.queue.entries
    counted.queue.undo()
    assert counted.transactions() == 1 and counted.queue.entries == []


def test_thousands_of_ids_made_in_one_second_do_not_meet(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["a", "a", "b", "a", "b", "c"])
    monkeypatch.setattr("difrob.worker.queue.new_run_id", lambda kind, name: next(made))
    assert counted.queue.submit([{"spec": SPEC}, {"spec": SPEC}, {"spec": SPEC}]) == ["a", "b", "c"]
    with pytest.raises(UserError, match="run 'a' exists already"):
        counted.queue.submit([{"spec": SPEC, "run_id": "a"}])


def test_a_tick_notes_all_that_changed_at_once_and_then_comes_to_rest(counted: Counted) -> None:
    counted.queue.set("paused", True)
    counted.submit(MANY)
    counted.events.clear()
    assert counted.transactions() == 2
    ticks = -(-MANY // REASONS_AT_ONCE)
    for _ in range(ticks):
        assert counted.queue.next_start() is None
        assert counted.transactions() == 1
    assert [event["event"] for event in counted.events] == ["reasons"] * ticks
    assert {entry.reason for entry in counted.queue.entries} == {"the queue is paused"}
    assert counted.store.load() == counted.queue.entries
    counted.statements.clear()
    counted.queue.next_start()
    assert counted.statements == [] and len(counted.events) == ticks and not counted.queue.can_go_on()
    counted.queue.set("paused", False)
    found = counted.queue.next_start()
    assert found is not None and found[0].run_id == "r0"


def test_what_starts_is_not_held_up_by_reasons_still_to_be_noted(counted: Counted) -> None:
    counted.submit(REASONS_AT_ONCE + 20, held=True)
    counted.queue.submit([{"run_id": "free", "spec": SPEC}])
    found = counted.queue.next_start()
    assert found is not None and found[0].run_id == "free"
    assert [entry.reason for entry in counted.queue.entries].count("held") == REASONS_AT_ONCE


def test_parents_that_have_left_the_queue_are_read_once_and_again_when_their_files_change(
    workspace: Workspace, counted: Counted, looks: Counter[str]
) -> None:
    recorder = RunRecorder(workspace, "parent", TrainDenoiserSpec())
    recorder.finish(RunState.INTERRUPTED, "stopped on request")
    counted.submit(30, after=["parent"])
    for _ in range(10):
        assert counted.queue.next_start() is None
    assert looks["parent"] == 1
    assert counted.queue.get("r29").reason == "needs 'parent', which is interrupted; resume that or remove this"
    recorder = RunRecorder(workspace, "parent", TrainDenoiserSpec(), resume=True)
    recorder.finish(RunState.FINISHED)
    assert counted.queue.next_start() is not None
    assert looks["parent"] > 1
    workspace.run_path("parent").unlink()
    assert counted.queue.next_start() is None
    assert counted.queue.get("r29").reason == "needs 'parent', which is gone"


def test_a_run_that_lives_outside_the_queue_is_looked_at_once_a_second(
    workspace: Workspace, looks: Counter[str]
) -> None:
    now = 10.0
    states = StatesOnDisk(workspace, clock=lambda: now)
    recorder = RunRecorder(workspace, "lives", TrainDenoiserSpec())
    try:
        before = looks["lives"]
        assert {states.of("lives") for _ in range(5)} == {RunState.RUNNING}
        assert looks["lives"] == before + 1 and not states.have_changed()
        now = 11.0
        assert states.have_changed() and states.of("lives") is RunState.RUNNING
        assert looks["lives"] == before + 2
    finally:
        recorder.finish(RunState.FINISHED)
    assert states.have_changed() and states.of("lives") is RunState.FINISHED
    assert states.of("gone") is None and states.of("../x") is None
    states.forget_all_but({"gone"})
    workspace.run_path("lives").unlink()
    assert not states.have_changed()


def test_inputs_of_many_specifications_are_read_once(workspace: Workspace, looks: Counter[str]) -> None:
    a_denoiser(workspace, "model")
    made = a_set(workspace, "made", np.arange(20) % 10)
    specs = [
        parse_spec({"kind": "train_classifier", "generated": made}), parse_spec({"kind": "generate", "denoiser": "model"}),
        parse_spec({"kind": "measure", "generated": made}),
    ]  # fmt: skip

    def read(times: int) -> Counter[str]:
        looks.clear()
        facts = InputFacts(workspace)
        for _ in range(times):
            for spec in specs:
                require_fitting_inputs(facts, spec)
        return Counter(looks)

    once = read(1)
    assert once["model"] and once["made"] and read(50) == once


def test_the_state_is_put_together_from_entries_that_are_written_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(workspace)
    supervisor._queue.submit([{"run_id": f"r{number}", "spec": SPEC} for number in range(20)])
    written: Counter[str] = Counter()
    write = Entry.model_dump_json

    def counting(entry: Entry, **options: Any) -> str:
        written[entry.run_id] += 1
        return write(entry, **options)

    for _ in range(3):
        monkeypatch.setattr(Entry, "model_dump_json", counting)
        state = QueueState.model_validate_json(supervisor._state().text)
        monkeypatch.setattr(Entry, "model_dump_json", write)
        assert state.entries == supervisor._queue.entries and state.undo == "add 20 entries"
    assert written == Counter({f"r{number}": 1 for number in range(20)})
    supervisor._queue.hold("r3", True)
    supervisor._queue.remove(["r5"])
    monkeypatch.setattr(Entry, "model_dump_json", counting)
    assert QueueState.model_validate_json(supervisor._state().text).entries == supervisor._queue.entries
    assert written["r3"] == 2 and written["r4"] == 1
    supervisor._store.close()


def test_an_event_is_written_out_once_for_all_who_watch(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.transport, self.lines = self, list[bytes]()
            self.write = self.lines.append

        def get_write_buffer_size(self) -> int:
            return 0

        def is_closing(self) -> bool:
            return False

    encoded: list[Any] = []
    monkeypatch.setattr(clients_module, "encode", lambda message: encoded.append(message) or encode(message))
    clients = Clients(workspace, {})
    pipes = [Pipe() for _ in range(20)]
    for pipe in pipes:
        client = Client(pipe)  # type: ignore[arg-type]
        client.watches = pipe is not pipes[0]
        clients._clients.add(client)
    clients.announce({"event": "order", "run_ids": ["a"]})
    assert len(encoded) == 1 and [len(pipe.lines) for pipe in pipes] == [0] + [1] * 19
    assert json.loads(pipes[1].lines[0]) == {"event": "order", "run_ids": ["a"]}


def test_what_is_written_already_travels_as_it_is() -> None:
    entry = Entry(run_id="ä", spec={**SPEC, "name": 'a "name"\n'})
    plain = {"id": 1, "ok": True, "result": {"entries": [entry.model_dump(mode="json")]}}
    line = encode({"id": 1, "ok": True, "result": Written(f'{{"entries":[{entry.model_dump_json()}]}}')})
    assert json.loads(line) == plain and line.count(b"\n") == 1
    assert json.loads(encode({"entries": [entry], "order": None})) == {**plain["result"], "order": None}  # type: ignore[dict-item]
    assert encode({}) == b"{}\n"


@given(st.data())
def test_entries_go_back_to_their_places_one_by_one_or_all_at_once(data: st.DataObject) -> None:
    """The quick way gives what taking each by itself, the last first, gives."""
    model = data.draw(st.lists(st.integers(0, 12), unique=True), "model")
    order = data.draw(st.lists(st.integers(0, 12), unique=True), "order")
    placed = data.draw(st.lists(st.sampled_from(order), unique=True) if order else st.just([]), "placed")

    result = [one for one in order if one not in placed]
    position = {one: number for number, one in enumerate(model)}
    for one in sorted(placed, key=lambda one: position.get(one, len(model)), reverse=True):
        followers = model[position[one] + 1 :] if one in position else []
        at = next((number for number, other in enumerate(result) if other in followers), len(result))
        result.insert(at, one)
    words = [[f"r{one}" for one in each] for each in (order, placed, model)]
    assert _with_places_of(*words) == [f"r{one}" for one in result]


def test_a_state_of_thousands_reaches_a_client(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("pause_queue", paused=True)
        requests = [{"run_id": f"run-number-{number}", "spec": SPEC, "held": True} for number in range(3000)]
        assert len(connection.call("submit", entries=requests)["run_ids"]) == 3000
        state = connection.call("state")
        assert len(state["entries"]) == 3000 and len(encode(state)) > 4_000_000
        connection.call("watch")
        assert len(connection.call("state")["entries"]) == 3000
        (told,) = [event for event in connection.events if event.get("event") == "state"]
        assert len(told["state"]["entries"]) == 3000
