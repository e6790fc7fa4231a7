"""Windows that watch a run in processes of their own, to be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from faults.run_contents import TIMED

from difrob.runs import RunReader, Workspace

SCRIPT = Path(__file__).with_name("watched_window.py")
Points = dict[str, list[list[float]]]


class WatchingWindow:
    """A window process on a workspace, showing one run."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self.run_id = run_id
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(workspace.root), run_id], stdout=self._output, env=environment
        )

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def looks(self) -> list[dict[str, Any]]:
        """Everything that it has told so far, oldest first."""
        with open(f"/proc/self/fd/{self._output.fileno()}") as file:
            return [json.loads(line) for line in file.read().split("\n")[:-1]]

    def kill(self) -> None:
        """SIGKILL, and wait until it has gone."""
        self._process.kill()
        self._process.wait(10)


def wrong_points(shown: dict[str, Any], reference: RunReader) -> list[str]:
    """What a look at a window shows that is not a stretch from the start of the reference's curves, without gap or double.

    Curves may reach unequally far, as the job reports some metrics after others, but by no more than one report.
    """
    told: list[str] = []
    expected = reference.metrics()
    for name, points in shown.items():
        if name == "":
            continue
        if name not in expected:
            told.append(f"the window shows '{name}', which the reference does not have")
            continue
        steps = [step for step, _ in points]
        values = [value for _, value in points]
        if steps != expected[name].step[: len(steps)].tolist():
            told.append(f"the window's curve '{name}' has other steps than the reference: {steps[:3]}...{steps[-3:]}")
        elif name not in TIMED and values != expected[name].value[: len(values)].tolist():
            told.append(f"the window's curve '{name}' has other values than the reference")
    return told
