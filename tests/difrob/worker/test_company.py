"""One run on several devices: here processes on the CPU, which exchange gradients as GPUs would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from difrob.errors import UserError
from difrob.nets.storage import unpack
from difrob.ranks.meeting import FileMeeting
from difrob.ranks.orders import PEER_GONE
from difrob.runs import RunState, RunSummary, Workspace
from difrob.runs.causes import Cause
from difrob.runs.recorder import RunRecorder
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import JobSpec, TrainClassifierSpec, TrainDenoiserSpec, parse_spec
from difrob.worker.company import Company, own_devices
from difrob.worker.execution import execute

CPU = torch.device("cpu")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def classifier_spec(devices: int, **changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 6,
        "batch_size": 21, "validate_every": 3, "validation_attack_steps": 3, "log_every": 1, "checkpoint_every": 2,
        "compute": {"devices": devices},
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


def denoiser_spec(devices: int, **changes: Any) -> TrainDenoiserSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"width": 32, "blocks": 2, "dropout": 0.0}, "steps": 6, "batch_size": 17,
        "log_every": 2, "sample_every": 0, "checkpoint_every": 2, "rampup_steps": 2, "compute": {"devices": devices},
    }  # fmt: skip
    return TrainDenoiserSpec(**{**values, **changes})


def tensors_of(workspace: Workspace, run_id: str) -> dict[str, torch.Tensor]:
    parts = unpack(workspace.reader(run_id).checkpoint("last").weights, CPU)
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def curve_of(workspace: Workspace, run_id: str, name: str) -> list[float]:
    return [float(value) for value in workspace.reader(run_id).metrics(name)[name].value]


def finished(workspace: Workspace, run_id: str, spec: JobSpec, **arguments: Any) -> RunSummary:
    summary = execute(workspace, run_id, spec, device="cpu", **arguments)
    assert summary.state is RunState.FINISHED, summary.reason
    return summary


def assert_same_to(tolerance: float, workspace: Workspace, first: str, second: str) -> None:
    one, other = tensors_of(workspace, first), tensors_of(workspace, second)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            other[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda text, n=name: n + text
        )


def followers(leader: int | None = None) -> list[psutil.Process]:
    return [child for child in psutil.Process(leader).children() if "difrob.worker.follower" in child.cmdline()]


@pytest.fixture(autouse=True)
def nobody_and_nothing_is_left_behind(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path_factory.mktemp("meetings")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert followers() == []
    assert list(folder.glob("difrob-ranks-*")) == []


def test_two_processes_train_the_classifier_that_one_trains(workspace: Workspace) -> None:
    alone = finished(workspace, "one", classifier_spec(1))
    shared = finished(workspace, "two", classifier_spec(2))
    assert_same_to(1e-6, workspace, "one", "two")
    assert curve_of(workspace, "two", "loss") == pytest.approx(curve_of(workspace, "one", "loss"), abs=1e-6)
    assert {n: m.value for n, m in shared.results.items()} == {n: m.value for n, m in alone.results.items()}
    assert (alone.device, shared.device) == ("cpu (1 thread)", "cpu (2 processes of 1 thread)")
    assert workspace.reader("two").attributes()["devices"] == 2


def test_two_processes_train_the_diffusion_model_that_one_trains(workspace: Workspace) -> None:
    changes = {"regulariser": {"constraint": "equivariance", "strength": 0.3}}
    finished(workspace, "one", denoiser_spec(1, **changes))
    finished(workspace, "two", denoiser_spec(2, **changes))
    assert_same_to(1e-6, workspace, "one", "two")
    for name in ("loss", "validation/loss"):
        assert curve_of(workspace, "two", name) == pytest.approx(curve_of(workspace, "one", name), abs=1e-6)


@pytest.mark.parametrize("targets", [pytest.param("own", marks=pytest.mark.slow), "shuffled"])
def test_generated_images_and_alignment_are_shared(workspace: Workspace, targets: str) -> None:
    finished(workspace, "teacher", denoiser_spec(1))
    made = {"kind": "generate", "denoiser": "teacher", "images": 40, "sampling_steps": 2}
    finished(workspace, "made", parse_spec(made))
    for devices in (1, 3):
        changes = {
            "generated": "made", "steps": 3,
            "alignment": {"teacher": "denoiser", "denoiser": "teacher", "targets": targets},
        }  # fmt: skip
        finished(workspace, f"with-{devices}", classifier_spec(devices, **changes))
    assert_same_to(1e-6, workspace, "with-1", "with-3")


def test_batch_normalisation_ends_with_the_same_statistics_everywhere(workspace: Workspace) -> None:
    network = {"architecture": "wide_resnet", "depth": 10, "widen": 1}
    finished(workspace, "run", classifier_spec(2, network=network, steps=2))
    notes = [line.text for line in workspace.reader("run").log() if line.level == "warning"]
    assert any("batch normalisation sees pieces of at most 11 images" in note for note in notes)
    assert all(tensor.double().isfinite().all() for tensor in tensors_of(workspace, "run").values())


def test_a_shared_run_stops_and_goes_on_bit_for_bit(workspace: Workspace) -> None:
    finished(workspace, "whole", classifier_spec(2))
    control = StopControl()

    def stop_in_the_middle(sign: SignOfLife) -> None:
        if sign.progress.done >= 2:
            control.request("stop")

    spec = classifier_spec(2)
    slow = SlowSteps(0.3)
    with slow:
        summary = execute(workspace, "parts", spec, device="cpu", control=control, on_progress=stop_in_the_middle)
    assert (summary.state, summary.cause) == (RunState.INTERRUPTED, Cause.REQUEST)
    assert 0 < summary.progress.done < 6
    finished(workspace, "parts", spec, resume=True)
    assert_same_to(0.0, workspace, "whole", "parts")
    assert curve_of(workspace, "parts", "loss") == curve_of(workspace, "whole", "loss")


class SlowSteps:
    """Makes every optimiser step of this process, and with it of all, take a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._hook = register_optimizer_step_pre_hook(lambda *arguments: time.sleep(self._seconds))

    def __exit__(self, *arguments: object) -> None:
        self._hook.remove()


