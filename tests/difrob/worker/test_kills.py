"""A worker that is killed at random moments: nothing acknowledged is lost, and the run goes on where it stood."""

from __future__ import annotations

import random
import time

import h5py
import numpy as np
import psutil
import pytest
from support.waiting import entry_of, wait_state, wait_steps, wait_until

from difrob.runs import RunState, Workspace
from difrob.worker.transport import connect

SPEC = {
    "kind": "train_denoiser", "steps": 10_000_000, "batch_size": 8, "sample_every": 0, "checkpoint_every": 40,
    "log_every": 2, "cosine_decay": False, "network": {"width": 16, "blocks": 1},
}  # fmt: skip


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_one_run_killed_again_and_again(workspace: Workspace, kills: int) -> None:
    chance = random.Random(kills)
    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "run", "spec": SPEC}])
        done = 0
        for _ in range(kills):
            wait_steps(workspace, "run", done + 30)
            time.sleep(chance.uniform(0, 0.3))
            pid = entry_of(connection, "run").pid
            before = workspace.reader("run").metrics("loss")["loss"]
            psutil.Process(pid).kill()
            entry = wait_state(connection, "run", RunState.INTERRUPTED)
            assert "SIGKILL" in entry.reason

            with h5py.File(workspace.run_path("run")) as file:
                assert file.attrs["status"] == "interrupted" and "SIGKILL" in file.attrs["reason"]
                steps, values = file["metrics/loss/step"][:], file["metrics/loss/value"][:]
            assert not workspace.journal_path("run").exists()
            assert (np.diff(steps) > 0).all(), "rows doubled or out of order"
            kept = np.isin(before.step, steps)
            assert kept.all(), "an acknowledged row was lost"
            assert np.array_equal(values[np.isin(steps, before.step)], before.value)

            done = workspace.reader("run").checkpoint().step
            connection.call("resume", run_id="run")
            wait_until(lambda: entry_of(connection, "run").state is RunState.RUNNING)
        resumed = [line.text for line in workspace.reader("run").log() if line.text.startswith("resumed at")]
        assert len(resumed) == kills
        connection.call("stop", run_id="run", grade="kill")
        wait_state(connection, "run", RunState.CANCELLED)
