"""All objectives, networks and ways to compute of ``train_classifier``: exact resume, curves, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.small_classifiers import LAID_OUT_OTHERWISE, RESIDUAL, TRANSFORMER
from support.trained_runs import assert_same_end, trained, weights_of

from difrob.errors import Stopped, UserError
from difrob.jobs.classifier_measures import validation_attack
from difrob.jobs.train_classifier import run
from difrob.specs import DataSpec, GenerateSpec, TrainClassifierSpec, load_preset, parse_spec
from difrob.training.classifying import colour_statistics
from difrob.training.loading import load_classifier
from difrob.training.schedules import one_cycle, one_cycle_momentum

CPU = torch.device("cpu")
CNN: dict[str, Any] = {"channels": (4, 8), "features": 16}


def spec_of(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": CNN, "attack": {"steps": 2}, "steps": 6, "batch_size": 20,
        "validate_every": 3, "validation_attack_steps": 2, "log_every": 2, "checkpoint_every": 3, "learning_rate": 0.05,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


def generated_run(name: str, count: int = 100) -> MemoryInputRun:
    real = load_split(DataSpec(), "train").take(np.arange(count))
    arrays = {"samples/images": real.images, "samples/label": real.labels}
    return MemoryInputRun(name, GenerateSpec(denoiser="d"), arrays=arrays)


VARIANTS: dict[str, dict[str, Any]] = {
    "pgd_at": {"objective": "pgd_at"},
    "mart, l2": {"objective": "mart", "attack": {"steps": 2, "norm": "l2", "eps": 0.5}},
    "score": {"objective": "score", "robust_clip": 0.01},
    "gaussian": {"objective": "gaussian"},
    "batch norm": {"network": RESIDUAL},
    "batch norm, running": {"network": RESIDUAL, "attack_statistics": "running", "objective": "pgd_at"},
    "transformer": {"network": TRANSFORMER},
    "one cycle": {"schedule": "one_cycle", "cycle_momentum": True, "warmup_fraction": 0.4},
    "cutmix": {"augmentation": {"cutmix": 4, "padding": 1, "cutout": 2}},
    "pieces, channels last, half": LAID_OUT_OTHERWISE,
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_resumed_run_is_the_uninterrupted_one(name: str) -> None:
    spec = spec_of(**VARIANTS[name])
    whole, stopped = trained(spec), MemoryRecorder(stop_at_check=4)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    assert_same_end(whole, resumed)
    for metric in set(whole.metrics) - {"images_per_second"}:
        tail = [point for point in whole.metrics[metric] if point.step > 4]
        assert resumed.metrics[metric] == tail, metric
    for curve, recorded in whole.curves.items():
        last, again = recorded[-1], resumed.curves[curve][-1]
        assert last.step == again.step == 6 and np.array_equal(last.y, again.y), curve


def test_live_curves() -> None:
    recorder = trained(spec_of(objective="pgd_at"))
    assert "loss/clean" not in recorder.metrics and "train/attack_success" not in recorder.metrics
    assert recorder.values("loss/robust") == recorder.values("loss")
    assert min(recorder.values("images_per_second")) > 0
    gaps = recorder.values("robust_generalisation_gap")
    pairs = zip(recorder.values("train/robust_accuracy"), recorder.values("validation/robust_accuracy"), strict=True)
    assert gaps == pytest.approx([train - validation for train, validation in pairs])
    attack = recorder.curves["train/attack_success_by_step"]
    assert [curve.step for curve in attack] == [3, 6]
    assert all(curve.x.tolist() == [0, 1, 2] and 0 <= curve.y.min() <= curve.y.max() <= 1 for curve in attack)
    by_class = recorder.curves["validation/robust_accuracy_by_class"][-1]
    validation = np.bincount(load_split(DataSpec(), "validation").labels)
    assert by_class.x.tolist() == list(range(10)) and by_class.low is not None and by_class.high is not None
    assert (by_class.low <= by_class.y).all() and (by_class.y <= by_class.high).all()
    assert (by_class.y * validation).sum() / validation.sum() == pytest.approx(
        recorder.values("validation/robust_accuracy")[-1]
    )
    assert "momentum" not in recorder.metrics
    cycled = trained(spec_of(schedule="one_cycle", cycle_momentum=True, warmup_fraction=0.4))
    assert cycled.values("momentum")[0] == 0.95 and min(cycled.values("momentum")) == pytest.approx(0.85)


def test_arms_start_their_attacks_at_the_same_points() -> None:
    """Before the first step all arms have the same weights, so the same of their attacked images are wrong at the start."""
    found = {
        name: trained(spec_of(objective=name, steps=1, validate_every=1)).curves["train/attack_success_by_step"][0].y[0]
        for name in ("trades", "pgd_at", "mart", "score")
    }
    assert 0 < found["trades"] < 1 and len(set(found.values())) == 1


def test_the_best_checkpoint_carries_its_batch_norm_and_standardisation() -> None:
    spec = spec_of(network={**RESIDUAL, "standardise_by": "training_images"}, augmentation={"padding": 1})
    recorder = trained(spec)
    network, _ = load_classifier(recorder.as_input_run(spec), "best", CPU)
    pixels = load_split(spec.data, "train").images / 255
    assert float(network.mean) == pytest.approx(pixels.mean(), abs=1e-6)
    assert float(network.std) == pytest.approx(pixels.std(), abs=1e-6)
    kept = weights_of(recorder)
    norms = [key for key in kept if key.startswith("network/") and key.endswith("running_mean")]
    assert len(norms) == 7
    for key in norms:  # statistics are copied, not averaged
        assert torch.equal(kept[key], kept[key.replace("network/", "average/")])
    assert int(kept["network/stages.norm.num_batches_tracked"]) == 2 * spec.steps


def test_colours_of_a_set() -> None:
    images = np.random.default_rng(0).integers(0, 256, (25_000, 2, 2, 3), dtype=np.uint8)
    images[..., 2] = 7
    mean, std = colour_statistics(images)
    scaled = images.astype(np.float64) / 255
    assert mean == pytest.approx(scaled.mean(axis=(0, 1, 2)))
    assert std[:2] == pytest.approx(scaled.std(axis=(0, 1, 2))[:2])
    assert std[2] == pytest.approx(1 / 255)  # a colour that never changes


@contextmanager
def full_at(call: int) -> Iterator[None]:
    """The classifier's forward pass with this number runs out of memory."""
    calls = 0

    def look(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal calls
        if hasattr(module, "num_classes"):
            calls += 1
            if calls == call:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


def test_batch_norm_in_pieces_is_said_once_and_a_failed_attempt_leaves_no_trace() -> None:
    asked = trained(spec_of(network=RESIDUAL, memory={"micro_batch": 10}, steps=3))
    said = [text for level, text in asked.notes if level == "warning" and "batch normalisation" in text]
    assert len(said) == 1 and "at most 10 images instead of the whole batch of 20" in said[0]
    full = MemoryRecorder()
    with full_at(4):  # the last outer pass of the first step: the clean one has moved the statistics already
        run(spec_of(network=RESIDUAL, steps=3), full, CPU)
    assert full.attributes["micro_batch"]["images_at_once"] == 10
    assert len([text for _, text in full.notes if "batch normalisation" in text]) == 1
    expected = weights_of(asked)
    for key, tensor in weights_of(full).items():
        assert torch.equal(tensor, expected[key]), key
    plain = trained(spec_of(memory={"micro_batch": 10}))
    assert not [text for _, text in plain.notes if "batch normalisation" in text]


def test_half_precision_and_channels_last_change_little() -> None:
    plain = trained(spec_of(network=RESIDUAL, steps=3))
    laid_out = trained(spec_of(network=RESIDUAL, steps=3, compute={"channels_last": True}))
    half = trained(spec_of(network=RESIDUAL, steps=3, compute={"precision": "bfloat16"}))
    assert laid_out.values("loss")[0] == pytest.approx(plain.values("loss")[0], rel=1e-4)
    assert half.values("loss")[0] == pytest.approx(plain.values("loss")[0], rel=0.05)
    assert half.values("loss")[0] != plain.values("loss")[0]
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights_of(half).values())


