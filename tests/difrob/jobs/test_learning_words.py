"""The first line of a training's log."""

from __future__ import annotations

import pytest
import torch
from support.memory_recorder import MemoryRecorder

from difrob.jobs import train_denoiser
from difrob.jobs.learning_words import learning_words
from difrob.ranks.shares import Ranks
from difrob.specs import TrainDenoiserSpec

CPU = torch.device("cpu")


def test_data_set_count_and_place_are_named() -> None:
    assert learning_words("digits", 1000, "training image", CPU, Ranks()) == (
        "learns from 1,000 training images of 'digits'; on cpu, 1 process"
    )
    assert learning_words("toy-ring", 1, "training point", torch.device("cuda:0"), Ranks(0, 4)) == (
        "learns from 1 training point of 'toy-ring'; on cuda:0, 4 processes"
    )


def test_generated_sets_are_named_with_their_share() -> None:
    sets = [("generated set 'a'", 5000), ("generated set 'b'", 1)]
    assert learning_words("digits", 60, "training image", CPU, Ranks(), generated=sets, generated_share=0.7) == (
        "learns from 60 training images of 'digits' and 5,000 images of the generated set 'a' and 1 image of the generated "
        "set 'b' (70 % of each batch); on cpu, 1 process"
    )


@pytest.mark.parametrize(
    ("data", "said", "condition"),
    [
        ({"train_size": 40}, "40 training images of 'digits'", {"name": "digits", "digest": "d15b1ecc2d01"}),
        ({"dataset": "toy-ring"}, "training points of 'toy-ring'", {"name": "toy-ring", "digest": ""}),
    ],
)
def test_a_diffusion_model_says_what_it_learns_from(
    data: dict[str, object], said: str, condition: dict[str, str]
) -> None:
    recorder = MemoryRecorder()
    spec = TrainDenoiserSpec(data=data, network={"width": 16, "blocks": 1}, steps=1, batch_size=8, sample_every=0)  # type: ignore[arg-type]
    train_denoiser.run(spec, recorder, CPU)
    (line,) = [text for level, text in recorder.notes if level == "info"]
    assert line.startswith("learns from ") and line.endswith(f"{said}; on cpu, 1 process")
    assert recorder.results["validation_loss"].conditions["data_set"] == condition
