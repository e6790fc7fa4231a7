"""Entries that wait for each other: lattices, long chains and circles, in the queue and before a real supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from support.waiting import wait_until

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.dependencies import those_behind
from difrob.worker.messages import Entry
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.transport import Connection, connect

SPEC = {"kind": "train_denoiser", "steps": 10}


class CountedEntries(dict[str, Entry]):
    """Entries that count how often one of them is looked at."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__({entry.run_id: entry for entry in entries})
        self.looks = 0

    def items(self) -> Any:
        for item in super().items():
            self.looks += 1
            yield item

    def __getitem__(self, run_id: str) -> Entry:
        self.looks += 1
        return super().__getitem__(run_id)


def lattice(levels: int) -> list[Entry]:
    """Two entries a level, each of which waits for both of the level before: the ways through double with each level."""
    entries = []
    for level in range(levels):
        after = [f"{side}{level - 1}" for side in "ab"] if level else []
        entries += [Entry(run_id=f"{side}{level}", spec=SPEC, after=after) for side in "ab"]
    return entries


def chain(length: int) -> list[Entry]:
    """Entries of which each waits for the one before."""
    return [Entry(run_id=f"r{n}", spec=SPEC, after=[f"r{n - 1}"] if n else []) for n in range(length)]


@pytest.fixture
def queue(workspace: Workspace) -> Iterator[Queue]:
    store = QueueStore(workspace.database)
    yield Queue(workspace, store, lambda event: None)
    store.close()


def add(queue: Queue, entries: list[Entry]) -> None:
    queue.submit([{"run_id": entry.run_id, "spec": entry.spec, "after": entry.after} for entry in entries])


@pytest.mark.parametrize("entries", [lattice(14), lattice(200), chain(5000)], ids=["28", "400", "chain"])
def test_each_entry_is_looked_at_once_however_many_ways_lead_to_it(entries: list[Entry]) -> None:
    counted = CountedEntries(entries)
    assert those_behind(entries[0].run_id, counted) == set(counted) - ({"b0"} & set(counted))
    assert counted.looks == len(entries)


def test_an_edit_in_a_lattice_and_at_the_end_of_a_long_chain_is_checked(queue: Queue) -> None:
    add(queue, [*lattice(40), *chain(1500)])
    queue.edit("b39", None, ["r1499"], None)
    assert queue.get("b39").after == ["r1499"]
    with pytest.raises(UserError, match="run 'r1499' itself waits for 'r0'"):
        queue.edit("r0", None, ["a39", "r1499"], None)
    with pytest.raises(UserError, match="run 'a39' itself waits for 'a0'"):
        queue.edit("a0", None, ["a39"], None)
    with pytest.raises(UserError, match="run 'b39' itself waits for 'r0'"):
        queue.edit("r0", None, ["b39"], None)
    assert queue.get("r0").after == queue.get("a0").after == []


def test_a_new_run_of_an_id_that_others_still_name_closes_no_circle(workspace: Workspace) -> None:
    with closing(QueueStore(workspace.database)) as store:
        store.commit(save=chain(3)[1:])  # r0 has gone, with its file
        queue = Queue(workspace, store, lambda event: None)
        with pytest.raises(UserError, match="run 'r2' itself waits for 'r0'; give the new run another id"):
            queue.submit([{"run_id": "r0", "spec": SPEC, "after": ["r2"]}])
        queue.submit([{"run_id": "r0", "spec": SPEC}])
        assert [entry.run_id for entry in queue.entries] == ["r1", "r2", "r0"]


FAULTY = """
import sys
from difrob.worker import supervisor

def fall(queue):
    return fall(queue)

def break_off(queue):
    raise MemoryError

supervisor.Queue.undo, supervisor.Queue.redo = fall, break_off
sys.exit(supervisor.main())
"""


def test_a_real_supervisor_takes_a_long_chain_and_refuses_the_circle(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("pause_queue", paused=True)
        requests = [{"run_id": entry.run_id, "spec": entry.spec, "after": entry.after} for entry in chain(1500)]
        connection.call("submit", entries=requests)
        with pytest.raises(UserError, match="run 'r1499' itself waits for 'r0'"):
            connection.call("edit", run_id="r0", after=["r1499"])


def test_an_error_that_nobody_foresaw_becomes_a_sentence_and_a_line_in_the_log(workspace: Workspace) -> None:
    command = [sys.executable, "-c", FAULTY, "--workspace", str(workspace.root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: os.path.exists(workspace.socket_path))
        with Connection(workspace) as connection, Connection(workspace) as other:
            with pytest.raises(UserError, match=r"could not answer 'undo': .*RecursionError.*supervisor.log"):
                connection.call("undo")
            with pytest.raises(UserError, match=r"could not answer 'redo': .*MemoryError"):
                other.call("redo")
            assert connection.call("state")["pid"] == process.pid
            other.call("shutdown")
        complaints = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "the call 'undo' met an error" in complaints and "in break_off" in complaints
