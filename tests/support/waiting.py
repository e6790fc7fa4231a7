"""Waiting for something that happens in another process, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.messages import Entry
from difrob.worker.transport import Connection


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Ask again and again until the answer is true; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.03)


def entry_of(connection: Connection, run_id: str) -> Entry:
    """The queue's entry of a run."""
    entries = [Entry.model_validate(entry) for entry in connection.call("state")["entries"]]
    return next(entry for entry in entries if entry.run_id == run_id)


def wait_state(connection: Connection, run_id: str, state: RunState, seconds: float = 60) -> Entry:
    """Wait for a state; fails at once when the run ends in another one."""

    def reached() -> bool:
        entry = entry_of(connection, run_id)
        assert not entry.state.is_end or entry.state is state, f"{entry.state}: {entry.reason}"
        return entry.state is state

    wait_until(reached, seconds)
    return entry_of(connection, run_id)


def wait_steps(workspace: Workspace, run_id: str, steps: int) -> None:
    """Wait until a run has done so many steps."""

    def reached() -> bool:
        try:
            return workspace.reader(run_id).summary().progress.done >= steps
        except UserError:
            return False

    wait_until(reached)
