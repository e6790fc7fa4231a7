"""The presets that are meant for a GPU: their networks, at full size, take two real steps on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from difrob.cli import main
from difrob.runs import RunState, Workspace

# What makes two steps on a CPU affordable; sizes of networks, objectives and schedules stay those of the preset.
COMMON = {"steps": 2, "batch_size": 4, "log_every": 1, "checkpoint_every": 2}
CLASSIFIER = {
    **COMMON, "validation_attack_steps": 1, "validate_every": 2, "attack.steps": 1,
    "averaging_decay": 0.5,
}  # fmt: skip
DENOISER = {**COMMON, "sample_every": 0, "compute.compile": "false"}
MILLIONS = {"cifar10-denoiser": 54, "cifar10-preact-resnet-18": 11, "wang-cifar10-wrn-28-10": 36, "cifar10-vit-b-2": 85}


def first_images(shared_data: Path, folder: Path) -> Path:
    """Ten real images of each class as an archive; validation on more of them is what takes long on a CPU."""
    source = shared_data / "cifar10" / "data_batch_1_first4000.bin"
    if not source.is_file():
        pytest.skip("needs the CIFAR-10 files")
    rows = np.fromfile(source, dtype=np.uint8).reshape(-1, 3073)
    chosen = np.concatenate([np.flatnonzero(rows[:, 0] == label)[:10] for label in range(10)])
    images = rows[chosen, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    target = folder / "cifar10.npz"
    np.savez(target, image=images, label=rows[chosen, 0].astype(np.int64))
    return target


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("preset", sorted(MILLIONS))
def test_a_preset_for_a_gpu_takes_its_first_steps(preset: str, shared_data: Path, tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path / "workspace")]
    assert main(["data", "add", str(first_images(shared_data, tmp_path)), "--name", "cifar10", "--flips", *where]) == 0
    kind, changes = ("train_denoiser", DENOISER) if "denoiser" in preset else ("train_classifier", CLASSIFIER)
    sets = [part for field, value in changes.items() for part in ("--set", f"{field}={value}")]
    assert main(["run", kind, "--preset", preset, "--name", "first-steps", *sets, *where]) == 0

    workspace = Workspace(tmp_path / "workspace")
    (summary,) = workspace.summaries()
    assert summary.state is RunState.FINISHED and summary.has_checkpoint
    reader = workspace.reader(summary.run_id)
    loss = reader.metrics("loss")["loss"]
    assert loss.step[-1] == 2 and np.isfinite(loss.value).all() and (loss.value > 0).all()
    assert reader.attributes()["parameters"] / 1e6 == pytest.approx(MILLIONS[preset], abs=1.5)
