"""Intervals of what is shown while a classifier learns, and of what the last weights lost against the best."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from support.feature_networks import denoiser_run
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped
from difrob.jobs.classifier_measures import Measurement, Progress, packed, record_step, report, unpacked
from difrob.jobs.train_classifier import run
from difrob.metrics.intervals import newcombe, newcombe_paired, wilson
from difrob.runs.interface import Checkpoint
from difrob.specs import TrainClassifierSpec
from difrob.training.classifying import StepRecord
from difrob.training.objectives import Terms

CPU = torch.device("cpu")


def spec_of(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 6,
        "batch_size": 20, "validate_every": 2, "validation_attack_steps": 2, "log_every": 1, "checkpoint_every": 2,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


@pytest.fixture(scope="module")
def whole() -> MemoryRecorder:
    recorder = MemoryRecorder(runs={"teacher": denoiser_run()})
    run(spec_of(alignment={"teacher": "denoiser", "denoiser": "teacher"}, steps=8), recorder, CPU)
    return recorder


def test_the_gap_has_the_interval_of_the_result(whole: MemoryRecorder) -> None:
    points, result = whole.metrics["robust_generalisation_gap"], whole.results["robust_generalisation_gap"]
    assert {point.interval for point in points} == {"Newcombe 95 %"} == {result.interval}
    assert (points[-1].value, points[-1].low, points[-1].high) == (result.value, result.low, result.high)
    train, validation = (whole.values(f"{name}/robust_accuracy") for name in ("train", "validation"))
    for point, first, second in zip(points, train, validation, strict=True):
        expected = newcombe(round(first * 60), 60, round(second * 197), 197)
        assert (point.low, point.high) == pytest.approx(tuple(map(float, expected)))


def test_the_success_of_the_attack_has_an_interval_over_the_images_that_were_right(whole: MemoryRecorder) -> None:
    points = whole.metrics["train/attack_success"]
    assert len(points) == 8 and {point.interval for point in points} == {"Wilson 95 %"}
    assert all(0 <= point.low <= point.value <= point.high <= 1 for point in points if point.low is not None)
    for curve in whole.curves["train/attack_success_by_step"]:
        expected = wilson(np.rint(curve.y * 20), 20)
        assert curve.interval == "Wilson 95 %" and curve.low is not None and curve.high is not None
        np.testing.assert_allclose(curve.low, expected.low)
        np.testing.assert_allclose(curve.high, expected.high)


def recorded(flips: tuple[float, float]) -> Any:
    recorder = MemoryRecorder()
    terms = Terms(torch.tensor(1.5), flips=torch.tensor(flips), alignment=torch.tensor(0.25))
    record_step(recorder, 3, StepRecord(terms, torch.tensor(2.0), 20), 0.1, None)
    assert recorder.values("loss") == [1.5] and recorder.values("gradient_norm") == [2.0]
    assert recorder.values("loss/alignment") == [0.25] and recorder.values("alignment/cosine") == [0.75]
    (point,) = recorder.metrics["train/attack_success"]
    return point


def test_the_denominator_is_that_of_the_batch() -> None:
    point = recorded((8, 6))
    assert (point.value, point.low, point.high) == pytest.approx((0.75, *map(float, wilson(6, 8))))
    nothing = recorded((0, 0))
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 1)


def test_the_cosine_is_shown_as_it_is(whole: MemoryRecorder) -> None:
    terms, cosines = whole.values("loss/alignment"), whole.values("alignment/cosine")
    assert cosines == [1 - term for term in terms] and cosines[-1] > cosines[0]


def test_flags_survive_their_digits() -> None:
    for count in (1, 7, 8, 197, 10_000):
        flags = np.random.default_rng(count).random(count) < 0.4
        digits = packed(flags)
        assert len(digits) <= 2500 and np.array_equal(unpacked(digits, count), flags)
    assert packed(np.ones(10_001, dtype=bool)) == ""


def measurement(step: int, flags: np.ndarray, told: bool = True) -> Measurement:
    found = int(flags.sum()), len(flags)
    return Measurement(step, found, found, found, found, packed(flags) if told else "")


def lost(best: np.ndarray, last: np.ndarray, told: bool = True) -> Any:
    progress = Progress()
    for step, flags in enumerate((best, last)):
        progress.take(measurement(step, flags, told))
    assert progress.best is not progress.last or best.sum() <= last.sum()
    recorder = MemoryRecorder()
    report(spec_of(), recorder, progress)
    return recorder.results["robust_overfitting"]


def test_what_was_lost_is_judged_image_by_image() -> None:
    random = np.random.default_rng(0)
    best = random.random(197) < 0.6
    last = best & (random.random(197) < 0.9)
    last[np.flatnonzero(~best)[:2]] = True
    counts = [int(flags.sum()) for flags in (best & last, best & ~last, last & ~best, ~best & ~last)]
    assert counts[2] == 2 and counts[1] > 5
    measure, blind = lost(best, last), lost(best, last, told=False)
    assert measure.interval == "Newcombe 95 %, paired" and measure.n == 197 and measure.unit == "share difference"
    assert (measure.value, measure.low, measure.high) == pytest.approx(
        ((counts[1] - 2) / 197, *map(float, newcombe_paired(*counts)))
    )
    assert blind.interval == "Newcombe 95 %, as if of independent images" and blind.value == pytest.approx(
        measure.value
    )
    assert blind.high - blind.low > 1.5 * (measure.high - measure.low)
    same = lost(best, best)
    assert same.value == 0 and same.low == pytest.approx(-same.high) and same.high < measure.high - measure.low


def test_the_state_of_an_older_version_goes_on(whole: MemoryRecorder) -> None:
    """Without the flags of single images in its checkpoint; the very next best measurement brings them back."""
    spec = spec_of(learning_rate=1e-12, steps=6)
    stopped = MemoryRecorder(stop_at_check=2)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    kept = stopped.last_checkpoint
    state = json.loads(json.dumps(kept.state))
    for which in ("best", "last"):
        assert len(state["progress"][which].pop("robust_flags")) == 2 * -(-197 // 8)
    stopped.checkpoints[:] = [Checkpoint(kept.step, kept.weights, state)]
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    uninterrupted = MemoryRecorder()
    run(spec, uninterrupted, CPU)
    assert resumed.values("validation/robust_accuracy") == uninterrupted.values("validation/robust_accuracy")[1:]
    assert resumed.results["robust_overfitting"] == uninterrupted.results["robust_overfitting"]
    assert resumed.last_checkpoint.state == uninterrupted.last_checkpoint.state
    old = Measurement(**{name: value for name, value in asdict(measurement(1, np.ones(5, bool))).items()
                         if name != "robust_flags"})  # fmt: skip
    assert old.robust_flags == ""
