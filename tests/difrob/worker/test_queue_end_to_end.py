"""Lanes, undo and late folds through a real supervisor, and the words of ``difrob queue``."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.waiting import entry_of, wait_state, wait_steps, wait_until

from difrob.cli import main
from difrob.runs import RunState, Workspace, run_file
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.specs import TrainDenoiserSpec
from difrob.worker.leftovers import fold_leftovers
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore
from difrob.worker.transport import connect

SMALL = {
    "kind": "train_denoiser", "steps": 1_000_000, "batch_size": 8, "sample_every": 0, "checkpoint_every": 50,
    "log_every": 5, "network": {"width": 16, "blocks": 1},
}  # fmt: skip


def test_two_runs_use_the_cpu_at_once_and_fewer_lanes_let_both_go_on(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("set_cpu_lanes", count=2)
        connection.call("submit", entries=[{"run_id": name, "spec": SMALL} for name in ("a", "b", "c")])
        for name in ("a", "b"):
            wait_steps(workspace, name, 10)
        connection.call("set_cpu_lanes", count=1)
        assert connection.call("state")["lanes"] == ["cpu"]
        assert {entry_of(connection, name).on_lane for name in ("a", "b")} == {"cpu", "cpu-2"}
        assert workspace.reader("b").summary().device.startswith("cpu")
        for name in ("a", "b"):
            wait_steps(workspace, name, workspace.reader(name).summary().progress.done + 10)
        connection.call("set_priority", run_ids=["c"], priority=3)
        connection.call("stop", run_id="a", grade="kill")
        wait_state(connection, "a", RunState.CANCELLED)
        assert entry_of(connection, "c").state is RunState.QUEUED, "'b' has the one lane that is left"
        assert connection.call("undo") == {"words": "give 'c' priority 3", "kept": []}
        assert connection.call("undo")["words"] == "set the CPU lanes to 1"
        wait_until(lambda: entry_of(connection, "c").state.is_live)
        assert connection.call("undo")["kept"], "what has started is not removed"
        assert [entry["run_id"] for entry in connection.call("state")["entries"]] == ["a", "b", "c"]


UNDOING = """
import sys
from difrob.runs import Workspace
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
workspace = Workspace(sys.argv[1])
queue = Queue(workspace, QueueStore(workspace.database), lambda event: None)
if not queue.entries:
    queue.submit([{"spec": {"kind": "train_denoiser", "steps": 9}} for _ in range(40)])
queue.remove([entry.run_id for entry in queue.entries][10:])
print("ready", flush=True)
while True:
    queue.undo()
    queue.redo()
