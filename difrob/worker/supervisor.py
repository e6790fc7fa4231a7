"""The supervisor: owns the queue, starts workers, tells clients. One per workspace; outlives the window.

It computes nothing and imports no torch. It is started on demand by whoever comes first, detached, and goes away by itself
when nobody is attached and nothing can run. When it is killed, workers go on and report to its successor.
"""

from __future__ import annotations

from difrob.signals import end_at_once, exit_code

if __name__ == "__main__":
    end_at_once()  # until there is a socket to be removed

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.causes import Cause
from difrob.worker.clients import Client, Clients
from difrob.worker.garbage import GarbageSearch
from difrob.worker.lanes import detect_gpus
from difrob.worker.leftovers import fold_leftovers
from difrob.worker.messages import GRADE_LIMITS, Entry, LiveProgress, QueueState, Written
from difrob.worker.meters import MachineMeters
from difrob.worker.processes import WorkerProcesses
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore
from difrob.worker.serving import ServedAlready, serving
from difrob.worker.stuck import STARTING_SECONDS, SilenceWatch
from difrob.worker.transport import OTHER_FIRST

IDLE_SECONDS = 60.0
UNUSED_SECONDS = 10.0
"""The same for one that was started on demand and has changed nothing: who started it may have ended before it came."""
METER_SECONDS = 1.0
DISK_SECONDS = 2.0
FOLD_SECONDS = 30.0
_WATCHED = {RunState.STARTING, RunState.RUNNING, RunState.PAUSING}
_HARDER = {"stop": "abort", "abort": "kill"}


