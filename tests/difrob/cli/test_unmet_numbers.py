"""``difrob run`` refuses numbers that cannot be met with exit code 2, and warns of those that mean little in the log."""

from __future__ import annotations

import numpy as np
import pytest
from support.input_runs import a_classifier, a_denoiser, a_set, recorded

from difrob.cli import main
from difrob.runs import Workspace


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("train_classifier", ["data.train_size=5000"], "'data.train_size': train_size = 5000 is more than the 1000 training"),
        ("train_denoiser", ["data.train_size=5000"], "'data.train_size': train_size = 5000"),
        ("train_classifier", ["augmentation.flips=true"], "'augmentation.flips': 'digits' says that its mirror images"),
        ("train_classifier", ["augmentation.padding=9"], "'augmentation.padding': images of 8x8 pixels cannot be shifted"),
        ("evaluate", ["classifier=c", "images=5000"], "'images': images = 5000 is more than the 600 images of the test"),
        ("certify", ["classifier=c", "images=5000"], "'images': images = 5000"),
        ("probe_teacher", ["denoiser=d", "images=9999"], "'images': images = 9999 is more than the 197 images"),
        ("measure", ["generated=s", "images=21"], "'images': images = 21 is more than the 20 in the set 's'"),
        ("measure", ["generated=s", "reference_images=601"], "'reference_images': reference_images = 601"),
        ("analyse", ["classifier=c", "step=17"], "'step': run 'c' holds no checkpoint of step 17, only of 1;"),
        ("evaluate", ["classifier=bare"], "'classifier': run 'bare' has no checkpoint"),
        ("generate", ["denoiser=d", "grid=schedule"], "'grid': grid = 'schedule' takes the noise levels of a DDPM"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_leaves_no_run_behind(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], kind: str, fields: list[str], said: str
) -> None:
    a_classifier(workspace, "c")
    a_denoiser(workspace, "d")
    a_denoiser(workspace, "gone")
    a_set(workspace, "s", np.arange(20) % 10)
    recorded(workspace, "bare", {"kind": "train_classifier"})
    before = sorted(path.name for path in workspace.runs_folder.iterdir())
    command = ["run", kind, "-w", str(workspace.root), *(part for field in fields for part in ("--set", field))]
    assert main(command) == 2
    assert sorted(path.name for path in workspace.runs_folder.iterdir()) == before
    told = capsys.readouterr().err
    assert f"difrob: {said}" in told and "Traceback" not in told


def warnings_of(workspace: Workspace, kind: str, *fields: str) -> list[str]:
    """The warnings in the log of a run that takes one step."""
    known = {summary.run_id for summary in workspace.summaries()}
    command = ["run", kind, "-w", str(workspace.root), "--device", "cpu", "--set", "steps=1"]
    assert main([*command, *(part for field in fields for part in ("--set", field))]) == 0
    (new,) = {summary.run_id for summary in workspace.summaries()} - known
    return [line.text for line in workspace.reader(new).log() if line.level == "warning"]


def test_what_means_little_is_a_warning_in_the_log(workspace: Workspace) -> None:
    denoiser = ("network.width=16", "network.blocks=1", "sample_every=0", "data.train_size=20", "batch_size=50")
    found = warnings_of(workspace, "train_denoiser", *denoiser, "name=teacher")
    assert found == ["a batch of 50 is 2.5 times the 20 training images: each image occurs about 2.5 times in it"]
    a_set(workspace, "s", np.arange(20) % 10)
    found = warnings_of(
        workspace, "train_classifier", "network.channels=4", "network.features=8", "attack.steps=1",
        "validation_attack_steps=1", "data.train_size=20", "batch_size=30", "generated=s", "generated_fraction=0.01",
        "alignment.teacher=denoiser", "alignment.denoiser=teacher", "alignment.sigma=900", "alignment.weight=0",
    )  # fmt: skip
    assert len(found) == 4
    beginnings = (
        "generated_fraction = 0.01 of a batch of 30 is less than one image", "the real part of a batch, 30 images, is 1.5",
        "alignment.weight = 0: ", "alignment.sigma = 900 is a noise level",
    )  # fmt: skip
    for sentence, beginning in zip(found, beginnings, strict=True):
        assert sentence.startswith(beginning)
