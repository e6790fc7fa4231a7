"""What the trainings themselves refuse of their data, warn of, and put on record for runs that build on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.input_runs import add_images
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.errors import UserError
from difrob.jobs import train_classifier, train_denoiser
from difrob.runs import Workspace
from difrob.specs import GenerateSpec, TrainClassifierSpec, TrainDenoiserSpec

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "data": {"train_size": 20}, "network": {"channels": (4, 4), "features": 8}, "steps": 1, "batch_size": 10,
    "objective": "standard", "validation_attack_steps": 1,
}  # fmt: skip
MADE = MemoryInputRun(
    "made", GenerateSpec(denoiser="d"),
    arrays={"samples/images": np.zeros((20, 8, 8, 1), np.uint8), "samples/label": np.arange(20) % 10},
)  # fmt: skip


def test_a_class_without_training_images_is_refused_before_any_work(workspace: Workspace) -> None:
    record = add_images(workspace, "holes", np.concatenate([np.arange(40) % 4, [5] * 10]))
    recorder = MemoryRecorder(data_sets={"holes": record})
    with pytest.raises(UserError, match=r"'holes' has no training image of 1 of its 6 classes \(4\)"):
        train_classifier.run(TrainClassifierSpec(**{**SMALL, "data": {"dataset": "holes"}}), recorder, CPU)
    assert recorder.metrics == {} and recorder.checkpoints == []


@pytest.mark.parametrize(
    ("fields", "level", "named"),
    [
        ({"generated_fraction": 0.5}, "warning",
         "no generated set is given: all images are real ones, generated_fraction = 0.5 has no effect"),
        ({"generated_fraction": 0.7}, "info", "generated_fraction = 0.7 has no effect"),
        ({}, "", ""),
        ({"generated": "made", "generated_fraction": 0.0}, "warning", "generated_fraction = 0: no image of the"),
        ({"generated": "made", "generated_fraction": 0.5}, "", ""),
        ({"generated_fraction": 0.0}, "", ""),
    ],
)  # fmt: skip
def test_a_share_of_generated_images_that_does_nothing_is_noted(fields: dict[str, Any], level: str, named: str) -> None:
    recorder = MemoryRecorder(runs={"made": MADE})
    train_classifier.run(TrainClassifierSpec(**SMALL, **fields), recorder, CPU)
    noted = [(how, text) for how, text in recorder.notes if "generated_fraction" in text]
    assert len(noted) == bool(named)
    assert not named or (noted[0][0] == level and named in noted[0][1])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "; on cpu, 1 process"),
        ({"objective": "trades", "attack": {"steps": 1}}, "; on cpu, 1 process; under PGD-1 linf 0.15"),
        ({"generated": "made", "generated_fraction": 0.5}, f" and {len(MADE.array('samples/label'))} images of the "
         "generated set 'made' (50 % of each batch); on cpu, 1 process"),
    ],
)  # fmt: skip
def test_a_training_says_what_it_learns_from(fields: dict[str, Any], said: str) -> None:
    recorder = MemoryRecorder(runs={"made": MADE})
    train_classifier.run(TrainClassifierSpec(**{**SMALL, **fields}), recorder, CPU)
    (line,) = [text for level, text in recorder.notes if level == "info" and text.startswith("learns from ")]
    images = recorder.attributes["batches"]["real_images"]
    assert line == f"learns from {images:,} training images of 'digits'{said}"


@pytest.mark.parametrize(
    ("network", "blocks"),
    [
        ({"width": 16, "blocks": 2}, ["block0", "block1"]),
        ({"architecture": "unet2d", "channels": (8, 8)}, ["down0", "down1", "middle", "up0", "up1"]),
    ],
)
def test_a_denoiser_names_its_blocks(network: dict[str, Any], blocks: list[str]) -> None:
    spec = TrainDenoiserSpec(
        data={"train_size": 20}, network=network, steps=1, batch_size=4, sample_every=0, log_every=1
    )
    recorder = MemoryRecorder()
    train_denoiser.run(spec, recorder, CPU)
    assert recorder.attributes["blocks"] == blocks
    assert recorder.last_checkpoint.state["image_shape"] == [1, 8, 8]