class Supervisor:
    """Everything that happens between the socket, the queue and the workers, on one event loop.

    Args:
        idle_seconds: it goes after so long with nobody attached and nothing that can run.
        unused_seconds: the same while it has changed nothing.

    Attributes:
        ended_by: the signal that ended it; 0 for none.
    """

    def __init__(
        self, workspace: Workspace, *, idle_seconds: float = IDLE_SECONDS, unused_seconds: float = IDLE_SECONDS
    ) -> None:
        self._workspace = workspace
        self._idle_seconds = idle_seconds
        self._unused_seconds = unused_seconds
        self._store = QueueStore(workspace.database)
        self._meters = MachineMeters(workspace.root)
        self._queue = Queue(workspace, self._store, self._announce, detect_gpus(self._meters))
        self._processes = WorkerProcesses(workspace)
        self._silence = SilenceWatch()
        self._garbage = GarbageSearch()
        self._progress: dict[str, LiveProgress] = {}
        self._stopping = asyncio.Event()
        self.ended_by = 0
        self._idle_since = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        queue = self._queue
        calls: dict[str, Callable[..., Any]] = {
            "watch": self._watch,
            "submit": lambda client, entries: {"run_ids": queue.submit(entries)},
            "stop": self._stop,
            "resume": self._resume,
            "move": lambda client, run_ids, before=None: queue.move(run_ids, before),
            "remove": lambda client, run_ids: queue.remove(run_ids),
            "hold": lambda client, run_id, held: queue.hold(run_id, held),
            "edit": lambda client, run_id, spec=None, after=None, lane=None: queue.edit(run_id, spec, after, lane),
            "duplicate": lambda client, run_id: {"run_id": queue.duplicate(run_id)},
            "set_priority": lambda client, run_ids, priority: queue.set_priority(run_ids, priority),
            "pause_queue": lambda client, paused: queue.set("paused", paused),
            "set_policy": lambda client, on_failure: queue.set("on_failure", on_failure),
            "set_cpu_lanes": lambda client, count: queue.set("cpu_lanes", count),
            "set_stuck_minutes": lambda client, minutes: queue.set("stuck_minutes", minutes),
            "undo": lambda client: queue.undo(),
            "redo": lambda client: queue.redo(),
            "state": lambda client: self._state(),
            "shutdown": lambda client: self._stopping.set(),
            "worker_hello": self._worker_hello,
            "worker_progress": self._worker_progress,
            "worker_state": self._worker_state,
        }
        self._clients = Clients(workspace, calls)

    async def serve(self) -> None:
        """Answer clients and run the queue until told to stop or idle for long."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        self._take_stock()
        server = await self._clients.listen()
        try:
            for loop in (self._keep_scheduling(), self._keep_metering(), self._keep_folding()):
                self._spawn(loop)
            await self._stopping.wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._clients.hang_up()
            self._store.close()

    def _end(self, number: int) -> None:
        self.ended_by = number
        self._stopping.set()

    def _watch(self, client: Client) -> None:
        client.watches = True
        client.send({"event": "state", "state": self._state()})

    def _announce(self, event: dict[str, Any]) -> None:
        self._clients.announce(event)

    def _state(self) -> Written:
        """The :class:`QueueState`, of whose entries each is written once and not once for each answer."""
        state = QueueState(
            lanes=self._queue.lanes, progress=self._progress, meters=self._meters.read(),
            pid=os.getpid(), **self._queue.settings.model_dump(), **self._queue.undo_words,
        )  # fmt: skip
        rest = json.dumps(state.model_dump(mode="json", exclude={"entries"}), separators=(",", ":"))
        return Written(f'{{"entries":{self._queue.entries_text},{rest[1:]}')

    # Stopping and resuming

    def _stop(self, client: Client, run_id: str, grade: str) -> None:
        if grade not in GRADE_LIMITS:
            raise UserError(f"unknown grade '{grade}'; use one of {', '.join(GRADE_LIMITS)}")
        entry = self._queue.get(run_id)
        if entry.state is RunState.QUEUED:
            if grade == "pause":
                self._queue.hold(run_id, True)
            else:
                self._queue.ended(run_id, RunState.CANCELLED, "cancelled before it started", Cause.REQUEST)
            return
        if not entry.state.is_live:
            raise UserError(f"run '{run_id}' is {entry.state}; there is nothing to stop")
        order = list(GRADE_LIMITS)
        if entry.stop_grade and order.index(grade) < order.index(entry.stop_grade):
            raise UserError(f"run '{run_id}' is already being ended more harshly, with '{entry.stop_grade}'")
        self._apply_grade(entry, grade)

    def _apply_grade(self, entry: Entry, grade: str, **changes: Any) -> None:
        """Ask a live run to end or to pause. Asking for the same again does not give it more time."""
        if grade == "pause":
            if entry.state in (RunState.STARTING, RunState.RUNNING):
                state = RunState.PAUSING if entry.state is RunState.RUNNING else entry.state
                self._queue.change(entry.run_id, state=state, stop_grade=grade)
        elif grade != entry.stop_grade:
            deadline = time.time() + (GRADE_LIMITS[grade] or 0.0)
            self._queue.change(
                entry.run_id, state=RunState.STOPPING, stop_grade=grade, stop_deadline=deadline, **changes
            )
        if grade == "kill":
            self._processes.kill(entry.run_id, entry.pid)
        else:
            self._clients.tell_worker(entry.run_id, {"event": "stop", "grade": grade})

    def _resume(self, client: Client, run_id: str) -> None:
        entry = self._queue.get(run_id) if self._queue.knows(run_id) else None
        if entry is not None and entry.state.is_live and entry.stop_grade == "pause":
            self._queue.change(run_id, stop_grade="")
            self._clients.tell_worker(run_id, {"event": "resume"})
        elif entry is not None and entry.state is RunState.QUEUED and entry.held:
            self._queue.hold(run_id, False)
        else:
            self._queue.resume(run_id)

    # Workers

    def _worker_hello(self, client: Client, run_id: str, pid: int, state: str) -> dict[str, Any]:
        entry = self._queue.get(run_id)
        if not entry.state.is_live:
            raise UserError(f"run '{run_id}' is {entry.state}; a worker is not expected")
        client.worker_of = run_id
        self._silence.expect(run_id, STARTING_SECONDS)
        self._was_heard(run_id)
        if entry.pid != pid:
            self._queue.change(run_id, pid=pid)
        if (told := RunState(state)) is not RunState.STARTING:
            with contextlib.suppress(ValueError):  # it tells again with its next change
                self._worker_state(client, run_id, told)
        if entry.stop_grade:
            client.send({"event": "stop", "grade": entry.stop_grade})
        elif state in (RunState.PAUSING, RunState.PAUSED):  # it was told to go on while it was away
            client.send({"event": "resume"})
        return {"spec": entry.spec, "resume": entry.resume, "created": entry.created}

    def _worker_progress(self, client: Client, progress: dict[str, Any]) -> None:
        live = LiveProgress.model_validate(progress)
        if live.run_id == client.worker_of:
            self._progress[live.run_id] = live
            self._announce({"event": "progress", "progress": live})
            self._silence.expect(live.run_id, live.report_within)
            self._was_heard(live.run_id)

    def _worker_state(self, client: Client, run_id: str, state: str) -> None:
        if run_id != client.worker_of:
            return
        entry, new = self._queue.get(run_id), RunState(state)
        self._silence.heard(run_id)
        self._was_heard(run_id)
        if entry.state.is_live and not (entry.state is RunState.STOPPING and new is not RunState.STOPPING):
            pauses = new in (RunState.PAUSING, RunState.PAUSED)
            grade = entry.stop_grade if new is RunState.STOPPING else "pause" if pauses else ""
            self._queue.change(run_id, state=new, stop_grade=grade)

    # Runs that give no sign of life

    def _was_heard(self, run_id: str) -> None:
        entry = self._queue.get(run_id)
        if entry.stuck_since is not None:
            reason = entry.reason if entry.cause else ""  # too late, it is being stopped for that already
            self._queue.change(run_id, stuck_since=None, stuck_deadline=None, reason=reason)

    def _look_after(self, entry: Entry) -> None:
        """Mark a run that should have reported but did not; when it has been so for long, stop it."""
        silence = self._silence.silence(entry.run_id)
        if silence is None or entry.state not in _WATCHED:
            return
        limit = self._queue.settings.stuck_seconds
        if entry.stuck_since is not None and silence.overdue > limit:
            self._apply_grade(entry, "abort", cause=Cause.STUCK.value, reason=str(silence))
            return
        since = entry.stuck_since or time.time()
        deadline = since + limit if math.isfinite(limit) else None
        mark = {"stuck_since": since, "stuck_deadline": deadline, "reason": str(silence)}
        if any(getattr(entry, name) != value for name, value in mark.items()):
            self._queue.change(entry.run_id, **mark)

    # The life of workers

    def _take_stock(self) -> None:
        """After a start: bring to rest what died while nobody watched, keep what is still alive."""
        for entry in self._queue.live():
            if not self._processes.is_alive(entry.run_id, entry.pid):
                self._bury(entry)
                continue
            self._silence.expect(entry.run_id, STARTING_SECONDS)
            if entry.stuck_since is not None:
                self._queue.change(entry.run_id, stuck_since=None, stuck_deadline=None, reason="")
        self._fold_leftovers()

    def _bury(self, entry: Entry) -> None:
        """A worker has gone: find out how the run ended, and note it."""
        death = self._processes.autopsy(entry)
        self._queue.ended(entry.run_id, death.state, death.reason, death.cause)
        self._progress.pop(entry.run_id, None)
        self._silence.forget(entry.run_id)

    def _fold_leftovers(self) -> None:
        fold_leftovers(self._workspace, lambda run_id: self._queue.get(run_id) if self._queue.knows(run_id) else None)

    async def _keep_folding(self) -> None:
        while True:
            await asyncio.sleep(FOLD_SECONDS)
            self._fold_leftovers()

    async def _keep_scheduling(self) -> None:
        while True:
            try:
                self._schedule()
            except (
                sqlite3.Error,
                OSError,
            ) as error:  # a full disk, mostly: nothing is lost, so try until there is room
                print(f"difrob: the queue waits: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(DISK_SECONDS)
            self._garbage.tick(self._queue.revision)
            await asyncio.sleep(0.1)

    def _schedule(self) -> None:
        """Notice workers that have gone, stop those whose time is over, start what may start."""
        self._silence.tick()
        for entry in self._queue.live():
            if not self._processes.is_alive(entry.run_id, entry.pid):
                self._bury(entry)
            elif entry.stop_deadline is not None and time.time() > entry.stop_deadline:
                self._apply_grade(entry, _HARDER.get(entry.stop_grade, "kill"))
            else:
                self._look_after(entry)
        while (start := self._queue.next_start()) is not None:
            self._start(*start)
        self._leave_when_idle()

    def _start(self, entry: Entry, lane: str) -> None:
        self._queue.change(entry.run_id, state=RunState.STARTING, on_lane=lane, reason="", started=time.time())
        try:
            pid = self._processes.start(entry.run_id, lane)
        except OSError as error:
            reason = f"the worker could not be started: {error.strerror}"
            self._queue.ended(entry.run_id, RunState.FAILED, reason, Cause.ERROR)
            return
        self._queue.change(entry.run_id, pid=pid)
        self._silence.expect(entry.run_id, STARTING_SECONDS)

    def _leave_when_idle(self) -> None:
        if self._clients.has_people or self._queue.can_go_on():
            self._idle_since = time.monotonic()
            return
        limit = self._idle_seconds if self._queue.revision else self._unused_seconds
        if time.monotonic() - self._idle_since > limit:
            self._stopping.set()

    async def _keep_metering(self) -> None:
        while True:
            if self._clients.is_watched:
                self._announce({"event": "meters", "meters": self._meters.read()})
            await asyncio.sleep(METER_SECONDS)

    def _spawn(self, loop: Coroutine[Any, Any, None]) -> None:
        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a loop of the supervisor broke", "exception": task.exception()}
                )
                self._stopping.set()

        task = asyncio.create_task(loop)
        self._tasks.add(task)
        task.add_done_callback(done)


def serve_workspace(workspace: Workspace, idle_seconds: float, unused_seconds: float) -> int:
    """Serve a workspace until told to stop or idle; for how long each, see :class:`Supervisor`.

    Returns:
        The exit code: :data:`OTHER_FIRST` when another supervisor already does, that of the signal that ended it, else 0.
    """
    try:
        with serving(workspace):
            supervisor = Supervisor(workspace, idle_seconds=idle_seconds, unused_seconds=unused_seconds)
            asyncio.run(supervisor.serve())
            return exit_code(supervisor.ended_by) if supervisor.ended_by else 0
    except ServedAlready as refusal:
        print(f"difrob: {refusal}", file=sys.stderr)
        return OTHER_FIRST


def main() -> int:
    """Serve one workspace in the foreground; exit code 4 when another supervisor already does."""
    parser = argparse.ArgumentParser(prog="python -m difrob.worker.supervisor", description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--idle-seconds", type=float)
    arguments = parser.parse_args()
    try:
        wished = arguments.idle_seconds
        limits = (IDLE_SECONDS, UNUSED_SECONDS) if wished is None else (wished, wished)
        return serve_workspace(Workspace(arguments.workspace), *limits)
    except UserError as error:
        print(f"difrob: {error}", file=sys.stderr)
    except OSError as error:
        print(f"difrob: the workspace '{arguments.workspace}' cannot be served: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
