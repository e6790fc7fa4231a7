"""The real supervisor with real workers, on digits."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from support.waiting import entry_of, wait_state, wait_steps, wait_until

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.messages import MAX_LINE, encode
from difrob.worker.supervisor import Supervisor
from difrob.worker.transport import Connection, connect, supervisor_command

SMALL = {
    "kind": "train_denoiser", "steps": 40, "batch_size": 16, "sample_every": 0, "checkpoint_every": 20, "log_every": 5,
    "network": {"width": 32, "blocks": 2},
}  # fmt: skip
ENDLESS = {**SMALL, "steps": 1_000_000, "checkpoint_every": 50}


@pytest.fixture
def connection(workspace: Workspace) -> Iterator[Connection]:
    with connect(workspace) as connection:
        yield connection


def test_a_pipeline_runs_in_order_and_each_run_ends_finished(workspace: Workspace, connection: Connection) -> None:
    generate = {"kind": "generate", "denoiser": "first", "images": 20, "sampling_steps": 4}
    connection.call("submit", entries=[{"run_id": "first", "spec": SMALL}, {"run_id": "second", "spec": generate}])
    assert entry_of(connection, "second").after == ["first"]
    wait_state(connection, "second", RunState.FINISHED)
    first, second = (workspace.reader(name).summary() for name in ("first", "second"))
    assert first.state is RunState.FINISHED and first.ended is not None
    assert second.started is not None and second.started >= first.ended
    assert second.parents == {"denoiser": "first"}
    assert workspace.reader("second").array("samples/images").shape == (20, 8, 8, 1)
    assert not list(workspace.runs_folder.glob("*.journal"))


@pytest.mark.parametrize(
    ("grade", "state"), [("stop", RunState.INTERRUPTED), ("abort", RunState.CANCELLED), ("kill", RunState.CANCELLED)]
)
def test_each_grade_of_stop_ends_the_run_and_keeps_its_file(
    workspace: Workspace, connection: Connection, grade: str, state: RunState
) -> None:
    connection.call("submit", entries=[{"run_id": "endless", "spec": ENDLESS}])
    wait_steps(workspace, "endless", 60)
    began = time.monotonic()
    connection.call("stop", run_id="endless", grade=grade)
    entry = wait_state(connection, "endless", state, 20)
    assert time.monotonic() - began < 10
    assert "request" in entry.reason and entry.cause == "request"
    assert entry.stop_grade == "" and entry.stop_deadline is None
    summary = workspace.reader("endless").summary()
    assert summary.state is state and summary.has_checkpoint
    steps = workspace.reader("endless").metrics("loss")["loss"].step
    assert len(steps) and (steps[1:] > steps[:-1]).all()


def test_a_paused_run_waits_and_goes_on(workspace: Workspace, connection: Connection) -> None:
    connection.call("submit", entries=[{"run_id": "endless", "spec": ENDLESS}])
    wait_steps(workspace, "endless", 20)
    connection.call("stop", run_id="endless", grade="pause")
    wait_state(connection, "endless", RunState.PAUSED)
    assert workspace.reader("endless").summary().state is RunState.PAUSED
    time.sleep(0.4)
    done = workspace.reader("endless").summary().progress.done
    time.sleep(0.4)
    assert workspace.reader("endless").summary().progress.done == done
    connection.call("resume", run_id="endless")
    wait_steps(workspace, "endless", done + 20)
    assert entry_of(connection, "endless").state is RunState.RUNNING


def test_a_stopped_run_resumes_from_its_checkpoint_without_double_rows(
    workspace: Workspace, connection: Connection
) -> None:
    spec = {**ENDLESS, "steps": 1500}
    connection.call("submit", entries=[{"run_id": "run", "spec": spec}])
    wait_steps(workspace, "run", 60)
    connection.call("stop", run_id="run", grade="kill")
    wait_state(connection, "run", RunState.CANCELLED)
    connection.call("resume", run_id="run")
    wait_until(lambda: entry_of(connection, "run").state is RunState.RUNNING)
    wait_steps(workspace, "run", workspace.reader("run").checkpoint().step + 20)
    connection.call("stop", run_id="run", grade="stop")
    assert "stopped on request" in wait_state(connection, "run", RunState.INTERRUPTED).reason
    connection.call("resume", run_id="run")
    wait_state(connection, "run", RunState.FINISHED)
    reader = workspace.reader("run")
    steps = reader.metrics("loss")["loss"].step
    assert steps[-1] == 1500 and (steps[1:] > steps[:-1]).all()
    assert any("resumed at" in line.text for line in reader.log())


def test_a_dead_worker_is_explained_and_the_queue_goes_on(workspace: Workspace, connection: Connection) -> None:
    generate = {"kind": "generate", "denoiser": "dies", "images": 20}
    entries = [
        {"run_id": "dies", "spec": ENDLESS},
        {"run_id": "needs", "spec": generate},
        {"run_id": "other", "spec": SMALL},
    ]
    connection.call("submit", entries=entries)
    wait_steps(workspace, "dies", 20)
    pid = entry_of(connection, "dies").pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    entry = wait_state(connection, "dies", RunState.INTERRUPTED)
    assert "SIGSEGV" in entry.reason and entry.cause == "signal"
    assert workspace.reader("dies").summary().cause == "signal"
    wait_state(connection, "other", RunState.FINISHED)
    needs = entry_of(connection, "needs")
    assert needs.state is RunState.QUEUED and "needs 'dies', which is interrupted" in needs.reason


def test_the_worker_outlives_a_killed_supervisor_and_finds_the_next_one(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "endless", "spec": ENDLESS}])
        wait_steps(workspace, "endless", 10)
        supervisor = psutil.Process(connection.call("state")["pid"])
        supervisor.kill()
        supervisor.wait(5)
    done = workspace.reader("endless").summary().progress.done
    wait_steps(workspace, "endless", done + 50)
    with connect(workspace) as connection:
        assert entry_of(connection, "endless").state is RunState.RUNNING
        wait_until(lambda: "endless" in connection.call("state")["progress"], 10)
        connection.call("stop", run_id="endless", grade="stop")
        wait_state(connection, "endless", RunState.INTERRUPTED)


def test_a_worker_that_died_together_with_its_supervisor_is_marked_at_the_next_start(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "endless", "spec": ENDLESS}])
        wait_steps(workspace, "endless", 30)
        state = connection.call("state")
        for pid in (state["pid"], entry_of(connection, "endless").pid):
            psutil.Process(pid).kill()
    wait_until(lambda: workspace.reader("endless").summary().state is RunState.INTERRUPTED, 10)
    with connect(workspace) as connection:
        entry = entry_of(connection, "endless")
        assert entry.state is RunState.INTERRUPTED and entry.reason
    assert not workspace.journal_path("endless").exists()
    assert workspace.reader("endless").metrics("loss")["loss"].step[-1] >= 30


def test_a_second_supervisor_steps_back(workspace: Workspace, connection: Connection) -> None:
    second = subprocess.run(supervisor_command(workspace), capture_output=True, text=True, timeout=30)
    assert second.returncode == 4
    assert "another supervisor already serves" in second.stderr
    assert f"process {connection.call('state')['pid']} on host '{socket.gethostname()}'" in second.stderr
    assert connection.call("state")["paused"] is False


def test_the_socket_is_private(workspace: Workspace, connection: Connection) -> None:
    status = os.stat(workspace.socket_path)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(workspace.socket_path)).st_mode) == 0o700


BAD_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("nonsense", {}, "unknown call"),
    ("submit", {"entries": [{"spec": {"kind": "certify", "classifier": "gone"}}]}, "'gone'"),
    ("submit", {"entries": [{"spec": {"kind": "train_denoiser", "steps": 0}}]}, "'steps' = 0"),
    ("submit", {"entries": [{"run_id": "../../etc/x", "spec": SMALL}]}, "not a run id"),
    ("submit", {"wrong": 1}, "do not fit"),
    ("submit", {"entries": [{"spec": SMALL, "priority": 101}]}, "from -100 to 100"),
    ("submit", {"entries": [{"spec": SMALL, "lane": "mps"}]}, "unknown lane 'mps'"),
    ("set_cpu_lanes", {"count": 0}, "from 1 to 64"),
    ("set_stuck_minutes", {"minutes": -1}, "above 0"),
    ("undo", {}, "nothing to take back"),
    ("stop", {"run_id": "gone", "grade": "stop"}, "no run 'gone'"),
    ("move", {"run_ids": [], "before": "gone"}, "no run 'gone'"),
]


def test_bad_requests_are_answered_with_a_sentence(connection: Connection) -> None:
    for call, args, words in BAD_REQUESTS:
        with pytest.raises(UserError, match=f"(?s){re.escape(words)}"):
            connection.call(call, **args)
        assert connection.call("state")["entries"] == [], (call, args)


def test_garbage_on_the_socket_harms_nobody(workspace: Workspace, connection: Connection) -> None:
    for garbage in (b"\x00\xff\n", b"[]\n", b"{" * 100_000 + b"\n", b'{"id":"x","call":1}\n', b"a" * (MAX_LINE + 1000)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.connect(workspace.socket_path)
            try:
                stranger.sendall(garbage)
                stranger.settimeout(2)
                stranger.recv(1000)
            except OSError:
                pass
    assert connection.call("state")["entries"] == []


def test_queue_edits_survive_a_killed_supervisor(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("pause_queue", paused=True)
        entries = [{"run_id": name, "spec": SMALL} for name in ("a", "b", "c")]
        connection.call("submit", entries=entries)
        connection.call("move", run_ids=["c"], before="a")
        connection.call("hold", run_id="b", held=True)
        connection.call("edit", run_id="a", spec={**SMALL, "steps": 77})
        copy = connection.call("duplicate", run_id="a")["run_id"]
        connection.call("remove", run_ids=["c"])
        supervisor = psutil.Process(connection.call("state")["pid"])
        supervisor.kill()
        supervisor.wait(5)
    with connect(workspace) as connection:
        state = connection.call("state")
        assert [entry["run_id"] for entry in state["entries"]] == ["a", "b", copy]
        assert state["entries"][0]["spec"]["steps"] == 77 and state["entries"][1]["held"] and state["paused"]


def test_a_full_disk_is_answered_with_a_sentence_and_nothing_half_done(workspace: Workspace) -> None:
    class Listener:
        def __init__(self) -> None:
            self.sent: list[dict[str, Any]] = []
            self.writer = self

        def send(self, message: dict[str, Any]) -> None:
            self.sent.append(message)

        async def drain(self) -> None:
            pass

    supervisor = Supervisor(workspace)
    pages = supervisor._store._connection.execute("PRAGMA page_count").fetchone()[0]
    supervisor._store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "disk full"
    listener = Listener()
    entries = [{"spec": {**SMALL, "name": "x" * 80}} for _ in range(50)]
    request = encode({"id": 7, "call": "submit", "args": {"entries": entries}})
    asyncio.run(supervisor._clients.answer(listener, request))  # type: ignore[arg-type]
    (answer,) = listener.sent
    assert answer["id"] == 7 and not answer["ok"] and "free some room" in answer["error"]
    assert supervisor._store.load() == [] and supervisor._queue.entries == []
    supervisor._store.close()


def test_an_idle_supervisor_goes_away(workspace: Workspace) -> None:
    process = subprocess.Popen([*supervisor_command(workspace), "--idle-seconds", "0.3"])
    assert process.wait(20) == 0
    assert not os.path.exists(workspace.socket_path)


def test_a_supervisor_that_was_started_for_nothing_goes_sooner(workspace: Workspace) -> None:
    supervisor = Supervisor(workspace, idle_seconds=3600, unused_seconds=0)
    supervisor._idle_since -= 1
    supervisor._queue.set("paused", True)
    supervisor._leave_when_idle()
    assert not supervisor._stopping.is_set(), "it has been of use"
    supervisor._store.close()
    successor = Supervisor(workspace, idle_seconds=3600, unused_seconds=0)
    successor._idle_since -= 1
    successor._leave_when_idle()
    assert successor._stopping.is_set()
    successor._store.close()
