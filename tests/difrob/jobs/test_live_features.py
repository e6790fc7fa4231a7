"""Features during training: when they are measured, what is recorded, and that unlike ones are not compared silently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryRecorder

from difrob.comparison import result_rows, unlike_conditions, warning_text
from difrob.errors import Stopped
from difrob.jobs.live_features import FEATURES_MEASURED, PICTURE_SIDE, features_are_due
from difrob.jobs.train_classifier import run
from difrob.runs import Progress, RunState, RunSummary
from difrob.specs import TrainClassifierSpec, parse_spec

CPU = torch.device("cpu")
NUMBERS = (
    "effective_rank", "participation_ratio", "alignment_adversarial", "high_frequency_share", "uniformity",
    "autoencoder_loss", "classification_dimension_95",
)  # fmt: skip


def spec_of(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 14,
        "batch_size": 20, "validate_every": 4, "validation_attack_steps": 2, "log_every": 4, "checkpoint_every": 4,
        "measure_features": True, "features_autoencoder_steps": 5,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


def trained(spec: TrainClassifierSpec, recorder: MemoryRecorder | None = None) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder()
    run(spec, recorder, CPU)
    return recorder


@pytest.fixture(scope="module")
def watched() -> MemoryRecorder:
    return trained(spec_of())


def test_an_old_specification_measures_at_every_measurement() -> None:
    old = parse_spec({"kind": "train_classifier", "measure_features": True})
    assert isinstance(old, TrainClassifierSpec) and (old.features_every, old.features_autoencoder_steps) == (1, 100)
    assert all(features_are_due(old, step) for step in (50, 100, 600))
    assert not any(features_are_due(TrainClassifierSpec(), step) for step in (50, 100, 600))


def test_features_are_measured_at_every_nth_measurement_and_at_the_end() -> None:
    spec = spec_of(features_every=3, validate_every=10, steps=95)
    measured = [*range(10, 95, 10), 95]
    assert [step for step in measured if features_are_due(spec, step)] == [10, 40, 70, 95]


def test_numbers_spectrum_and_plane_are_recorded_at_every_measurement(watched: MemoryRecorder) -> None:
    steps = [point.step for point in watched.metrics["validation/robust_accuracy"]]
    assert steps == [4, 8, 12, 14]
    for name in NUMBERS:
        assert [point.step for point in watched.metrics[f"features/{name}"]] == steps, name
    assert all(1 <= rank <= 16 for rank in watched.values("features/effective_rank"))
    curves, sheets = watched.curves["features/feature_spectrum"], watched.pictures["features/feature_plane"]
    assert [curve.step for curve in curves] == [sheet.step for sheet in sheets] == steps
    for curve in curves:
        assert curve.x.tolist() == list(range(1, 17)) and (np.diff(curve.y) <= 0).all()
        assert curve.y.sum() == pytest.approx(1)
    assert sheets[0].images.shape == (2, PICTURE_SIDE, PICTURE_SIDE, 3)
    assert not np.array_equal(sheets[0].images, sheets[-1].images)
    assert sheets[0].captions is not None and sheets[0].captions[1].startswith("under PGD-2 linf 0.15")


def test_watching_changes_nothing_else(watched: MemoryRecorder) -> None:
    plain = trained(spec_of(measure_features=False))
    assert not any(name.startswith("features/") for name in (*plain.metrics, *plain.curves, *plain.pictures))
    assert plain.values("loss") == watched.values("loss")
    assert plain.results == {name: m for name, m in watched.results.items() if not name.startswith("features_")}
    assert FEATURES_MEASURED not in plain.attributes


def test_the_last_numbers_are_results_with_how_many_images_they_rest_on(watched: MemoryRecorder) -> None:
    assert set(watched.results) >= {f"features_{name}" for name in NUMBERS}
    for name in NUMBERS:
        result = watched.results[f"features_{name}"]
        assert result.value == watched.values(f"features/{name}")[-1] and result.n == 197
        assert ", step 14; images: 197 validation images of digits (" in result.sentence
    assert watched.results["features_classification_dimension_95"].unit == "components"


def test_a_resumed_training_measures_the_same(watched: MemoryRecorder) -> None:
    stopped = MemoryRecorder(stop_at_check=9)
    with pytest.raises(Stopped):
        trained(spec_of(), stopped)
    resumed = trained(spec_of(), stopped.resume())
    for name in NUMBERS:
        joined = stopped.metrics[f"features/{name}"] + resumed.metrics[f"features/{name}"]
        assert joined == watched.metrics[f"features/{name}"], name
    assert resumed.attributes[FEATURES_MEASURED] == watched.attributes[FEATURES_MEASURED]


def test_the_conditions_are_stated(watched: MemoryRecorder) -> None:
    facts = watched.attributes[FEATURES_MEASURED]
    assert (facts["images"], facts["fitted_to"], facts["features"], facts["architecture"]) == (197, 60, 16, "small_cnn")
    assert facts["autoencoder"] == {"atoms": 64, "active": 16, "steps": 5, "batch_size": 64, "learning_rate": 0.01}
    stated = watched.results["features_effective_rank"].sentence
    assert f"; images: 197 validation images of digits ({facts['images_digest']}); features: 16 of small_cnn" in stated
    assert stated.endswith(
        "fitted to: 60 training images; dictionary: 64 atoms, 16 active; learning: 5 steps of 64 at 0.01"
    )


def summary(run_id: str, spec: TrainClassifierSpec, recorder: MemoryRecorder) -> RunSummary:
    return RunSummary(
        run_id, spec.kind, run_id, RunState.FINISHED, created=1.0, spec=spec.model_dump(mode="json"),
        results=recorder.results,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        ({"network": {"channels": (4, 8), "features": 12}}, {"features", "dictionary"}),
        ({"network": {"architecture": "vit", "width": 16, "heads": 2, "blocks": 1}}, {"features"}),
        ({"features_autoencoder_steps": 6}, {"learning"}),
        ({"features_autoencoder_steps": 0}, {"dictionary", "learning"}),
        ({"data": {"train_size": 50}}, {"fitted to"}),
        ({"seed": 3, "beta": 1.0}, set()),
    ],
)
def test_unlike_features_are_named_and_leave_accuracies_comparable(
    watched: MemoryRecorder, changes: dict[str, Any], titles: set[str]
) -> None:
    spec = spec_of(steps=1, **changes)
    runs = [summary("a", spec_of(), watched), summary("b", spec, trained(spec))]
    unlike = unlike_conditions(runs)
    assert {item.title for item in unlike} == titles and all(item.concerns for item in unlike)
    warning = warning_text(unlike)
    assert warning.endswith("Their numbers of features in training do not compare.") == bool(titles)
    assert "Their numbers do not compare" not in warning
    rows = {row.name: row for row in result_rows(runs)}
    assert not (titles and any(rows[f"features_{name}"].best for name in NUMBERS if f"features_{name}" in rows))
    assert rows["last_validation_robust_accuracy"].best


def test_other_validation_images_are_told_apart(watched: MemoryRecorder) -> None:
    other = MemoryRecorder()
    other.results = dict(watched.results)
    for name in NUMBERS:
        measured = watched.results[f"features_{name}"]
        conditions = {**measured.conditions, "images": "197 validation images of digits (0123456789ab)"}
        other.results[f"features_{name}"] = replace(measured, conditions=conditions)
    runs = [summary("a", spec_of(), watched), summary("b", spec_of(), other)]
    assert [item.title for item in unlike_conditions(runs)] == ["images"]
    assert "(0123456789ab)" in warning_text(unlike_conditions(runs))


@pytest.mark.parametrize(("done", "warned"), [(14, True), (4, False)])
def test_a_training_that_stated_nothing_is_told_from_one_that_does(
    watched: MemoryRecorder, done: int, warned: bool
) -> None:
    """Not while it may be at its first measurement."""
    silent = replace(summary("b", spec_of(), MemoryRecorder()), progress=Progress(done, 14))
    unlike = unlike_conditions([summary("a", spec_of(), watched), silent])
    assert [item.sentence for item in unlike] == (["conditions of features (stated · not stated)"] if warned else [])
    assert all(item.concerns for item in unlike)
    assert not unlike_conditions([silent, replace(silent, run_id="c")])


@pytest.mark.parametrize(
    ("attack", "title"),
    [
        ({"steps": 2, "step_size": 0.01}, "attack step size"),
        ({"steps": 2, "random_start": False}, "random start of the attack"),
    ],
)
def test_another_attack_on_the_validation_images_is_told_of_all_numbers(attack: dict[str, Any], title: str) -> None:
    runs = [
        RunSummary(name, "train_classifier", name, RunState.FINISHED, created=1.0, spec=spec.model_dump(mode="json"))
        for name, spec in (("a", spec_of()), ("b", spec_of(attack=attack)))
    ]
    unlike = unlike_conditions(runs)
    assert [item.title for item in unlike] == [title]
    assert warning_text(unlike).endswith("Their numbers do not compare.")
