"""The window is only a window: killed in the middle of a training, it takes nothing with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.waiting import entry_of, wait_state, wait_steps, wait_until

from difrob.runs import RunState, Workspace
from difrob.worker.transport import connect

pytest.importorskip("PySide6")

from pytestqt.qtbot import QtBot

SPEC = {
    "kind": "train_denoiser", "steps": 1_000_000, "batch_size": 8, "sample_every": 0, "checkpoint_every": 100,
    "log_every": 5, "network": {"width": 16, "blocks": 1},
}  # fmt: skip


def open_window(workspace: Workspace, supervisor: int) -> psutil.Process:
    """The window as a process of its own, attached to the supervisor."""

    def attached() -> int:
        sockets = psutil.Process(supervisor).net_connections("unix")
        return sum(workspace.socket_path in (socket.laddr, socket.raddr) for socket in sockets)

    before = attached()
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", "difrob_gui", "--workspace", str(workspace.root)]
    window = psutil.Process(subprocess.Popen(command, env=environment).pid)
    wait_until(lambda: attached() > before, 30)
    return window


def test_training_goes_on_and_a_new_window_shows_no_gap(workspace: Workspace, tmp_path: Path, qtbot: QtBot) -> None:
    from difrob_gui.app import compose_window
    from difrob_gui.charts.series_data import XAxis
    from difrob_gui.settings import WindowSettings

    with connect(workspace) as connection:
        connection.call("submit", entries=[{"run_id": "training", "spec": SPEC}])
        wait_steps(workspace, "training", 50)
        window = open_window(workspace, connection.call("state")["pid"])
        wait_steps(workspace, "training", workspace.reader("training").summary().progress.done + 50)
        window.kill()
        window.wait(5)
        killed_at = workspace.reader("training").summary().progress.done
        wait_steps(workspace, "training", killed_at + 200)
        assert entry_of(connection, "training").state is RunState.RUNNING

        second = compose_window(workspace, WindowSettings(tmp_path / "window.ini"), autostart=False, theme="light")
        try:
            second.show()
            second.start()
            qtbot.waitUntil(lambda: second.feeds.summary_of("training") is not None, timeout=20_000)
            second.show_run("training")

            def shown() -> np.ndarray:
                run = second.monitor._run
                return (
                    run.metrics["loss"].positions(XAxis.STEP)
                    if run is not None and "loss" in run.metrics
                    else np.zeros(0)
                )

            qtbot.waitUntil(lambda: len(shown()) > 0 and shown()[-1] > killed_at + 200, timeout=20_000)
            first_look = len(shown())
            qtbot.waitUntil(lambda: len(shown()) > first_look, timeout=20_000)
            steps = shown()
            assert set(range(5, int(steps[-1]) + 1, 5)) <= set(steps.tolist()), "the curve has a gap"
            assert (np.diff(steps) > 0).all()
        finally:
            second.close()
            second.deleteLater()
        connection.call("stop", run_id="training", grade="kill")
        wait_state(connection, "training", RunState.CANCELLED)