"""


def test_a_kill_during_undo_leaves_all_of_it_or_nothing(workspace: Workspace) -> None:
    chance = random.Random(1)
    seen = set()
    for attempt in range(4):
        process = subprocess.Popen([sys.executable, "-c", UNDOING, str(workspace.root)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
        process.stdout.close()
        store = QueueStore(workspace.database)
        entries = store.load()
        seen.add(len(entries))
        assert len(entries) in (10, 40)
        if attempt < 3:
            store.commit(remove=[entry.run_id for entry in entries])
        store.close()
    assert seen


def run_without_room_for_its_end(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has ended, whose last fold found no room, so that its journal is left."""

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recorder = RunRecorder(workspace, "run", TrainDenoiserSpec(name="a run"))
    recorder.metric("loss", 1, 0.5)
    recorder.progress(1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(run_file, "fold", no_room)
        recorder.finish(RunState.FINISHED)
    assert workspace.journal_path("run").exists()


def test_a_journal_left_for_want_of_room_is_folded_when_there_is_some(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_without_room_for_its_end(workspace, monkeypatch)
    usage = type("Usage", (), {"free": -1})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage)
        assert fold_leftovers(workspace, lambda _: None) == []
    live = Entry(run_id="run", spec={}, state=RunState.RUNNING)
    assert fold_leftovers(workspace, lambda _: live) == []
    ended = Entry(run_id="run", spec={}, state=RunState.FINISHED)
    assert fold_leftovers(workspace, lambda _: ended) == ["run"]
    assert not workspace.journal_path("run").exists()
    summary = workspace.reader("run").summary()
    assert summary.state is RunState.FINISHED and workspace.reader("run").metrics()["loss"].value.tolist() == [0.5]
    assert fold_leftovers(workspace, lambda _: ended) == []


def test_a_leftover_journal_keeps_the_reason_that_the_queue_noted(workspace: Workspace) -> None:
    recorder = RunRecorder(workspace, "run", TrainDenoiserSpec(name="a run"))
    recorder.progress(1, 9)
    recorder.flush()
    assert fold_leftovers(workspace, lambda _: None) == [], "its writer is alive"
    recorder.close()
    ended = Entry(run_id="run", spec={}, state=RunState.CANCELLED, reason="killed on request", cause="request")
    assert fold_leftovers(workspace, lambda _: ended) == ["run"]
    summary = workspace.reader("run").summary()
    assert (summary.state, summary.reason, summary.cause) == (RunState.CANCELLED, "killed on request", "request")


@pytest.mark.parametrize(
    ("facts", "cause"), [({}, "lost"), ({"boot": "another"}, "restart"), ({"host": "another", "boot": "x"}, "lost")]
)
def test_a_run_found_dead_says_why_as_far_as_that_can_be_known(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], cause: str
) -> None:
    recorder = RunRecorder(workspace, "run", TrainDenoiserSpec(name="a run"), facts=facts)
    recorder.flush()
    recorder.close()
    summary = recover(workspace.reader("run"))
    assert summary is not None and (summary.state, summary.cause) == (RunState.INTERRUPTED, cause)
    assert workspace.reader("run").summary().cause == cause


def test_the_supervisor_folds_what_it_finds_at_its_start(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run_without_room_for_its_end(workspace, monkeypatch)
    with connect(workspace) as connection:
        assert connection.call("state")["entries"] == []
        assert not workspace.journal_path("run").exists()
    assert workspace.reader("run").summary().state is RunState.FINISHED


def test_the_queue_from_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    def difrob(*words: str) -> str:
        code = main(["queue", "--workspace", str(workspace.root), *words])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    def refused(*words: str) -> str:
        assert main(["queue", "--workspace", str(workspace.root), *words]) == 2
        return capsys.readouterr().err

    assert "30 min" in difrob()
    with connect(workspace) as connection:
        connection.call("pause_queue", paused=True)
        connection.call("submit", entries=[{"run_id": name, "spec": {**SMALL, "name": name}} for name in ("a", "b")])
        difrob("priority", "b", "4")
        assert difrob("lanes", "--cpu", "3").split() == ["cpu,", "cpu-2,", "cpu-3"]
        difrob("stuck-limit", "never")
        shown = difrob()
        assert "paused" in shown and "cpu-3" in shown and "left alone" in shown and "skip_dependants" in shown
        assert "taken back: set the limit for stuck runs to never" in difrob("undo")
        assert "taken back: set the CPU lanes to 3" in difrob("undo")
        assert "taken back: give 'b' priority 4" in difrob("undo")
        assert "done again: give 'b' priority 4" in difrob("redo")
        state = connection.call("state")
        assert (state["cpu_lanes"], state["stuck_minutes"]) == (1, 30.0)
        assert [entry["priority"] for entry in state["entries"]] == [0, 4]
        assert (state["undo"], state["redo"]) == ("give 'b' priority 4", "set the CPU lanes to 3")
        difrob("stuck-limit", "2.5")
        supervisor = psutil.Process(state["pid"])
    assert "'soon' is neither" in refused("stuck-limit", "soon")
    assert "from 1 to 64" in refused("lanes", "--cpu", "99")
    assert "from -100 to 100" in refused("priority", "a", "1000")
    supervisor.kill()
    supervisor.wait(5)
    assert "after 2.5 min" in difrob(), "settings are read from the disk"
    assert json.loads(difrob("--json"))["stuck_minutes"] == 2.5


def test_the_lock_names_the_process_that_serves(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("set_cpu_lanes", count=2)
        note = json.loads(Path(workspace.root / "supervisor.lock").read_text())
        assert note["pid"] == connection.call("state")["pid"]
