"""The training job: it learns, it resumes bit for bit, it selects on validation, it says what went wrong."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs import train_classifier
from difrob.jobs.train_classifier import run
from difrob.nets.storage import unpack
from difrob.specs import KINDS, DataSpec, GenerateSpec, TrainClassifierSpec
from difrob.training.loading import load_classifier
from difrob.training.validation import FixedImages

CPU = torch.device("cpu")


def small_spec(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60},
        "network": {"channels": (4, 8), "features": 16},
        "attack": {"steps": 2},
        "steps": 12,
        "batch_size": 20,
        "validate_every": 5,
        "validation_attack_steps": 3,
        "log_every": 3,
        "checkpoint_every": 4,
    }
    return TrainClassifierSpec(**{**values, **changes})


def trained(spec: TrainClassifierSpec, **arguments: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(**arguments)
    run(spec, recorder, CPU)
    return recorder


def generated_run(count: int = 100, run_id: str = "made") -> MemoryInputRun:
    """A generated set made of real training images."""
    real = load_split(DataSpec(), "train").take(np.arange(count))
    arrays = {"samples/images": real.images, "samples/label": real.labels}
    return MemoryInputRun(run_id, GenerateSpec(denoiser="d"), arrays=arrays)


def test_it_learns_and_reports() -> None:
    spec = small_spec(
        data={"train_size": 100}, network={"channels": (8, 16), "features": 32}, attack={"steps": 2, "eps": 0.1},
        steps=40, batch_size=32, validate_every=20, beta=1.0,
    )  # fmt: skip
    recorder = trained(spec)
    losses = recorder.values("loss")
    assert np.mean(losses[-3:]) < 0.75 * losses[0]
    clean = recorder.metrics["validation/clean_accuracy"]
    assert [point.step for point in clean] == [20, 40]
    assert clean[-1].value > 0.6
    for point in clean + recorder.metrics["validation/robust_accuracy"] + recorder.metrics["train/robust_accuracy"]:
        assert point.low is not None and point.high is not None and point.low <= point.value <= point.high
    robust = recorder.values("validation/robust_accuracy")
    assert 0 < robust[-1] <= clean[-1].value

    best = recorder.results["best_validation_robust_accuracy"]
    assert best.value == max(robust) and best.n == 197 and best.interval == "Wilson 95 %"
    assert "linf" in best.sentence and "0.1" in best.sentence and "3 steps" in best.sentence
    assert recorder.results["last_validation_robust_accuracy"].value == robust[-1]
    gap, lost = recorder.results["robust_generalisation_gap"], recorder.results["robust_overfitting"]
    assert gap.value == pytest.approx(recorder.values("robust_generalisation_gap")[-1])
    assert lost.value == pytest.approx(max(robust) - robust[-1]) and lost.value >= 0
    for measure in (gap, lost):
        assert measure.low is not None and measure.high is not None and measure.low <= measure.value <= measure.high
    assert (gap.interval, lost.interval) == ("Newcombe 95 %", "Newcombe 95 %, paired")
    assert recorder.results["best_step"].value in (20, 40)
    assert recorder.progressed[-1] == (40, 40, "steps")
    assert recorder.attributes["passes_per_image_and_step"] == {"forward": 5, "backward_to_input": 2, "backward": 2}


def test_curves_are_recorded_where_the_specification_says() -> None:
    recorder = trained(small_spec())
    for name in ("loss", "loss/clean", "loss/robust", "learning_rate", "gradient_norm", "train/attack_success"):
        assert [point.step for point in recorder.metrics[name]] == [1, 3, 6, 9, 12], name
        assert all(np.isfinite(point.value) for point in recorder.metrics[name])
    for loss, clean, robust in zip(*(recorder.values(n) for n in ("loss", "loss/clean", "loss/robust")), strict=True):
        assert loss == pytest.approx(clean + 5 * robust, rel=1e-5)
    assert [point.step for point in recorder.metrics["validation/robust_accuracy"]] == [5, 10, 12]
    steps = [checkpoint.step for checkpoint in recorder.checkpoints]
    assert steps == sorted(set(steps)) and {4, 8, 12} <= set(steps)


def test_pictures_are_pairs_within_the_ball() -> None:
    recorder = trained(small_spec())
    shown = recorder.pictures["adversarial"]
    assert [pictures.step for pictures in shown] == [5, 10, 12]
    images, captions = shown[-1].images, shown[-1].captions
    assert images.shape == (16, 8, 8, 1) and captions is not None
    validation = load_split(DataSpec(), "validation")
    assert np.array_equal(images[::2], validation.images[:8])
    assert [f"label {label}" for label in validation.labels[:8]] == captions[::2]
    assert all(caption.startswith(f"label {label} -> ") for label, caption in
               zip(validation.labels, captions[1::2], strict=False))  # fmt: skip
    difference = np.abs(images[1::2].astype(int) - images[::2].astype(int))
    assert 0 < difference.max() <= round(0.15 * 255) + 1


@pytest.mark.parametrize("stop_at", [1, 5, 7, 10])
def test_a_resumed_run_is_the_uninterrupted_one(stop_at: int) -> None:
    spec = small_spec(generated="made")
    runs = {"made": generated_run()}
    whole = trained(spec, runs=runs)
    stopped = MemoryRecorder(runs=runs, stop_at_check=stop_at)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    assert stopped.last_checkpoint.step == stop_at
    resumed = stopped.resume()
    run(spec, resumed, CPU)

    left, right = unpack(whole.last_checkpoint.weights), unpack(resumed.last_checkpoint.weights)
    assert left.keys() == right.keys() == {"network", "average", "optimiser"}
    for part, tensors in left.items():
        assert tensors.keys() == right[part].keys()
        assert all(torch.equal(tensor, right[part][name]) for name, tensor in tensors.items()), part
    assert whole.last_checkpoint.state == resumed.last_checkpoint.state
    assert whole.results == resumed.results
    for name, points in whole.metrics.items():
        if name == "images_per_second":  # measures the machine
            continue
        joined = [p for p in stopped.metrics.get(name, []) if p.step <= stop_at] + resumed.metrics.get(name, [])
        kept = {point.step: point for point in joined}
        assert [kept[point.step] for point in points] == points, name


def test_a_stop_does_not_take_the_mark_off_the_best_checkpoint() -> None:
    """A second checkpoint at the same step would replace the one that is marked."""
    spec = small_spec()
    stopped = MemoryRecorder(stop_at_check=5)  # just after the measurement at step 5
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    assert [checkpoint.step for checkpoint in stopped.best_checkpoints] == [5]
    assert [checkpoint.step for checkpoint in stopped.checkpoints] == [4, 5]


def test_a_stop_before_the_first_step_writes_nothing() -> None:
    recorder = MemoryRecorder(stop_at_check=0)
    with pytest.raises(Stopped):
        run(small_spec(), recorder, CPU)
    assert recorder.checkpoints == []


def test_an_abort_writes_nothing() -> None:
    recorder = MemoryRecorder(stop_at_check=2, stop_grade="abort")
    with pytest.raises(Stopped):
        run(small_spec(), recorder, CPU)
    assert recorder.checkpoints == []


def test_the_best_checkpoint_is_the_one_that_measured_best() -> None:
    spec = small_spec(data={"train_size": 100}, steps=40, validate_every=4, learning_rate=0.6, averaging_decay=0.0)
    recorder = trained(spec)
    robust = recorder.values("validation/robust_accuracy")
    steps = [point.step for point in recorder.metrics["validation/robust_accuracy"]]
    newest_best = max(step for step, value in zip(steps, robust, strict=True) if value == max(robust))
    assert recorder.best_checkpoints[-1].step == newest_best == recorder.results["best_step"].value

    network, loaded_spec = load_classifier(recorder.as_input_run(spec), "best", CPU)
    assert loaded_spec == spec and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    validation = FixedImages(load_split(spec.data, "validation"), CPU)
    scores = validation.measure(network, train_classifier.validation_attack(spec))
    assert scores.robust.mean() == max(robust)
    assert recorder.best_checkpoints[-1].state["best_robust_accuracy"] == pytest.approx(max(robust))


def test_patience_ends_a_run_that_has_stopped_gaining() -> None:
    # With a learning rate of next to nothing no measurement can beat the first one.
    spec = small_spec(steps=200, validate_every=2, patience=3, learning_rate=1e-12)
    recorder = trained(spec)
    assert recorder.metrics["validation/robust_accuracy"][-1].step == 8
    assert recorder.last_checkpoint.step == 8
    assert any("patience" in text for _, text in recorder.notes)
    assert "best_validation_robust_accuracy" in recorder.results


def test_a_diverged_loss_ends_the_run_and_is_never_kept() -> None:
    spec = small_spec(objective="standard", learning_rate=10.0, momentum=0.99, steps=200, log_every=7, validate_every=200,
                      checkpoint_every=200, network={"channels": (8, 8), "features": 16}, weight_decay=1.0)  # fmt: skip
    recorder = MemoryRecorder()
    with pytest.raises(UserError, match=r"step \d+ with learning rate [\d.]+ .*last finite loss was"):
        run(spec, recorder, CPU)
    assert all(np.isfinite(value) for value in recorder.values("loss"))
    assert recorder.checkpoints == []


def test_clipping_bounds_the_step() -> None:
    free = trained(small_spec(steps=3, log_every=1, validate_every=100))
    clipped = trained(small_spec(steps=3, log_every=1, validate_every=100, gradient_clip=1e-4))
    assert free.values("gradient_norm")[0] == clipped.values("gradient_norm")[0] > 1e-2  # the norm before clipping

    def moved(recorder: MemoryRecorder) -> float:
        tensors = unpack(recorder.last_checkpoint.weights)["optimiser"]
        return max(float(tensor.abs().max()) for tensor in tensors.values())

    assert moved(clipped) < 0.05 * moved(free)


@pytest.mark.parametrize("objective", ["standard", "gaussian"])
def test_the_other_objectives_are_judged_by_what_they_are_for(objective: str) -> None:
    recorder = trained(small_spec(objective=objective, steps=20, batch_size=40, learning_rate=0.1))
    assert "loss/robust" not in recorder.metrics and "train/attack_success" not in recorder.metrics
    judged = {"standard": "validation/clean_accuracy", "gaussian": "validation/noisy_accuracy"}[objective]
    values = recorder.values(judged)
    steps = [point.step for point in recorder.metrics[judged]]
    assert recorder.results["best_step"].value == max(s for s, v in zip(steps, values, strict=True) if v == max(values))
    assert ("best_validation_noisy_accuracy" in recorder.results) == (objective == "gaussian")
    assert recorder.attributes["passes_per_image_and_step"]["forward"] == 1


def test_generated_images_are_mixed_in_as_asked() -> None:
    recorder = trained(small_spec(generated="made", generated_fraction=0.7, steps=2), runs={"made": generated_run()})
    assert recorder.parents == ["made"]
    assert recorder.attributes["batches"] == {
        "real_images": 60, "generated_images": 100, "real_per_batch": 6, "generated_per_batch": 14,
    }  # fmt: skip
    real_only = trained(small_spec(steps=2))
    assert real_only.values("loss") != recorder.values("loss")
    all_generated = trained(
        small_spec(generated="made", generated_fraction=1.0, steps=2), runs={"made": generated_run()}
    )
    assert all_generated.attributes["batches"]["real_per_batch"] == 0


def test_an_unfit_generated_set_is_refused_before_any_work() -> None:
    wide = MemoryInputRun(
        "wide", GenerateSpec(denoiser="d"),
        arrays={"samples/images": np.zeros((10, 16, 16, 1), np.uint8), "samples/label": np.arange(10)},
    )  # fmt: skip
    recorder = MemoryRecorder(runs={"wide": wide})
    with pytest.raises(UserError, match="16 x 16 x 1"):
        run(small_spec(generated="wide"), recorder, CPU)
    assert recorder.metrics == {} and recorder.checkpoints == []


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (trained(small_spec(seed=seed, steps=3)).values("loss") for seed in (0, 0, 1))
    assert first == again != other


def test_a_run_of_one_step_works() -> None:
    recorder = trained(small_spec(steps=1, warmup_fraction=0.9))
    assert recorder.last_checkpoint.step == 1 and recorder.values("learning_rate") == [0.2]


def test_the_test_images_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watched(recorder: MemoryRecorder, data: DataSpec, split: Any, *rest: Any) -> Any:
        read.append(split)
        return load_split(data, split, *rest)

    monkeypatch.setattr(train_classifier, "load_split", watched)
    trained(small_spec(steps=2))
    assert sorted(set(read)) == ["train", "validation"]


def test_loading_refuses_other_kinds_and_other_networks() -> None:
    spec = small_spec(steps=1)
    recorder = trained(spec)
    with pytest.raises(UserError, match="'generate'.*'train_classifier'"):
        load_classifier(generated_run(), "best", CPU)
    with pytest.raises(UserError, match="no checkpoint"):
        load_classifier(MemoryInputRun("empty", spec), "best", CPU)
    other = recorder.as_input_run(small_spec(steps=1, network={"channels": (4, 4), "features": 16}))
    with pytest.raises(UserError, match="another network"):
        load_classifier(other, "best", CPU)


def test_a_later_kind_that_holds_a_classifier_is_loaded_like_any(monkeypatch: pytest.MonkeyPatch) -> None:
    class TunedSpec(TrainClassifierSpec):
        kind: Literal["tuned"] = "tuned"  # type: ignore[assignment]

    monkeypatch.setitem(vars(KINDS), "_brought", {"tuned": TunedSpec})
    spec = small_spec(steps=1)
    tuned = TunedSpec.model_validate(spec.model_dump(exclude={"kind"}))
    network, how = load_classifier(trained(spec).as_input_run(tuned), "best", CPU)
    assert how == tuned and network.num_classes == 10


def test_the_state_of_a_checkpoint_is_plain_data_with_the_promised_keys() -> None:
    state = trained(small_spec()).last_checkpoint.state
    assert {"step", "image_shape", "num_classes", "best_robust_accuracy", "optimiser"} <= state.keys()
    assert (state["image_shape"], state["num_classes"], state["step"]) == ([1, 8, 8], 10, 12)
    assert json.loads(json.dumps(state, allow_nan=False)) == state
