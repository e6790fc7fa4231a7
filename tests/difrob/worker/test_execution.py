"""Running a job in this process: how it ends, why, and what a resumed run takes over."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import h5py
import pytest
import torch

from difrob.runs import RunState, Workspace
from difrob.runs.causes import Cause
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainDenoiserSpec
from difrob.worker.execution import execute
from difrob.worker.torch_setup import THREADS
from difrob.worker.transport import supervisor_command


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(tmp_path: Any) -> Workspace:
    return Workspace(tmp_path)


def small(**changes: Any) -> TrainDenoiserSpec:
    values = {"data": DataSpec(train_size=60), "network": DenoiserNetworkSpec(width=32, blocks=2), "steps": 6,
              "batch_size": 16, "log_every": 2, "sample_every": 0, "checkpoint_every": 2, "rampup_steps": 2}  # fmt: skip
    return TrainDenoiserSpec(**{**values, **changes})


def facts_of(workspace: Workspace, run_id: str) -> dict[str, Any]:
    with h5py.File(workspace.run_path(run_id)) as file:
        return dict(json.loads(file.attrs["facts"]))


def test_a_finished_run_has_no_cause(workspace: Workspace) -> None:
    signs: list[SignOfLife] = []
    summary = execute(workspace, "run", small(steps=60), device="cpu", on_progress=signs.append)
    assert (summary.state, summary.cause, summary.reason) == (RunState.FINISHED, Cause.NONE, "")
    assert workspace.reader("run").summary().cause == ""
    assert signs and all(sign.report_within is None or 0 < sign.report_within <= 900 for sign in signs)


def test_a_stopped_run_was_asked_to(workspace: Workspace) -> None:
    control = StopControl()
    control.request("stop")
    summary = execute(workspace, "run", small(), device="cpu", control=control)
    assert (summary.state, summary.cause) == (RunState.INTERRUPTED, Cause.REQUEST)


def test_a_diverged_loss_names_step_rate_and_last_numbers(workspace: Workspace) -> None:
    wild = small(learning_rate=1.0, gradient_clip=None, rampup_steps=0, log_sigma_mean=40.0, log_sigma_std=20.0)
    summary = execute(workspace, "run", wild, device="cpu")
    assert (summary.state, summary.cause) == (RunState.FAILED, Cause.NOT_FINITE)
    assert "at step" in summary.reason and "learning rate" in summary.reason
    assert any(line.level == "error" and line.text == summary.reason for line in workspace.reader("run").log())


def test_a_full_device_that_may_not_shrink_is_explained(workspace: Workspace) -> None:
    def full(module: torch.nn.Module, inputs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(full)
    try:
        summary = execute(workspace, "run", small(memory={"shrink": False}), device="cpu")
    finally:
        hook.remove()
    assert (summary.state, summary.cause) == (RunState.FAILED, Cause.GPU_MEMORY)
    assert summary.reason.startswith("out of GPU memory (CUDA out of memory.")


def test_a_resumed_run_computes_with_the_threads_it_began_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREADS, "2")
    control = StopControl()
    control.request("stop")
    execute(workspace, "run", small(), device="cpu", control=control)
    assert facts_of(workspace, "run")["threads"] == 2
    monkeypatch.setenv(THREADS, "1")
    execute(workspace, "run", small(), device="cpu", resume=True)
    assert torch.get_num_threads() == 2
    assert facts_of(workspace, "run")["threads"] == 2
    log = [line.text for line in workspace.reader("run").log()]
    assert any("it had been interrupted: stopped on request" in text for text in log)


def test_going_on_elsewhere_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    control = StopControl()
    control.request("stop")
    execute(workspace, "run", small(), device="cpu", control=control)
    monkeypatch.setattr("difrob.runs.reader.RunReader.facts", lambda reader: {"device_type": "cuda"})
    execute(workspace, "run", small(), device="cpu", resume=True)
    warnings = [line.text for line in workspace.reader("run").log() if line.level == "warning"]
    assert warnings == ["it began on 'cuda' and goes on on 'cpu': the last digits will differ"]


def test_no_process_imports_from_the_folder_it_is_started_in(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that lies there under the name of a package must not be executed."""
    (tmp_path / "psutil.py").write_text("raise SystemExit('a file of the current folder was executed')")
    monkeypatch.chdir(tmp_path)
    command = supervisor_command(Workspace(tmp_path / "workspace"))
    asked = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert asked.returncode == 0 and "--workspace" in asked.stdout, asked.stderr
