"""Worker, supervisor and window killed in any order while runs of all kinds go on; each run must end as if nothing had been.

A worker is stopped (SIGSTOP) at its random moment, what it has acknowledged is read, and only then is it killed: so the file
that is left can be compared with it exactly.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from faults import run_contents
from faults.references import ENDLESS, KINDS, Spec, with_inputs
from faults.report import Report
from faults.windows import WatchingWindow, wrong_points
from support.processes import processes_of
from support.waiting import entry_of, wait_until

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.locks import is_locked
from difrob.worker.messages import Entry
from difrob.worker.transport import Connection, connect

WORKER, SUPERVISOR, WINDOW = "worker", "supervisor", "window"
MOMENTS = ("start", "work", "work", "work", "fold", "end")
STRIKES_PER_RUN = 6
PATIENCE = 120.0
MOVING = {"state", "reason", "cause", "started", "pid", "on_lane", "resume", "stop_grade", "stop_deadline",
          "stuck_since", "stuck_deadline"}  # fmt: skip


def fault_name(fault: str, kind: str) -> str:
    """The row of the table to which a fault belongs."""
    return f"worker of {kind} killed" if fault == WORKER else f"{fault} killed"


def shuffled_faults(workers: int, supervisors: int, windows: int, seed: int) -> list[str]:
    """So many faults of each sort, in a random order."""
    faults = [WORKER] * workers + [SUPERVISOR] * supervisors + [WINDOW] * windows
    random.Random(seed).shuffle(faults)
    return faults


def kill_in_lanes(
    references: Workspace,
    specs: dict[str, Spec],
    root: Path,
    faults: list[str],
    report: Report,
    seed: int,
    lanes: int,
    deadline: float = float("inf"),
) -> None:
    """Inject all faults, in as many workspaces at once as there are lanes, each with its own supervisor.

    Args:
        deadline: after this moment of the monotonic clock no more faults are injected; the runs still come to their ends.
    """
    campaigns = [
        KillCampaign(references, specs, root / f"lane-{lane}", faults[lane::lanes], report, seed + lane, deadline)
        for lane in range(lanes)
    ]
    threads = [threading.Thread(target=campaign.run, name=f"lane-{n}") for n, campaign in enumerate(campaigns)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if left := sum(len(campaign.faults) for campaign in campaigns):
        report.notes.append(f"{left} of {len(faults)} kills were not injected")


class KillCampaign:
    """Faults in one workspace, one run at a time."""

    def __init__(
        self,
        references: Workspace,
        specs: dict[str, Spec],
        root: Path,
        faults: list[str],
        report: Report,
        seed: int,
        deadline: float,
    ) -> None:
        self._references = references
        self._specs = specs
        self._workspace = with_inputs(references, root)
        self.faults = faults
        self._deadline = deadline
        self._report = report
        self._chance = random.Random(seed)
        self._expected = {kind: run_contents.outcome(references.reader(kind)) for kind in KINDS}
        self._connection: Connection | None = None
        self._window: WatchingWindow | None = None
        self._run_id = ""
        self._kind = ""
        self._pid = 0
        self._struck: set[str] = set()
        self._queue: dict[str, Any] = {}

    def run(self) -> None:
        """Inject the faults; what goes wrong is told to the report."""
        first = self._chance.randrange(len(KINDS))
        turn = 0
        try:
            self._fill_queue()
            while self.faults and time.monotonic() < self._deadline:
                kind = KINDS[(first + turn) % len(KINDS)]
                turn += 1
                self._one_run(kind, f"{kind}-{turn}")
        except (AssertionError, UserError, OSError, psutil.Error) as error:
            where = traceback.format_exc(limit=-3).replace("\n", "\n    ")
            self._report.complain(f"{self._run_id}: {error or type(error).__name__}\n    {where}")
        finally:
            self._end()

    def _end(self) -> None:
        if self._window is not None:
            self._window.kill()
        if self._connection is not None:
            self._connection.close()
        for process in processes_of(self._workspace.root):
            with suppress(psutil.Error):
                process.kill()

    # One run from its start to its end

    def _one_run(self, kind: str, run_id: str) -> None:
        self._kind, self._run_id, self._struck = kind, run_id, set()
        self._linked().call("submit", entries=[{"run_id": run_id, "spec": self._specs[kind]}])
        self._linked().call("move", run_ids=[run_id], before="held-0")
        self._queue = self._queue_now()
        self._await_worker()
        for _ in range(self._chance.randint(2, STRIKES_PER_RUN)):
            if not self.faults or time.monotonic() > self._deadline or not self._strike(self.faults[0]):
                break
            self.faults.pop(0)
        self._finish()

    def _strike(self, fault: str) -> bool:
        """Inject one fault; False when the run had ended before."""
        strike = {WORKER: self._strike_worker, SUPERVISOR: self._strike_supervisor, WINDOW: self._strike_window}[fault]
        if not strike():
            return False
        self._struck.add(fault_name(fault, self._specs[self._kind]["kind"]))
        return True

    def _finish(self) -> None:
        """Let the run come to its end, and compare it with the reference."""
        while self._await_end().state is not RunState.FINISHED:
            self._resume()
        told = run_contents.differences(run_contents.outcome(self._reader), self._expected[self._kind])
        for difference in told:
            self._report.complain(f"{self._run_id} is not the run that it would have been: {difference}")
        with self._report.lock:
            for name in self._struck:
                self._report.tally(name).ended(exact=not told)
        if self._window is not None and self._window.run_id == self._run_id and self._window.is_alive:
            self._check_last_look(self._window)
        self._report.say(f"{self._run_id} finished; {len(self.faults)} faults to go in its lane")

    @property
    def _reader(self) -> Any:
        return self._workspace.reader(self._run_id)

    # Worker

    def _strike_worker(self) -> bool:
        moment = self._chance.choice(MOMENTS)
        if not self._await_moment(moment):
            return False
        worker = psutil.Process(self._pid)
        worker.suspend()
        with suppress(psutil.Error):
            wait_until(lambda: worker.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE), 10)
        before = self._recorded()
        if not alive(worker):
            return False
        worker.kill()
        wait_until(lambda: not alive(worker), 30)
        entry = self._await_end()
        readable, lost = 1, 0
        told: list[str] = []
        if entry.state is not RunState.FINISHED:
            readable, lost, told = self._examine(before)
            if entry.state not in (RunState.INTERRUPTED, RunState.FAILED):
                told.append(f"its state is {entry.state}: {entry.reason}")
            if entry.state is RunState.FAILED and self._workspace.run_path(self._run_id).exists() and before:
                told.append(f"it counts as failed although it had begun: {entry.reason}")
        for text in told:
            self._report.complain(f"{self._run_id} killed at its {moment}: {text}")
        with self._report.lock:
            row = self._report.tally(fault_name(WORKER, self._specs[self._kind]["kind"]))
            row.add(readable=readable, rows_lost=lost)
        if entry.state is not RunState.FINISHED:
            self._resume()
        return True

    def _await_moment(self, moment: str) -> bool:
        """Sleep until the moment has come; False when the worker went before."""
        journal = self._workspace.journal_path(self._run_id)
        folder = self._workspace.runs_folder
        worker = psutil.Process(self._pid) if psutil.pid_exists(self._pid) else None

        def until(condition: Callable[[], Any], seconds: float, pause: float = 0.01) -> None:
            deadline = time.monotonic() + seconds
            while alive(worker) and time.monotonic() < deadline and not condition():
                time.sleep(pause)

        if moment == "start":
            time.sleep(self._chance.uniform(0, 2.5))
        else:
            until(lambda: is_locked(journal), PATIENCE)
            if moment == "work":
                time.sleep(self._chance.uniform(0, 1.5))
            elif moment == "fold":
                until(lambda: any(folder.glob(f".{self._run_id}.*")), 4, 0.0005)
                time.sleep(self._chance.choice([0, 0, 0.002, 0.01]))
            else:
                until(lambda: self._share_done() > 0.9, PATIENCE)
                time.sleep(self._chance.uniform(0, 0.5))
        return alive(worker)

    def _share_done(self) -> float:
        try:
            progress = self._reader.summary().progress
        except UserError:
            return 0.0
        return progress.done / progress.total if progress.total else 0.0

    def _recorded(self) -> dict[str, Any]:
        try:
            return run_contents.recorded(self._reader)
        except UserError:
            return {}  # killed before it had made a file

    def _examine(self, before: dict[str, Any]) -> tuple[int, int, list[str]]:
        """Whether the file of the dead run can be read, how many acknowledged rows it lacks, and what is wrong."""
        path = self._workspace.run_path(self._run_id)
        if not path.exists():
            return 1, 0, [f"'{name}' is lost, there is no file" for name in before]
        try:
            run_contents.check_with_h5py(path)
        except (AssertionError, OSError, KeyError) as error:
            return 0, 0, [f"'{path}' opened with h5py: {error}"]
        after = self._recorded()
        told = run_contents.differences(after, before)
        if self._workspace.journal_path(self._run_id).exists():
            told.append("its journal is still there")
        told += [f"'{left.name}' was left behind" for left in path.parent.glob(f".{self._run_id}.*")]
        return 1, run_contents.rows_lost(after, before), told

    # Supervisor

    def _strike_supervisor(self) -> bool:
        state = self._linked().call("state")
        if self._entry().state.is_end:
            return False
        worker = psutil.Process(self._pid) if psutil.pid_exists(self._pid) else None
        supervisor = psutil.Process(state["pid"])
        supervisor.kill()
        wait_until(lambda: not alive(supervisor), 10)
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        with self._report.lock:
            self._report.tally(fault_name(SUPERVISOR, "")).add()
        time.sleep(self._chance.uniform(0, 1.0))
        if self._chance.random() < 0.5:  # else the next fault comes before anybody has taken over
            entry = self._entry()
            if entry.state.is_live and worker is not None and entry.pid != worker.pid:
                self._report.complain(
                    f"{self._run_id}: a new supervisor started worker {entry.pid} beside {worker.pid}"
                )
            elif not entry.state.is_live and entry.state is not RunState.FINISHED:
                self._report.complain(f"{self._run_id} did not outlive its supervisor: {entry.state}: {entry.reason}")
        return True

    def _fill_queue(self) -> None:
        """Entries that wait all the time: an unharmed queue still has them, as they were."""
        entries = [
            {"run_id": f"held-{number}", "spec": {**ENDLESS, "steps": 1000 + number, "name": f"waits {number}"}, "held": True}
            for number in range(3)
        ]  # fmt: skip
        self._linked().call("submit", entries=entries)
        self._linked().call("move", run_ids=["held-2"], before="held-0")
        self._linked().call("set_policy", on_failure="go_on")
        self._queue = self._queue_now()

    def _queue_now(self) -> dict[str, Any]:
        state = self._linked().call("state")
        entries = [{k: v for k, v in entry.items() if k not in MOVING} for entry in state["entries"]]
        settings = {
            name: state[name] for name in ("paused", "on_failure", "cpu_lanes", "stuck_minutes") if name in state
        }
        order = [entry["run_id"] for entry in entries]
        return {**{f"entry {entry['run_id']}": entry for entry in entries}, **settings, "order": order}

    def _linked(self) -> Connection:
        """The connection to the supervisor; a new one, whose queue is compared, when the last one has been killed."""
        if self._connection is None:
            self._connection = connect(self._workspace)
            for text in run_contents.differences(self._queue_now(), self._queue) if self._queue else []:
                self._report.complain(f"{self._run_id}: the queue after a take-over: {text}")
        return self._connection

    def _entry(self) -> Entry:
        return entry_of(self._linked(), self._run_id)

    def _await_end(self) -> Entry:
        wait_until(lambda: self._entry().state.is_end, PATIENCE)
        return self._entry()

    def _resume(self) -> None:
        self._linked().call("resume", run_id=self._run_id)
        self._await_worker()

    def _await_worker(self) -> None:
        wait_until(lambda: self._entry().pid is not None or self._entry().state.is_end, PATIENCE)
        self._pid = self._entry().pid or 0

    # Window

    def _strike_window(self) -> bool:
        if self._window is None or not self._window.is_alive or self._window.run_id != self._run_id:
            self._open_window()
            wait_until(lambda: self._window_has_looked() or self._entry().state.is_end, PATIENCE)
        if self._entry().state.is_end:
            return False
        assert self._window is not None
        if self._chance.random() < 0.5:  # else it is killed while it starts
            wait_until(lambda: self._window_has_looked() or self._entry().state.is_end, PATIENCE)
        time.sleep(self._chance.uniform(0, 0.5))
        worker = psutil.Process(self._pid) if psutil.pid_exists(self._pid) else None
        if not alive(worker) or self._entry().state.is_end:
            return False
        self._window.kill()
        self._check_looks(self._window)
        with self._report.lock:
            self._report.tally(fault_name(WINDOW, "")).add()
        entry = self._entry()
        if not (entry.state.is_live and entry.pid == self._pid) and entry.state is not RunState.FINISHED:
            self._report.complain(f"{self._run_id} did not outlive a window: {entry.state}: {entry.reason}")
        self._open_window()
        return True

    def _open_window(self) -> None:
        if self._window is not None:
            self._window.kill()
        self._window = WatchingWindow(self._workspace, self._run_id)

    def _window_has_looked(self) -> bool:
        return self._window is not None and bool(self._window.looks())

    def _check_looks(self, window: WatchingWindow) -> None:
        for look in window.looks():
            told = wrong_points(look, self._references.reader(self._kind))
            if told:  # one wrong look is enough: those that follow repeat it
                self._report.complain(f"{self._run_id}: {'; '.join(told)}")
                return

    def _check_last_look(self, window: WatchingWindow) -> None:
        """A window that has seen the end shows every point of the run."""
        series = self._references.reader(self._kind).metrics()
        expected = {name: len(points.step) for name, points in series.items()}

        def shows_all() -> bool:
            looks = window.looks()
            return bool(looks) and {name: len(points) for name, points in looks[-1].items() if name} == expected

        with suppress(AssertionError):
            wait_until(shows_all, 30)
        if not shows_all():
            shown = {name: len(points) for name, points in (window.looks() or [{}])[-1].items() if name}
            self._report.complain(f"{self._run_id} has ended; a window shows {shown} points of {expected}")
        self._check_looks(window)


def alive(process: psutil.Process | None) -> bool:
    """Whether a process runs or is stopped, but is no zombie."""
    if process is None:
        return False
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
