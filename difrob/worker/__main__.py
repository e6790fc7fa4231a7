"""A worker process: runs one job and answers to the supervisor. Started as ``python -m difrob.worker``.

The worker is a client of the supervisor, not its child in any way that matters: when the supervisor dies, the job goes on,
the journal keeps everything, and the worker reports to the next supervisor that appears.
"""

from __future__ import annotations

from difrob.signals import end_at_once, exit_code

if __name__ == "__main__":
    end_at_once()  # until there is a job to be stopped in order

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from types import FrameType
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import parse_spec
from difrob.worker.execution import execute
from difrob.worker.transport import Connection, NoSupervisor

RECONNECT_SECONDS = 1.0
BEAT_SECONDS = 5.0
SUCCESSOR_SECONDS = 60.0
FAILED_TO_START = 3


class SupervisorLink:
    """Keeps a connection to whichever supervisor there is, passes requests on to the job, sends progress."""

    def __init__(self, workspace: Workspace, run_id: str, control: StopControl) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._control = control
        self._connection: Connection | None = None
        self._news: dict[str, Any] = {}
        self._beats = 0
        self._sent = 0.0
        self._promised_nothing = True
        self._state = RunState.STARTING
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="supervisor-link", daemon=True)

    def hello(self) -> dict[str, Any]:
        """Announce this worker and get its order: specification, device, whether to resume.

        The supervisor that started this worker may have been killed since; then its successor is waited for.

        Raises:
            UserError: when no supervisor comes within :data:`SUCCESSOR_SECONDS`, or it does not expect this worker.
        """
        deadline = time.monotonic() + SUCCESSOR_SECONDS
        while True:
            connection: Connection | None = None
            try:
                connection = Connection(self._workspace)
                order: dict[str, Any] = connection.call(
                    "worker_hello", run_id=self._run_id, pid=os.getpid(), state=self._state
                )
            except UserError:
                was_refused = connection is not None and connection.is_open
                if was_refused or time.monotonic() > deadline:
                    raise
                self._closing.wait(RECONNECT_SECONDS / 4)
            else:
                self._connection = connection
                self._thread.start()
                return order

    def progress(self, sign: SignOfLife) -> None:
        """Send progress, and when the next report is due; without a supervisor it is dropped, the journal has it anyway.

        A job that hangs gives no news, so nothing is sent, and the supervisor waits in vain for the report announced.
        """
        finite = {name: value for name, value in list(sign.headline.items())[:32] if abs(value) < float("inf")}
        news = {**asdict(sign.progress), "headline": finite, "waiting": sign.waiting}
        if news == self._news and (sign.report_within is None) == self._promised_nothing:
            beat_again = sign.beats != self._beats and time.monotonic() - self._sent > BEAT_SECONDS
            if not beat_again:
                return
        self._news, self._beats, self._sent = news, sign.beats, time.monotonic()
        self._promised_nothing = sign.report_within is None
        message = {**news, "run_id": self._run_id, "report_within": sign.report_within}
        self._send("worker_progress", progress=message)

    def state(self, state: RunState) -> None:
        """Tell the supervisor in which state the job is."""
        self._state = state
        self._send("worker_state", run_id=self._run_id, state=state.value)

    def close(self) -> None:
        """Hang up for good."""
        self._closing.set()
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _send(self, call: str, **args: Any) -> None:
        with self._lock:
            connection = self._connection
            if connection is None or not connection.is_open:
                return
            with contextlib.suppress(UserError):
                connection.send(call, **args)

    def _listen(self) -> None:
        while not self._closing.is_set():
            connection = self._connection
            if connection is None or not connection.is_open:
                self._reconnect()
                continue
            message = connection.receive(None)
            if message is not None and message.get("event") == "stop":
                self._control.request(str(message["grade"]))
            elif message is not None and message.get("event") == "resume":
                self._control.resume()

    def _reconnect(self) -> None:
        try:
            connection = Connection(self._workspace)
            connection.call("worker_hello", run_id=self._run_id, pid=os.getpid(), state=self._state.value)
        except NoSupervisor:
            self._closing.wait(RECONNECT_SECONDS)
            return
        except UserError:
            self._closing.wait(RECONNECT_SECONDS * 5)
            return
        with self._lock:
            self._connection = connection
            self._news = {}  # this supervisor knows nothing yet


def main() -> int:
    """Run the job named on the command line.

    Returns:
        0 where the run has been recorded, whatever its end, but the code of the signal that ended it; else
        :data:`FAILED_TO_START`.
    """
    faulthandler.enable()
    parser = argparse.ArgumentParser(prog="python -m difrob.worker", description=__doc__)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    control = StopControl()
    signals: list[int] = []

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        threading.Thread(target=control.request, args=("stop",), daemon=True).start()

    workspace = Workspace(arguments.workspace)
    link = SupervisorLink(workspace, arguments.run_id, control)
    try:
        order = link.hello()
        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        began = time.monotonic()
        spec = parse_spec(order["spec"])
        watch = _PausedWatch(link, control)
        summary = execute(
            workspace, arguments.run_id, spec, device=arguments.device, control=control, resume=order["resume"],
            on_progress=watch.progress, created=order["created"],
        )  # fmt: skip
        print(f"run {summary.run_id}: {summary.state} after {time.monotonic() - began:.1f} s {summary.reason}".strip())
    except UserError as error:
        print(f"difrob: {error}", file=sys.stderr)
        return FAILED_TO_START
    finally:
        link.close()
    return exit_code(signals[0]) if signals else 0


class _PausedWatch:
    """Derives the state of the job from its progress reports and tells the supervisor of each change."""

    def __init__(self, link: SupervisorLink, control: StopControl) -> None:
        self._link = link
        self._control = control
        self._told: RunState | None = None

    def progress(self, sign: SignOfLife) -> None:
        if self._control.is_paused:
            state = RunState.PAUSED
        else:
            state = {None: RunState.RUNNING, "pause": RunState.PAUSING}.get(self._control.grade, RunState.STOPPING)
        if state is not self._told:
            self._told = state
            self._link.state(state)
        self._link.progress(sign)


if __name__ == "__main__":
    sys.exit(main())
