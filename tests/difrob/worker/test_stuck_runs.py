"""Workers that give no sign of life: marked, stopped when it lasts, cleared by the next report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from support.waiting import entry_of, wait_steps, wait_until

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.messages import Entry
from difrob.worker.stuck import STARTING_SECONDS, SilenceWatch
from difrob.worker.supervisor import Supervisor
from difrob.worker.transport import Connection, connect

ENDLESS = {
    "kind": "train_denoiser", "steps": 1_000_000, "batch_size": 8, "sample_every": 0, "checkpoint_every": 50,
    "log_every": 5, "network": {"width": 16, "blocks": 1},
}  # fmt: skip


class Bench:
    """A supervisor whose clock the test turns, with one live run that has no process."""

    def __init__(self, workspace: Workspace) -> None:
        self.now = 0.0
        self.supervisor = Supervisor(workspace)
        self.supervisor._silence = SilenceWatch(lambda: self.now)
        self.queue = self.supervisor._queue
        self.queue.submit([{"run_id": "run", "spec": ENDLESS}])
        self.queue.change("run", state=RunState.STARTING, started=time.time())
        self.supervisor._silence.expect("run", STARTING_SECONDS)
        self.worker_of = "run"

    @property
    def entry(self) -> Entry:
        return self.queue.get("run")

    def wait(self, seconds: float) -> Entry:
        """Let time pass while the supervisor looks after the run."""
        for _ in range(round(seconds)):
            self.now += 1
            self.supervisor._silence.tick()
            if self.entry.state.is_live:
                self.supervisor._look_after(self.entry)
        return self.entry

    def report(self, within: float | None) -> None:
        """A report of progress, as the worker sends it."""
        self.supervisor._worker_progress(self, {"run_id": "run", "report_within": within})  # type: ignore[arg-type]

    def tell(self, state: RunState) -> None:
        """A change of state, as the worker tells it."""
        self.supervisor._worker_state(self, "run", state.value)  # type: ignore[arg-type]


@pytest.fixture
def bench(workspace: Workspace) -> Iterator[Bench]:
    bench = Bench(workspace)
    yield bench
    bench.supervisor._store.close()


def test_a_worker_that_does_not_come_up_is_marked(bench: Bench) -> None:
    assert bench.wait(STARTING_SECONDS).stuck_since is None
    entry = bench.wait(2)
    assert entry.stuck_since is not None and abs(entry.stuck_since - time.time()) < 60
    assert entry.stuck_deadline == entry.stuck_since + 30 * 60
    assert entry.reason == "no sign of life for 10 min; expected one within 10 min"
    assert "10 min 40 s" in bench.wait(40).reason


def test_a_report_clears_the_mark_and_a_promise_of_nothing_too(bench: Bench) -> None:
    bench.tell(RunState.RUNNING)
    bench.report(within=5)
    assert bench.wait(6).stuck_since is not None
    bench.report(within=5)
    assert (bench.entry.stuck_since, bench.entry.stuck_deadline, bench.entry.reason) == (None, None, "")
    assert bench.wait(6).stuck_since is not None
    bench.report(within=None)
    assert bench.wait(10_000).stuck_since is None


def test_a_paused_run_is_never_stuck_and_is_watched_again_when_it_goes_on(bench: Bench) -> None:
    bench.tell(RunState.RUNNING)
    bench.report(within=5)
    bench.tell(RunState.PAUSING)
    bench.tell(RunState.PAUSED)
    assert bench.entry.stop_grade == "pause"
    assert bench.wait(1000).stuck_since is None
    bench.tell(RunState.RUNNING)
    assert bench.entry.stop_grade == ""
    assert bench.wait(5).stuck_since is None
    assert bench.wait(1).stuck_since is not None


def test_at_the_deadline_it_is_aborted_and_then_killed(bench: Bench) -> None:
    bench.queue.set("stuck_minutes", 1)
    bench.tell(RunState.RUNNING)
    bench.report(within=5)
    assert bench.wait(65).state is RunState.RUNNING
    entry = bench.wait(1)
    assert (entry.state, entry.stop_grade, entry.cause) == (RunState.STOPPING, "abort", "stuck")
    assert entry.reason == "no sign of life for 1 min; expected one within 5 s"
    assert entry.stop_deadline is not None and entry.stop_deadline - time.time() <= 2
    bench.report(within=5)  # too late: it is being stopped, but it is no longer marked
    assert (bench.entry.stuck_since, bench.entry.reason, bench.entry.cause) == (None, entry.reason, "stuck")


def test_never_means_never_and_another_limit_moves_the_deadline(bench: Bench) -> None:
    bench.queue.set("stuck_minutes", None)
    bench.tell(RunState.RUNNING)
    bench.report(within=5)
    entry = bench.wait(2000)
    assert entry.state is RunState.RUNNING and entry.stuck_since is not None and entry.stuck_deadline is None
    bench.queue.set("stuck_minutes", 1000)
    assert bench.wait(1).stuck_deadline == entry.stuck_since + 60_000
    bench.queue.undo()
    assert bench.wait(1).stuck_deadline is None


def test_a_run_that_is_being_stopped_is_left_to_that(bench: Bench) -> None:
    bench.tell(RunState.RUNNING)
    bench.report(within=5)
    bench.supervisor._apply_grade(bench.entry, "stop")
    assert bench.wait(100).stuck_since is None
    deadline = bench.entry.stop_deadline
    assert deadline is not None and 50 < deadline - time.time() <= 60 and bench.entry.stop_grade == "stop"
    bench.supervisor._apply_grade(bench.entry, "stop")
    assert bench.entry.stop_deadline == deadline, "asking again gives no more time"
    with pytest.raises(UserError, match="already being ended more harshly, with 'stop'"):
        bench.supervisor._stop(bench, "run", "pause")  # type: ignore[arg-type]


class Line:
    """A connection as the supervisor sees it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.worker_of = ""

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(
    ("noted", "grade", "state", "result", "sent"),
    [
        (RunState.STARTING, "", "running", RunState.RUNNING, []),
        (RunState.RUNNING, "", "running", RunState.RUNNING, []),
        (RunState.PAUSED, "pause", "paused", RunState.PAUSED, [{"event": "stop", "grade": "pause"}]),
        (RunState.PAUSED, "", "paused", RunState.PAUSED, [{"event": "resume"}]),
        (RunState.PAUSING, "pause", "running", RunState.RUNNING, [{"event": "stop", "grade": "pause"}]),
        (RunState.STOPPING, "abort", "running", RunState.STOPPING, [{"event": "stop", "grade": "abort"}]),
        (RunState.STARTING, "pause", "starting", RunState.STARTING, [{"event": "stop", "grade": "pause"}]),
    ],
)
def test_a_worker_that_comes_back_hears_what_was_asked_meanwhile(
    bench: Bench, noted: RunState, grade: str, state: str, result: RunState, sent: list[dict[str, Any]]
) -> None:
    if noted in (RunState.PAUSING, RunState.PAUSED):
        bench.tell(RunState.PAUSING)
    bench.queue.change("run", state=noted, stop_grade=grade, stuck_since=1.0, reason="no sign of life")
    line = Line()
    order = bench.supervisor._worker_hello(line, "run", 4711, state)  # type: ignore[arg-type]
    assert order["spec"]["steps"] == ENDLESS["steps"] and line.worker_of == "run"
    assert (bench.entry.state, bench.entry.pid, line.sent) == (result, 4711, sent)
    assert (bench.entry.stuck_since, bench.entry.reason) == (None, "")


