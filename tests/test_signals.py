"""A signal at whatever moment of a start ends window, supervisor, worker or command with its own code, and all that is theirs.

What a shell calls 130 and 143 is also how the system ends a process by SIGINT and SIGTERM. Of the first hundredths of a
second, in which there is only Python itself, nothing is asked.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from support.processes import processes_of
from support.waiting import wait_until

from difrob.runs import RunState, Workspace
from difrob.worker.clients import Clients
from difrob.worker.transport import supervisor_command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are not sent on Windows")

ENDLESS = {
    "kind": "train_denoiser", "steps": 1_000_000, "batch_size": 8, "sample_every": 0, "checkpoint_every": 100,
    "log_every": 5, "network": {"width": 16, "blocks": 1},
}  # fmt: skip
SETTINGS = ["steps=1000000", "sample_every=0", "network.width=16", "network.blocks=1"]
PYTHON_SECONDS = 0.06  # Python's own start
SIGNALS = (signal.SIGINT, signal.SIGTERM)
OTHER_ENDS = {"command": (3,)}  # of a run that has done some steps, Ctrl+C stops at a safe point, and it says so


def moments(count: int, last: float) -> list[float]:
    """So many moments of a start, the first ones closer together."""
    return [PYTHON_SECONDS + last * (number / count) ** 1.5 for number in range(count)]


@contextmanager
def order_giver(workspace: Workspace) -> Iterator[None]:
    """Stands for a supervisor that has an order for whatever worker comes, and hears what it reports."""
    order = {"spec": ENDLESS, "resume": False, "created": time.time()}
    calls = {
        "worker_hello": lambda client, **_: order,
        "worker_progress": lambda client, **_: None,
        "worker_state": lambda client, **_: None,
    }
    clients = Clients(workspace, calls)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(clients.listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        clients.hang_up()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def command_of(what: str, workspace: Workspace) -> list[str]:
    """What starts a program of this kind on a workspace."""
    place = ["--workspace", str(workspace.root)]
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    return {
        "window": [sys.executable, "-m", "difrob_gui", *place],
        "supervisor": supervisor_command(workspace),
        "worker": [sys.executable, "-P", "-m", "difrob.worker", *place, "--run-id", "run", "--device", "cpu"],
        "command": [sys.executable, "-m", "difrob", "run", "train_denoiser", *options, *place],
    }[what]


def end(what: str, number: int, moment: float, folder: Path) -> None:
    """Start a program, send it a signal at a moment, and look at how it ends and what it leaves."""
    workspace = Workspace(folder)
    process = subprocess.Popen(
        command_of(what, workspace), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, start_new_session=True,
    )  # fmt: skip
    time.sleep(moment)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    when = f"{what}, signal {number} after {moment:.3f} s: {process.returncode} {complaint.decode()[-500:]}"
    if code in OTHER_ENDS.get(what, ()):
        (summary,) = workspace.summaries()
        assert summary.state is RunState.INTERRUPTED and summary.progress.done > 0, when
    else:
        assert code == 128 + number, when
    assert all(not summary.state.is_live for summary in workspace.summaries()), when
    if what != "window":  # whose supervisor, if it came to that, is everybody's, and goes by itself
        wait_until(lambda: not processes_of(workspace.root), 5)
        assert what == "worker" or not os.path.exists(workspace.socket_path), when


def end_at_each(what: str, planned: list[tuple[float, int]], folder: Path) -> None:
    """The same in workspaces of their own."""
    for turn, (moment, number) in enumerate(planned):
        place = folder / f"{turn}"
        with order_giver(Workspace(place)) if what == "worker" else nullcontext():
            end(what, number, moment, place)


LAST = {"window": 1.5, "supervisor": 1.0, "worker": 3.0, "command": 3.5}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for process in [process for place in tmp_path.iterdir() for process in processes_of(place)]:
        process.kill()


@pytest.mark.parametrize("what", LAST)
def test_a_signal_at_some_moments_of_a_start(what: str, folder: Path) -> None:
    turns = moments(3, LAST[what])
    end_at_each(what, list(zip(turns, [*SIGNALS, signal.SIGINT], strict=True)), folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("what", LAST)
def test_a_signal_at_thirty_moments_of_a_start(what: str, number: int, folder: Path) -> None:
    end_at_each(what, [(moment, number) for moment in moments(30, LAST[what])], folder)