def test_when_a_follower_is_killed_the_run_says_so_and_can_go_on(workspace: Workspace) -> None:
    spec = classifier_spec(2, steps=8)

    def kill_it() -> None:
        while not (workspace.run_path("run").exists() and workspace.reader("run").summary().has_checkpoint):
            time.sleep(0.05)
        followers()[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    with SlowSteps(0.3):
        summary = execute(workspace, "run", spec, device="cpu")
    killer.join()
    assert (summary.state, summary.cause) == (RunState.FAILED, Cause.SIGNAL)
    assert "process 2 of 2 (cpu) was killed by signal SIGKILL" in summary.reason
    finished(workspace, "run", spec, resume=True)
    finished(workspace, "whole", spec)
    assert_same_to(0.0, workspace, "whole", "run")


def test_bad_input_is_told_once_and_by_the_leader(workspace: Workspace) -> None:
    summary = execute(workspace, "run", classifier_spec(2, data={"dataset": "nowhere"}), device="cpu")
    assert (summary.state, summary.cause) == (RunState.FAILED, Cause.BAD_INPUT)
    assert "nowhere" in summary.reason and "process 2" not in summary.reason


def test_the_devices_of_all_ranks() -> None:
    assert own_devices("auto", 1) == ["auto"]
    assert own_devices("cpu", 3) == ["cpu"] * 3
    assert own_devices("cuda:3,cuda:1", 2) == ["cuda:3", "cuda:1"]
    assert own_devices("cuda:0,cuda:1,cuda:2", 2) == ["cuda:0", "cuda:1"]
    for device in ("cuda:0", "mps", "cuda:0,mps", "cuda:0,cpu", "cuda:1,cuda:1"):
        with pytest.raises(UserError, match=r"compute.devices = 2.*--device cuda:0,cuda:1"):
            own_devices(device, 2)


def test_followers_import_nothing_from_where_they_are_started_and_ignore_interrupts(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_about = tmp_path / "lying about"
    lying_about.mkdir()
    (lying_about / "argparse.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(lying_about)
    interrupted: list[int] = []

    def interrupt(sign: SignOfLife) -> None:
        if sign.progress.done and not interrupted:
            for follower in followers():
                follower.send_signal(signal.SIGINT)
                interrupted.append(follower.pid)

    with SlowSteps(0.3):
        finished(workspace, "run", classifier_spec(2, steps=3), on_progress=interrupt)
    assert len(interrupted) == 1


@pytest.mark.parametrize(
    ("code", "cause", "said"),
    [
        (7, Cause.ERROR, "process 2 of 2 (cpu) ended with exit code 7"),
        (PEER_GONE, Cause.ERROR, "process 2 of 2 (cpu) lost its connection to the others"),
    ],
)
def test_a_leader_that_waits_for_a_dead_follower_says_why_and_leaves(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, code: int, cause: Cause, said: str
) -> None:
    """The follower comes, and dies before it joins; so the leader would wait."""
    dies = (
        "import pathlib, sys; sys.stdin.readline(); a = sys.argv;"
        f"(pathlib.Path(a[a.index('--meeting') + 1]) / '1.here').touch(); raise SystemExit({code})"
    )
    left = threading.Event()

    def leave_at_once(code: int) -> None:
        assert code == PEER_GONE
        left.set()
        company._settled.wait(60)  # as nothing is done after it

    spec = classifier_spec(2)
    recorder = RunRecorder(workspace, "run", spec)
    company = Company(workspace, "run", spec, ["cpu", "cpu"], threads=1)
    options = company._command[company._command.index("--workspace") :]
    company._command = [sys.executable, "-c", dies, *options]
    with monkeypatch.context() as patch:
        patch.setattr("difrob.worker.company.GRACE_SECONDS", 0.2)
        patch.setattr(FileMeeting, "join", lambda *arguments: left.wait(60))
        patch.setattr(os, "_exit", leave_at_once)
        try:
            company.gather(recorder, CPU)
        finally:
            company.settle(broken=True)
            recorder.close()
    assert left.is_set()
    summary = workspace.reader("run").summary()
    assert (summary.state, summary.cause, summary.reason) == (RunState.FAILED, cause, said)


def test_a_batch_must_be_large_enough_to_be_shared() -> None:
    with pytest.raises(ValueError, match=r"batch_size = 3 cannot be shared by compute.devices = 4"):
        denoiser_spec(4, batch_size=3)
    with pytest.raises(ValueError, match="batch normalisation one image"):
        classifier_spec(4, batch_size=7, network={"architecture": "wide_resnet_28_10"})


def test_what_a_follower_says_before_it_fails_is_heard(workspace: Workspace) -> None:
    spec = classifier_spec(2, data={"dataset": "nowhere"})
    recorder = RunRecorder(workspace, "run", spec)
    company = Company(workspace, "run", spec, ["cpu", "cpu"], threads=1)
    try:
        company.gather(recorder, CPU)
        fault = company.fault(wait=60)
    finally:
        company.settle(broken=True)
        recorder.close()
        company.part()
    assert fault is not None and fault.cause is Cause.BAD_INPUT
    assert fault.reason.startswith("process 2 of 2 (cpu): ") and "nowhere" in fault.reason
    assert "Traceback" in fault.details


def test_followers_leave_when_their_leader_is_killed(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "difrob", "run", "train_classifier", "--workspace", str(workspace.root)]
    settings = ["data.train_size=60", "steps=100000", "batch_size=20", "compute.devices=3"]
    leader = subprocess.Popen(
        [*command, *[part for setting in settings for part in ("--set", setting)]], stdout=subprocess.DEVNULL
    )
    found: list[psutil.Process] = []
    while len(found) < 2:
        assert leader.poll() is None
        found = followers(leader.pid)
        time.sleep(0.05)
    meeting = Path(found[0].cmdline()[found[0].cmdline().index("--meeting") + 1])
    while not (meeting / "2.here").exists():
        time.sleep(0.05)
    leader.kill()
    leader.wait()
    _, living = psutil.wait_procs(found, timeout=20)
    assert living == []
    assert not meeting.exists()