def test_several_generated_sets_are_mixed_in() -> None:
    runs = {name: generated_run(name, count) for name, count in (("a", 100), ("b", 60))}
    recorder = trained(spec_of(generated="a", generated_2="b", generated_3="a", generated_balanced=True), runs=runs)
    assert recorder.parents == ["a", "b"]
    assert recorder.attributes["batches"] == {
        "real_images": 60, "generated_images": 160, "real_per_batch": 6, "generated_per_batch": 14,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"augmentation": {"flips": True}}, "'digits' says that its mirror images do not show the same"),
        ({"augmentation": {"padding": 8}}, "images of 8x8 pixels cannot be shifted by 8"),
        ({"network": {"architecture": "vit", "patch": 3}}, "network.patch = 3 does not divide images of 8x8"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_any_work(changes: dict[str, Any], sentence: str) -> None:
    recorder = MemoryRecorder()
    with pytest.raises(UserError, match=sentence):
        run(spec_of(**changes), recorder, CPU)
    assert recorder.metrics == {} and recorder.checkpoints == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"generated_fraction": 1.2}, "'generated_fraction' = 1.2"),
        ({"generated_fraction": -0.1}, "'generated_fraction' = -0.1"),
        ({"attack": {"eps": 1.5}}, "eps = 1.5 exceeds the whole intensity range"),
        ({"attack": {"eps": -0.1}}, "'attack.eps' = -0.1"),
        ({"objective": "mart", "augmentation": {"cutmix": 4}}, "objective = mart needs one class per image"),
        ({"augmentation": {"cutmix": 3}}, "batch_size = 20 cannot be cut into cutmix = 3 draws"),
        ({"augmentation": {"cutmix": 20}}, "make it a multiple of 20 that is at least 40"),
        ({"generated_2": "b"}, "generated_2 is given, but no first set; put it into generated"),
        ({"network": RESIDUAL, "memory": {"micro_batch": 1}}, "micro_batch = 1 leaves batch normalisation one image"),
        ({"network": {"architecture": "wide_resnet", "depth": 12}}, "depth = 12 must be 6 n + 4"),
        ({"network": {"architecture": "vit", "width": 20, "heads": 3}}, "width = 20 must be a multiple of heads = 3"),
        ({"robust_clip": 3}, "'robust_clip' = 3"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec({"kind": "train_classifier", "batch_size": 20, **changes})
    assert sentence in str(caught.value)


def test_the_preset_of_the_paper_is_its_setting() -> None:
    preset = load_preset("wang-cifar10-wrn-28-10", "train_classifier")
    spec = parse_spec({"kind": "train_classifier", **preset.spec})
    assert isinstance(spec, TrainClassifierSpec)
    steps_per_epoch = -(-50_000 // 512)  # of the full training set: an epoch is a step budget
    assert spec.steps == 400 * steps_per_epoch == 39_200
    assert (spec.batch_size, spec.learning_rate, spec.beta, spec.generated_fraction) == (512, 0.2, 5.0, 0.7)
    assert (spec.attack.eps, spec.attack.step_size, spec.attack.steps) == (
        pytest.approx(8 / 255),
        pytest.approx(2 / 255),
        10,
    )
    assert (spec.averaging_decay, spec.label_smoothing, spec.weight_decay) == (0.995, 0.1, 5e-4)
    assert (
        spec.network.architecture == "wide_resnet_28_10" and spec.augmentation.padding == 4 and spec.augmentation.flips
    )
    # Uniform start in an linf ball, the network in training mode.
    assert (spec.objective, spec.attack.norm, spec.attack.random_start) == ("trades", "linf", True)
    assert spec.attack_statistics == "batch"
    # One cycle of rate and momentum, stepped here per step instead of per epoch; the same steps warm up the average.
    assert (spec.optimiser, spec.schedule, spec.cycle_momentum, spec.gradient_clip) == ("sgd", "one_cycle", True, None)
    warmup_steps = int(spec.warmup_fraction * spec.steps)
    assert warmup_steps == 10 * steps_per_epoch and spec.patience is None
    rates, momenta = (
        [rule(step) for step in (0, warmup_steps - 1, spec.steps - 1)]
        for rule in (
            lambda step: one_cycle(step, spec.steps, peak=spec.learning_rate, warmup_steps=warmup_steps),
            lambda step: one_cycle_momentum(step, spec.steps, warmup_steps=warmup_steps),
        )
    )
    assert rates == pytest.approx([0.2 / 25, 0.2, 0.2 / 25 / 1e4]) and momenta == pytest.approx([0.95, 0.85, 0.95])
    # Standardised inside the network by the colours of the training set; slow running statistics.
    assert (spec.network.standardise_by, spec.network.batch_norm_momentum) == ("training_images", 0.01)
    # After every epoch PGD-40, four times the steps of the training attack, else the same.
    attack = validation_attack(spec)
    assert (spec.validate_every, attack.steps) == (steps_per_epoch, 40)
    assert attack.model_copy(update={"steps": 10}) == spec.attack


def test_the_first_step_of_batch_norm_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_passes = 0

    def compile_nothing(forward: Any) -> Any:
        def counted(*args: Any) -> Any:
            nonlocal compiled_passes
            compiled_passes += 1
            return forward(*args)

        return counted

    monkeypatch.setattr(torch, "compile", compile_nothing)
    passes = trained(spec_of()).attributes["passes_per_image_and_step"]["forward"]
    for network, compiled_steps in ((RESIDUAL, 2), (CNN, 3)):
        compiled_passes = 0
        trained(spec_of(network=network, steps=3, compute={"compile": True}))
        assert compiled_passes == compiled_steps * passes
