"""What is said of settings that are allowed, but do nothing sensible."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.memory_recorder import MemoryRecorder
from support.trained_runs import trained_run

from difrob.inputs.misfits import generated_per_batch, idle_mixture
from difrob.inputs.training_notes import idle_alignment, large_batch, unfamiliar_level
from difrob.jobs import train_denoiser
from difrob.jobs.train_classifier import doubtful, training_batches
from difrob.specs import (
    AlignmentSpec,
    DataSpec,
    DenoiserNetworkSpec,
    ImportDenoiserSpec,
    TrainClassifierSpec,
    TrainDenoiserSpec,
    parse_spec,
)


def test_a_batch_that_repeats_its_images() -> None:
    assert large_batch(5000, 200) == (
        "a batch of 5,000 is 25 times the 200 training images: each image occurs about 25 times in it"
    )
    assert "is 1.5 times the 200" in large_batch(300, 200)
    assert large_batch(5000, 200, is_real_part=True).startswith("the real part of a batch, 5,000 images, is 25 times")
    assert large_batch(200, 200) == ""


def test_a_weight_of_nothing() -> None:
    def part(**fields: Any) -> AlignmentSpec:
        return AlignmentSpec(teacher="denoiser", denoiser="d", **fields)

    assert "alignment.weight = 0: " in idle_alignment(part(weight=0)) and "teacher = none" in idle_alignment(
        part(weight=0)
    )
    assert idle_alignment(part(weight=0.1)) == idle_alignment(AlignmentSpec(weight=0)) == ""


@pytest.mark.parametrize(("deviations", "is_told"), [(-3.01, True), (-2.99, False), (2.99, False), (3.01, True)])
def test_a_level_that_the_teacher_has_hardly_seen(deviations: float, is_told: bool) -> None:
    mean, spread = -0.8, 0.9
    trained = TrainDenoiserSpec(log_sigma_mean=mean, log_sigma_std=spread)
    part = AlignmentSpec(teacher="denoiser", denoiser="d", sigma=math.exp(mean + deviations * spread))
    sentence = unfamiliar_level(part, trained)
    assert bool(sentence) == is_told
    if is_told:
        assert "denoiser 'd'" in sentence
        assert f"between {math.exp(mean - 3 * spread):.3g} and {math.exp(mean + 3 * spread):.3g};" in sentence
    assert unfamiliar_level(part.model_copy(update={"teacher": "random"}), trained) == "", "it has seen no level"
    assert unfamiliar_level(part, trained.model_copy(update={"parameterisation": "ddpm"})) == ""
    assert unfamiliar_level(part, ImportDenoiserSpec(path="x", data={"dataset": "digits"})) == ""  # type: ignore[arg-type]


def test_a_spread_beyond_all_numbers_is_no_fault() -> None:
    part = AlignmentSpec(teacher="denoiser", denoiser="d", sigma=1e-300)
    assert "and inf" in unfamiliar_level(part, TrainDenoiserSpec(log_sigma_mean=900.0, log_sigma_std=1.0))


@pytest.mark.parametrize(
    ("batch", "fraction", "cutmix", "images"), [(10, 0.09, 0, 0), (10, 0.1, 0, 1), (100, 0.29, 0, 29), (40, 0.2, 10, 0)]
)
def test_a_share_that_is_less_than_an_image(batch: int, fraction: float, cutmix: int, images: int) -> None:
    fields = {"batch_size": batch, "generated_fraction": fraction, "augmentation": {"cutmix": cutmix}}
    spec = parse_spec({"kind": "train_classifier", "generated": "s", **fields})
    assert isinstance(spec, TrainClassifierSpec)
    assert generated_per_batch(batch // max(cutmix, 1), fraction) == images
    assert ("less than one image" in idle_mixture(spec)) == (images == 0)


def test_a_classifier_s_training_says_what_is_doubtful() -> None:
    denoiser = TrainDenoiserSpec(
        data=DataSpec(train_size=60), network=DenoiserNetworkSpec(width=32, blocks=1), steps=1, sample_every=0
    )
    recorder = MemoryRecorder(runs={"d": trained_run(denoiser, "d")})
    part = {"teacher": "denoiser", "denoiser": "d", "sigma": 500, "weight": 0}
    values: dict[str, Any] = {"data": {"train_size": 60}, "batch_size": 90, "alignment": part}
    spec = TrainClassifierSpec(**values)
    found = doubtful(spec, recorder, training_batches(spec, recorder, "cpu"))  # type: ignore[arg-type]
    assert [sentence.split(" is ")[0].split(":")[0] for sentence in found] == [
        "the real part of a batch, 90 images,", "alignment.weight = 0", "alignment.sigma = 500"
    ]  # fmt: skip
    spec = TrainClassifierSpec(**{**values, "batch_size": 60, "alignment": {**part, "sigma": 0.3, "weight": 1}})
    assert doubtful(spec, recorder, training_batches(spec, recorder, "cpu")) == []  # type: ignore[arg-type]


def test_a_denoiser_s_training_says_that_its_batch_is_large() -> None:
    import torch

    spec = TrainDenoiserSpec(
        data=DataSpec(train_size=20),
        network=DenoiserNetworkSpec(width=32, blocks=1),
        steps=1,
        batch_size=50,
        sample_every=0,
    )
    recorder = MemoryRecorder()
    train_denoiser.run(spec, recorder, torch.device("cpu"))
    assert ("warning", large_batch(50, 20)) in recorder.notes