def test_a_worker_left_behind_by_an_earlier_supervisor_gets_its_time(bench: Bench) -> None:
    bench.queue.change("run", stuck_since=1.0, stuck_deadline=2.0, reason="no sign of life", pid=os.getpid())
    bench.supervisor._processes.is_alive = lambda run_id, pid: True  # type: ignore[method-assign]
    bench.supervisor._take_stock()
    assert (bench.entry.stuck_since, bench.entry.stuck_deadline, bench.entry.reason) == (None, None, "")
    assert bench.wait(STARTING_SECONDS).stuck_since is None
    assert bench.wait(1).stuck_since is not None


def as_worker(workspace: Workspace, entry: Entry, within: float) -> Connection:
    """A second connection that announces in the worker's place when it will report again."""
    connection = Connection(workspace)
    connection.call("worker_hello", run_id=entry.run_id, pid=entry.pid, state="running")
    connection.call("worker_progress", progress={"run_id": entry.run_id, "report_within": within})
    return connection


def test_a_frozen_worker_is_marked_cleared_when_it_thaws_and_buried_when_it_does_not(workspace: Workspace) -> None:
    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "run", "spec": ENDLESS}])
        wait_steps(workspace, "run", 60)
        frozen = psutil.Process(entry_of(connection, "run").pid)
        try:
            frozen.suspend()
            time.sleep(0.5)  # what it has sent before is read
            as_worker(workspace, entry_of(connection, "run"), 0.2).close()
            wait_until(lambda: entry_of(connection, "run").stuck_since is not None, 20)
            entry = entry_of(connection, "run")
            assert entry.stuck_deadline == entry.stuck_since + 1800 and "no sign of life for" in entry.reason
            os.kill(frozen.pid, signal.SIGCONT)
            wait_until(lambda: entry_of(connection, "run").stuck_since is None, 20)
            entry = entry_of(connection, "run")
            assert (entry.state, entry.reason, entry.stuck_deadline) == (RunState.RUNNING, "", None)

            connection.call("set_stuck_minutes", minutes=0.01)
            frozen.suspend()
            time.sleep(0.5)
            as_worker(workspace, entry, 0.2).close()
            wait_until(lambda: entry_of(connection, "run").state.is_end, 30)
        finally:
            if psutil.pid_exists(frozen.pid):
                frozen.resume()
        entry = entry_of(connection, "run")
        expected: dict[str, Any] = {
            "state": RunState.INTERRUPTED,
            "cause": "stuck",
            "stop_grade": "",
            "stuck_since": None,
        }
        assert {name: getattr(entry, name) for name in expected} == expected
        assert entry.reason.startswith("stopped by the queue: no sign of life for")
        summary = workspace.reader("run").summary()
        assert (summary.state, summary.cause, summary.reason) == (entry.state, entry.cause, entry.reason)
        assert summary.has_checkpoint and not workspace.journal_path("run").exists()
