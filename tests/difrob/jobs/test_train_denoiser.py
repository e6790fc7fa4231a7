"""The training job: it learns, it is recorded, and an interrupted run is the run that was interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryRecorder

from difrob.diffusion.loading import load_denoiser
from difrob.diffusion.parameterisations import parameterisation_of
from difrob.errors import Stopped, UserError
from difrob.jobs import train_denoiser
from difrob.jobs.denoiser_measures import HeldNoise
from difrob.nets.storage import unpack
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainDenoiserSpec
from difrob.specs.parts import ComputeSpec
from difrob.training.denoising import NoisyBatches, learning_rate

CPU = torch.device("cpu")
SMALL = DenoiserNetworkSpec(width=32, blocks=2)


def small_spec(**changes: Any) -> TrainDenoiserSpec:
    values = {"data": DataSpec(train_size=100), "network": SMALL, "steps": 24, "batch_size": 32, "log_every": 5,
              "sample_every": 0, "checkpoint_every": 10, "rampup_steps": 4}  # fmt: skip
    return TrainDenoiserSpec(**{**values, **changes})


def trained(spec: TrainDenoiserSpec, **arguments: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(**arguments)
    train_denoiser.run(spec, recorder, CPU)
    return recorder


def test_it_learns_and_reports() -> None:
    spec = small_spec(steps=400, rampup_steps=50, log_every=20, sample_every=200, checkpoint_every=200,
                      learning_rate=3e-3, batch_size=64)  # fmt: skip
    recorder = trained(spec)
    assert recorder.values("loss")[0] > 1.2 and recorder.values("loss")[-1] < 0.9
    assert recorder.values("validation/loss")[-1] < min(0.95, recorder.values("validation/loss")[0])
    last_validation = recorder.metrics["validation/loss"][-1]
    measure = recorder.results["validation_loss"]
    assert (measure.value, measure.low, measure.high) == (
        last_validation.value,
        last_validation.low,
        last_validation.high,
    )
    assert measure.n == 197 and measure.low < measure.value < measure.high
    assert [point.step for point in recorder.metrics["loss"]] == list(range(20, 401, 20))
    assert {"loss/sigma_low", "loss/sigma_mid", "loss/sigma_high", "gradient_norm", "learning_rate",
            "images_per_second", "train/loss"} <= set(recorder.metrics)  # fmt: skip
    assert recorder.results["training_images"].value == 100
    grids = recorder.pictures["generated"]
    assert [grid.step for grid in grids] == [200, 400]
    assert grids[0].images.shape == (100, 8, 8, 1)
    assert grids[0].captions == [str(label) for label in range(10) for _ in range(10)]
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == [200, 400]
    assert recorder.progressed[-1] == (400, 400, "steps") and len(recorder.progressed) == 400

    denoiser, read = load_denoiser(recorder.as_input_run(spec), CPU)
    assert read == spec and not denoiser.training
    assert recorder.attributes["parameters"] == sum(parameter.numel() for parameter in denoiser.parameters())
    validation = load_split(spec.data, "validation")
    held = HeldNoise(spec, parameterisation_of(spec), validation, CPU)
    assert held.losses(denoiser).mean() == pytest.approx(measure.value, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "stop"),
    [
        ({}, 13),  # between two checkpoints and between two points of the curves
        ({"network": DenoiserNetworkSpec(width=32, blocks=2, dropout=0.2), "checkpoint_every": 100}, 20),
        ({"network": DenoiserNetworkSpec(architecture="unet2d", channels=(8, 16)), "steps": 6, "batch_size": 8}, 3),
        (
            {
                "network": DenoiserNetworkSpec(architecture="unet2d", channels=(8, 16)),
                "steps": 6,
                "batch_size": 8,
                "compute": ComputeSpec(channels_last=True),
            },
            3,
        ),
    ],
)
def test_a_resumed_run_is_the_run_that_was_interrupted(changes: dict[str, Any], stop: int) -> None:
    spec = small_spec(**changes)
    whole = trained(spec)

    stopped = MemoryRecorder(stop_at_check=stop)
    with pytest.raises(Stopped):
        train_denoiser.run(spec, stopped, CPU)
    assert stopped.last_checkpoint.step == stop
    torch.manual_seed(12345)  # the state of global generators must not matter
    resumed = stopped.resume()
    train_denoiser.run(spec, resumed, CPU)

    expected, got = unpack(whole.last_checkpoint.weights), unpack(resumed.last_checkpoint.weights)
    assert expected.keys() == got.keys() >= {"network", "average", "optimiser"}
    for part, tensors in expected.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, got[part][name]), f"{part}/{name}"
    assert whole.last_checkpoint.state == resumed.last_checkpoint.state
    for name in set(whole.metrics) - {"images_per_second"}:
        together = stopped.metrics.get(name, []) + resumed.metrics[name]
        assert together == whole.metrics[name], name
    assert whole.results == resumed.results


def test_abort_leaves_at_once() -> None:
    recorder = MemoryRecorder(stop_at_check=3, stop_grade="abort")
    with pytest.raises(Stopped):
        train_denoiser.run(small_spec(), recorder, CPU)
    assert not recorder.checkpoints and recorder.progressed[-1][0] == 3


def test_pictures_of_different_steps_share_their_noise() -> None:
    recorder = trained(small_spec(steps=4, sample_every=2, learning_rate=1e-9, rampup_steps=0, cosine_decay=False))
    first, second = (grid.images.astype(int) for grid in recorder.pictures["generated"])
    assert np.abs(first - second).max() <= 1


def test_a_loss_that_is_no_number_is_an_error_with_its_circumstances() -> None:
    spec = small_spec(learning_rate=1.0, gradient_clip=None, rampup_steps=0, log_sigma_mean=40.0, log_sigma_std=20.0)
    recorder = MemoryRecorder()
    with pytest.raises(UserError, match=r"the (loss|gradient norm) became (nan|inf) at step \d+ .*lower learning_rate"):
        train_denoiser.run(spec, recorder, CPU)
    assert not recorder.results and not recorder.checkpoints


def test_images_that_do_not_fit_are_refused_before_any_work() -> None:
    recorder = MemoryRecorder()
    network = DenoiserNetworkSpec(architecture="unet2d", channels=(8,) * 5)
    with pytest.raises(UserError, match="at most 4 levels"):
        train_denoiser.run(small_spec(network=network), recorder, CPU)
    assert recorder.checks == 0 and not recorder.metrics and not recorder.progressed


def test_without_classes_labels_play_no_part() -> None:
    spec = small_spec(class_conditional=False, steps=3, sample_every=3)
    recorder = trained(spec)
    grid = recorder.pictures["generated"][0]
    assert grid.captions is None and len(grid.images) == 100
    denoiser, _ = load_denoiser(recorder.as_input_run(spec), CPU)
    assert denoiser.num_classes == 0


def test_batches_drop_labels_at_the_given_rate_and_depend_on_the_step_alone() -> None:
    spec = small_spec(label_dropout=0.3, batch_size=1000)
    training = load_split(spec.data, "train")
    batches = NoisyBatches(spec, training, CPU)
    batch, again = batches.batch(7), NoisyBatches(spec, training, CPU).batch(7)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    assert batch.labels is not None
    dropped = batch.labels == training.num_classes
    assert abs(float(dropped.float().mean()) - 0.3) < 0.06
    rows = batches.order.batch(7)
    assert torch.equal(batch.labels[~dropped], torch.from_numpy(training.labels.copy())[rows][~dropped])
    assert float(batch.u.min()) == -1 and float(batch.u.max()) == 1
    assert not torch.equal(batches.batch(8).noise, batch.noise)


def test_learning_rate_rises_and_falls() -> None:
    spec = small_spec(steps=100, rampup_steps=10, learning_rate=0.5)
    rates = [learning_rate(spec, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.05) and rates[9] == rates[10] == 0.5
    assert rates[55] == pytest.approx(0.25) and 0 < rates[99] < 0.001
    constant = small_spec(steps=100, rampup_steps=0, cosine_decay=False, learning_rate=0.5)
    assert {learning_rate(constant, step) for step in range(100)} == {0.5}
