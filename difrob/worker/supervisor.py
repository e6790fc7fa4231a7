"""The supervisor: owns the queue, starts workers, tells clients. One per workspace; outlives the window.

It computes nothing and imports no torch. It is started on demand by whoever comes first, detached, and goes away by itself
when nobody is attached and nothing can run. When it is killed, workers go on and report to its successor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.locks import lock_within
from difrob.worker.lanes import detect_lanes
from difrob.worker.messages import GRADE_LIMITS, MAX_LINE, Entry, LiveProgress, QueueState, encode, parse_request
from difrob.worker.meters import MachineMeters
from difrob.worker.processes import WorkerProcesses
from difrob.worker.queue import Queue
from difrob.worker.queue_store import QueueStore

IDLE_SECONDS = 60.0
METER_SECONDS = 1.0
DISK_SECONDS = 2.0
MAX_BACKLOG = 16_000_000


class Client:
    """One attached client, with what it asked to hear."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.watches = False
        self.worker_of = ""

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; a client that does not read is dropped before it costs memory."""
        if self.writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            self.writer.transport.abort()
        elif not self.writer.is_closing():
            self.writer.write(encode(message))


class Supervisor:
    """Everything that happens between the socket, the queue and the workers, on one event loop."""

    def __init__(self, workspace: Workspace, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._workspace = workspace
        self._idle_seconds = idle_seconds
        self._clients: set[Client] = set()
        self._store = QueueStore(workspace.database)
        self._queue = Queue(workspace, self._store, self._announce)
        self._meters = MachineMeters(workspace.root)
        self._lanes = detect_lanes(self._meters)
        self._processes = WorkerProcesses(workspace)
        self._progress: dict[str, LiveProgress] = {}
        self._grades: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._idle_since = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[str, Callable[..., Any]] = {
            "watch": self._watch,
            "submit": lambda client, entries: {"run_ids": self._queue.submit(entries)},
            "stop": self._stop,
            "resume": self._resume,
            "move": lambda client, run_ids, before=None: self._queue.move(run_ids, before),
            "remove": lambda client, run_ids: self._queue.remove(run_ids),
            "hold": lambda client, run_id, held: self._queue.hold(run_id, held),
            "edit": lambda client, run_id, spec=None, after=None, lane=None: self._queue.edit(
                run_id, spec, after, lane
            ),
            "duplicate": lambda client, run_id: {"run_id": self._queue.duplicate(run_id)},
            "pause_queue": lambda client, paused: self._queue.set_paused(bool(paused)),
            "set_policy": lambda client, on_failure: self._queue.set_policy(on_failure),
            "state": lambda client: self._state(),
            "shutdown": lambda client: self._stopping.set(),
            "worker_hello": self._worker_hello,
            "worker_progress": self._worker_progress,
            "worker_state": self._worker_state,
        }

    async def serve(self) -> None:
        """Answer clients and run the queue until told to stop or idle for long."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        self._take_stock()
        server = await self._listen()
        try:
            for loop in (self._keep_scheduling(), self._keep_metering()):
                self._spawn(loop)
            await self._stopping.wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for client in list(self._clients):
                client.writer.close()
            if os.name != "nt":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._workspace.socket_path)
            self._store.close()

    async def _listen(self) -> asyncio.AbstractServer | Any:
        path = self._workspace.socket_path
        if os.name == "nt":  # pragma: no cover - exercised on Windows only
            loop: Any = asyncio.get_running_loop()

            def protocol() -> asyncio.StreamReaderProtocol:
                return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=MAX_LINE), self._serve_client)

            return (await loop.start_serving_pipe(protocol, path))[0]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # left by a killed predecessor; the lock on the workspace says that it is dead
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve_client, path, limit=MAX_LINE)
        finally:
            os.umask(mask)

    # Clients

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self._clients.add(client)
        try:
            while line := await reader.readline():
                await self._answer(client, line)
        except (ValueError, ConnectionError, asyncio.CancelledError):
            pass  # a line longer than the limit, a client that vanished, or our own end: only this client is done
        finally:
            self._clients.discard(client)
            writer.close()

    async def _answer(self, client: Client, line: bytes) -> None:
        number = 0
        try:
            request = parse_request(line)
            number = request.id
            call = self._calls.get(request.call)
            if call is None:
                raise UserError(f"unknown call '{request.call}'")
            try:
                result = call(client, **request.args)
            except (TypeError, ValueError, AttributeError, KeyError) as error:
                raise UserError(f"the arguments of '{request.call}' do not fit: {error}") from None
            if isinstance(result, Coroutine):
                result = await result
            client.send({"id": number, "ok": True, "result": result})
        except (sqlite3.Error, OSError) as error:
            refusal = f"the queue of '{self._workspace.root}' cannot be written ({error}); free some room and try again"
            client.send({"id": number, "ok": False, "error": refusal})
        except UserError as error:
            client.send({"id": number, "ok": False, "error": str(error)})
        await client.writer.drain()

    def _announce(self, event: dict[str, Any]) -> None:
        for client in self._clients:
            if client.watches:
                client.send(event)

    def _watch(self, client: Client) -> None:
        client.watches = True
        client.send({"event": "state", "state": self._state()})

    def _state(self) -> QueueState:
        return QueueState(
            entries=self._queue.entries, lanes=self._lanes, paused=self._queue.paused, progress=self._progress,
            on_failure=self._queue.on_failure, meters=self._meters.read(), pid=os.getpid(),
        )  # fmt: skip

    # Stopping and resuming

    def _stop(self, client: Client, run_id: str, grade: str) -> None:
        if grade not in GRADE_LIMITS:
            raise UserError(f"unknown grade '{grade}'; use one of {', '.join(GRADE_LIMITS)}")
        entry = self._queue.get(run_id)
        if entry.state is RunState.QUEUED:
            if grade == "pause":
                self._queue.hold(run_id, True)
            else:
                self._queue.ended(run_id, RunState.CANCELLED, "cancelled before it started")
            return
        if not entry.state.is_live:
            raise UserError(f"run '{run_id}' is {entry.state}; there is nothing to stop")
        self._apply_grade(entry, grade)

    def _apply_grade(self, entry: Entry, grade: str) -> None:
        if grade == "pause":
            if entry.state is RunState.RUNNING:
                self._queue.change(entry.run_id, state=RunState.PAUSING)
        else:
            limit = GRADE_LIMITS[grade]
            deadline = None if limit is None else time.time() + limit
            self._queue.change(entry.run_id, state=RunState.STOPPING, stop_deadline=deadline)
            self._grades[entry.run_id] = grade
        if grade == "kill":
            self._processes.kill(entry.run_id, entry.pid)
        else:
            self._tell_worker(entry.run_id, {"event": "stop", "grade": grade})

    def _resume(self, client: Client, run_id: str) -> None:
        entry = self._queue.get(run_id) if self._queue.knows(run_id) else None
        if entry is not None and entry.state in (RunState.PAUSED, RunState.PAUSING):
            self._tell_worker(run_id, {"event": "resume"})
        elif entry is not None and entry.state is RunState.QUEUED and entry.held:
            self._queue.hold(run_id, False)
        else:
            self._queue.resume(run_id)

    def _tell_worker(self, run_id: str, event: dict[str, Any]) -> None:
        for client in self._clients:
            if client.worker_of == run_id:
                client.send(event)

    # Workers

    def _worker_hello(self, client: Client, run_id: str, pid: int, state: str) -> dict[str, Any]:
        entry = self._queue.get(run_id)
        if not entry.state.is_live:
            raise UserError(f"run '{run_id}' is {entry.state}; a worker is not expected")
        client.worker_of = run_id
        if entry.pid != pid:
            self._queue.change(run_id, pid=pid)
        if grade := self._grades.get(run_id):
            client.send({"event": "stop", "grade": grade})
        return {"spec": entry.spec, "resume": entry.resume, "created": entry.created}

    def _worker_progress(self, client: Client, progress: dict[str, Any]) -> None:
        live = LiveProgress.model_validate(progress)
        if live.run_id == client.worker_of:
            self._progress[live.run_id] = live
            self._announce({"event": "progress", "progress": live})

    def _worker_state(self, client: Client, run_id: str, state: str) -> None:
        if run_id != client.worker_of:
            return
        entry, new = self._queue.get(run_id), RunState(state)
        if entry.state.is_live and not (entry.state is RunState.STOPPING and new is not RunState.STOPPING):
            self._queue.change(run_id, state=new)

    def _take_stock(self) -> None:
        """After a start: bring to rest what died while nobody watched, keep what is still alive."""
        for entry in self._queue.live():
            if not self._processes.is_alive(entry.run_id, entry.pid):
                self._bury(entry)
        for path in self._workspace.runs_folder.glob("*.journal"):
            if not self._queue.knows(path.stem):
                with contextlib.suppress(UserError, OSError):
                    self._processes.recover(path.stem, "")

    def _bury(self, entry: Entry) -> None:
        """A worker has gone: find out how the run ended, and note it."""
        state, reason = self._processes.autopsy(entry, self._grades.get(entry.run_id, ""))
        self._queue.ended(entry.run_id, state, reason)
        self._grades.pop(entry.run_id, None)
        self._progress.pop(entry.run_id, None)

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
            await asyncio.sleep(0.1)

    def _schedule(self) -> None:
        """Notice workers that have gone, stop those whose time is over, start what may start."""
        for entry in self._queue.live():
            if not self._processes.is_alive(entry.run_id, entry.pid):
                self._bury(entry)
            elif entry.stop_deadline is not None and time.time() > entry.stop_deadline:
                self._apply_grade(entry, {"stop": "abort"}.get(self._grades.get(entry.run_id, ""), "kill"))
        while (start := self._queue.next_start(self._lanes)) is not None:
            self._start(*start)
        self._leave_when_idle()

    def _start(self, entry: Entry, lane: str) -> None:
        self._queue.change(entry.run_id, state=RunState.STARTING, on_lane=lane, reason="", started=time.time())
        try:
            pid = self._processes.start(entry.run_id, lane)
        except OSError as error:
            self._queue.ended(entry.run_id, RunState.FAILED, f"the worker could not be started: {error.strerror}")
            return
        self._queue.change(entry.run_id, pid=pid)

    def _leave_when_idle(self) -> None:
        watched = any(not client.worker_of for client in self._clients)
        if watched or self._queue.can_go_on(self._lanes):
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > self._idle_seconds:
            self._stopping.set()

    async def _keep_metering(self) -> None:
        while True:
            if any(client.watches for client in self._clients):
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


def serve_workspace(workspace: Workspace, idle_seconds: float = IDLE_SECONDS) -> int:
    """Serve a workspace until told to stop or idle; returns 4 when another supervisor already does."""
    descriptor = os.open(workspace.root / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not lock_within(descriptor, 0.5):
            print(f"difrob: another supervisor already serves '{workspace.root}'; this one steps back", file=sys.stderr)
            return 4
        asyncio.run(Supervisor(workspace, idle_seconds=idle_seconds).serve())
        return 0
    finally:
        os.close(descriptor)


def main() -> int:
    """Serve one workspace in the foreground; exit code 4 when another supervisor already does."""
    parser = argparse.ArgumentParser(prog="python -m difrob.worker.supervisor", description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    arguments = parser.parse_args()
    try:
        return serve_workspace(Workspace(arguments.workspace), arguments.idle_seconds)
    except UserError as error:
        print(f"difrob: {error}", file=sys.stderr)
    except OSError as error:
        print(f"difrob: the workspace '{arguments.workspace}' cannot be served: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
