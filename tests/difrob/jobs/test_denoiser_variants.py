"""The training job beyond the plain case: DDPM, the regulariser, spoiled data, toy points, half precision, compilation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryRecorder

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.loading import load_denoiser
from difrob.errors import Stopped, UserError
from difrob.jobs import train_denoiser
from difrob.nets.storage import unpack
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainDenoiserSpec
from difrob.specs.diffusion_parts import CorruptionSpec, RegulariserSpec
from difrob.specs.parts import ComputeSpec

CPU = torch.device("cpu")
SMALL = DenoiserNetworkSpec(width=32, blocks=2)
ADVERSARIAL = RegulariserSpec(constraint="equivariance", perturbation="adversarial")


def spec_of(**changes: Any) -> TrainDenoiserSpec:
    values = {"data": DataSpec(train_size=100), "network": SMALL, "steps": 12, "batch_size": 24, "log_every": 4,
              "sample_every": 0, "checkpoint_every": 50, "rampup_steps": 2}  # fmt: skip
    return TrainDenoiserSpec(**{**values, **changes})


def trained(spec: TrainDenoiserSpec, recorder: MemoryRecorder | None = None) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder()
    train_denoiser.run(spec, recorder, CPU)
    return recorder


VARIANTS: dict[str, dict[str, Any]] = {
    "ddpm": {"parameterisation": "ddpm", "time_steps": 50},
    "adversarial": {"regulariser": ADVERSARIAL},
    "adversarial ddpm": {"parameterisation": "ddpm", "regulariser": ADVERSARIAL, "memory": {"micro_batch": 10}},
    "fine-tuned": {"regulariser": RegulariserSpec(constraint="equivariance", perturbation="sign", from_step=7)},
    "invariance": {"regulariser": RegulariserSpec(constraint="invariance", perturbation="uniform")},
    "noisy": {"corruption": CorruptionSpec(kind="gaussian", share=0.9)},
    "noisy floats": {"corruption": CorruptionSpec(kind="gaussian", clip=False)},
    "patches": {"corruption": CorruptionSpec(kind="patches", share=0.5)},
    "plane": {"data": DataSpec(dataset="toy-plane", train_size=200), "sample_every": 12},
    "noisy plane": {"data": DataSpec(dataset="toy-plane", train_size=200), "corruption": CorruptionSpec(kind="gaussian"),
                    "class_conditional": False, "parameterisation": "ddpm", "regulariser": ADVERSARIAL},
    "subspace": {"data": DataSpec(dataset="toy-digits-subspace", train_size=200), "sample_every": 12},
    "half precision": {"compute": ComputeSpec(precision="bfloat16")},
    "distances": {"frechet_every": 12},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_run_is_the_run_that_was_interrupted(name: str) -> None:
    spec = spec_of(**VARIANTS[name])
    whole, stopped = trained(spec), MemoryRecorder(stop_at_check=8)
    with pytest.raises(Stopped):
        trained(spec, stopped)
    resumed = trained(spec, stopped.resume())
    expected, got = unpack(whole.last_checkpoint.weights), unpack(resumed.last_checkpoint.weights)
    for part, tensors in expected.items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, got[part][key]), f"{part}/{key}"
    assert whole.results == resumed.results
    together = stopped.metrics.get("loss", []) + resumed.metrics["loss"]
    assert together == whole.metrics["loss"] and all(np.isfinite(whole.values("loss")))


def test_ddpm_is_read_back_as_ddpm() -> None:
    spec = spec_of(parameterisation="ddpm", time_steps=50, schedule="linear")
    denoiser, _ = load_denoiser(trained(spec).as_input_run(spec), CPU)
    assert isinstance(denoiser, DDPMDenoiser) and len(denoiser.schedule) == 50 and "linear" in denoiser.schedule.name


def test_penalties_are_recorded_from_the_step_they_begin_at() -> None:
    steps = [point.step for point in trained(spec_of(**VARIANTS["fine-tuned"])).metrics["loss/penalty"]]
    assert steps == [8, 12]
    assert "loss/penalty" not in trained(spec_of()).metrics


def test_switching_the_regulariser_on_changes_neither_batch_nor_noise() -> None:
    """Up to the step it begins at, a regularised run is the plain run."""
    late = RegulariserSpec(constraint="equivariance", from_step=6)
    plain, regularised = trained(spec_of(log_every=1)), trained(spec_of(log_every=1, regulariser=late))
    assert plain.values("loss")[:7] == regularised.values("loss")[:7]  # the loss itself is recorded without the penalty
    assert plain.values("loss")[8] != regularised.values("loss")[8]


def test_spoiled_data_are_recorded_and_measured_against_clean_ones() -> None:
    recorder = trained(spec_of(corruption=CorruptionSpec(kind="gaussian", share=0.9, sigma=0.2), frechet_every=12))
    record = recorder.attributes["corruption"]
    assert record["kind"] == "gaussian" and record["images"] == 100 and 75 <= record["touched"] <= 100
    assert 0.05 < record["rms_change"] < 0.2 and record["clipped"] is True
    assert [point.step for point in recorder.metrics["frechet_distance"]] == [12]


def test_outliers_must_be_named() -> None:
    with pytest.raises(UserError, match="must name the data set"):
        trained(spec_of(corruption=CorruptionSpec(kind="outliers")))
    recorder = trained(spec_of(corruption=CorruptionSpec(kind="outliers", share=0.1, outliers="digits")))
    assert recorder.attributes["corruption"]["outliers"] == "digits/train"


def test_toy_points_are_measured_against_the_truth() -> None:
    recorder = trained(spec_of(**VARIANTS["plane"]))
    assert {"off_support_rms", "centre_distance_rms", "stray_share", "smallest_mode_share"} <= set(recorder.results)
    pictures = recorder.pictures["generated"][-1]
    assert pictures.captions == ["drawn", "true", "learnt from"] and pictures.images.shape == (3, 128, 128, 1)
    assert recorder.results["off_support_rms"].n == 5000
    assert 0 < recorder.results["principal_angle"].value <= 90 and recorder.results["projection_psnr"].unit == "dB"


def test_images_on_a_subspace_are_measured_against_it_alone() -> None:
    recorder = trained(spec_of(**VARIANTS["subspace"]))
    of_support = {"off_support_rms", "projection_psnr", "principal_angle"}
    assert set(recorder.results) == {"validation_loss", "training_images", *of_support}
    rms, angles = recorder.results["off_support_rms"], recorder.attributes["principal_angles"]
    assert rms.n == 5000 and 0 < rms.low < rms.value < rms.high
    mean_square = rms.value**2 / 64  # both rest on the same distances
    assert recorder.results["projection_psnr"].value == pytest.approx(10 * np.log10(4 / mean_square))
    assert len(angles) == 16 and angles == sorted(angles, reverse=True)
    assert recorder.results["principal_angle"].value == angles[0]
    pictures = recorder.pictures["generated"][-1]
    assert pictures.images.shape == (100, 8, 8, 1) and pictures.captions == [
        str(k) for k in range(10) for _ in range(10)
    ]


@pytest.mark.slow
def test_learning_brings_samples_nearer_to_the_subspace() -> None:
    values = {
        "data": VARIANTS["subspace"]["data"],
        "network": DenoiserNetworkSpec(width=128, blocks=3),
        "batch_size": 64,
    }
    short, long = (trained(spec_of(**values, steps=steps)).results["off_support_rms"] for steps in (10, 400))
    assert long.high < 0.6 * short.low


def test_points_on_a_subspace_can_be_spoiled_but_not_mirrored() -> None:
    data = DataSpec(dataset="toy-digits-subspace")
    noisy = trained(spec_of(data=data, corruption=CorruptionSpec(kind="gaussian", share=1.0, sigma=0.2)))
    assert noisy.attributes["corruption"]["rms_change"] == pytest.approx(0.2, rel=0.02)
    trained(spec_of(data=data, corruption=CorruptionSpec(kind="patches", share=0.5)))
    with pytest.raises(UserError, match="'toy-digits-subspace' holds points, which have no mirror images"):
        trained(spec_of(data=data, flips=True))


def test_half_precision_is_close_to_full() -> None:
    full, half = trained(spec_of()), trained(spec_of(compute=ComputeSpec(precision="bfloat16")))
    assert full.values("loss") != half.values("loss")
    assert half.values("loss") == pytest.approx(full.values("loss"), rel=0.03)
    assert all(tensor.dtype == torch.float32 for tensor in unpack(half.last_checkpoint.weights)["network"].values())


def test_a_compiler_that_fails_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_badly(function: Any) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise torch._dynamo.exc.BackendCompilerFailed(lambda: None, RuntimeError("no C++ compiler"), None)

        return fail

    import torch._dynamo

    monkeypatch.setattr(torch, "compile", compile_badly)
    plain, compiled = trained(spec_of()), trained(spec_of(compute=ComputeSpec(compile=True, channels_last=True)))
    assert any("torch.compile failed" in note and "going on without it" in note for _, note in compiled.notes)
    assert compiled.values("loss") == pytest.approx(plain.values("loss"), rel=1e-4)
