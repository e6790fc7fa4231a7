"""How many cores a process may use, and what is said where a run asks for more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from difrob.errors import Stopped
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.runs.stop import StopControl
from difrob.specs import parse_spec
from difrob.worker.company import Company
from difrob.worker.cores import crowded, usable_cores


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000\n", 2), ("max 100000\n", 8), ("50000 100000\n", 1), ("nonsense", 8), ("1 0", 8), (None, 8)],
)
def test_the_container_may_allow_fewer_than_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_word_from_the_system_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path / "none") == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path / "none") == 1


def test_more_processes_than_cores_are_spoken_of() -> None:
    assert crowded(2, 2) == crowded(1, 4) == ""
    assert "compute.devices = 4 asks for more processes than the 2 CPU cores" in crowded(4, 2)
    assert "the 1 CPU core that" in crowded(2, 1)


@pytest.mark.parametrize(("cores", "told"), [(1, 1), (2, 0)])
def test_the_log_of_a_run_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, cores: int, told: int) -> None:
    """The run is stopped before its followers have come: the note does not wait for them."""
    monkeypatch.setattr("difrob.worker.company.usable_cores", lambda: cores)
    spec = parse_spec({"kind": "train_classifier", "compute": {"devices": 2}})
    control = StopControl()
    control.request("stop")
    recorder = RunRecorder(workspace, "run", spec, control=control)
    company = Company(workspace, "run", spec, ["cpu", "cpu"], threads=1)
    try:
        with pytest.raises(Stopped):
            company.gather(recorder, torch.device("cpu"))
    finally:
        company.settle(broken=True)
        recorder.finish(RunState.INTERRUPTED)
        company.part()
    lines = [line for line in workspace.reader("run").log() if "compute.devices = 2" in line.text]
    assert len(lines) == told and all(line.level == "warning" for line in lines)
