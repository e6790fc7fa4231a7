"""The measurement job on digits: sets whose numbers are known, resuming, independence of batches, refusals."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs import measure, train_classifier
from difrob.metrics.frechet import frechet_measure
from difrob.metrics.memorisation import nearest_neighbours
from difrob.specs import DataSpec, GenerateSpec, MeasureSpec, TrainClassifierSpec, TrainDenoiserSpec
from difrob.specs.diffusion_parts import SelectionSpec

CPU = torch.device("cpu")
DATA = DataSpec(train_size=200)
EVERYTHING = (
    "frechet", "kernel", "precision_recall", "density_coverage", "memorisation", "duplicates", "label_agreement",
)  # fmt: skip


def set_run(images: np.ndarray, labels: np.ndarray, run_id: str = "set") -> MemoryInputRun:
    arrays = {"images": images, "label": labels, "index": np.arange(len(images), dtype=np.int64)}
    return MemoryInputRun(
        run_id, GenerateSpec(denoiser="model"),
        arrays={f"samples/{name}": column for name, column in arrays.items()},
    )  # fmt: skip


def honest_set() -> MemoryInputRun:
    """Real digits that are in none of the splits that are looked at: a perfect generator."""
    rest = load_split(DataSpec(), "train", apply_subset=False)
    known = set(load_split(DATA, "train").indices.tolist())
    fresh = rest.take(np.array([row for row, index in enumerate(rest.indices) if int(index) not in known]))
    return set_run(fresh.images[:500], fresh.labels[:500])


@lru_cache
def judge(**changes: Any) -> MemoryInputRun:
    values = {"objective": "standard", "steps": 100, "batch_size": 64, "validate_every": 100, "learning_rate": 0.1,
              "validation_attack_steps": 1}  # fmt: skip
    spec = TrainClassifierSpec(**{**values, **changes})
    recorder = MemoryRecorder()
    train_classifier.run(spec, recorder, CPU)
    return recorder.as_input_run(spec, "judge")


def runs_of(generated: MemoryInputRun, *more: MemoryInputRun) -> dict[str, MemoryInputRun]:
    model = MemoryInputRun("model", TrainDenoiserSpec(data=DATA))
    return {run.run_id: run for run in (model, generated, *more)}


def measured(generated: MemoryInputRun, *more: MemoryInputRun, **changes: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(runs=runs_of(generated, *more))
    measure.run(MeasureSpec(generated=generated.run_id, **changes), recorder, CPU)
    return recorder


def test_real_digits_pass_for_real() -> None:
    recorder = measured(honest_set(), judge(), classifier="judge", measures=EVERYTHING, batch_size=170)
    found = {name: result.value for name, result in recorder.results.items()}
    assert found["frechet_distance"] < 0.2 and abs(found["kernel_distance"]) < 0.001
    assert found["precision"] > 0.8 and found["recall"] > 0.8
    assert 0.8 < found["density"] < 1.2 and found["coverage"] > 0.8
    assert found["memorised_share"] == found["near_copy_share"] == found["duplicate_share"] == 0
    ratio, copying = recorder.results["training_to_held_out_ratio"], recorder.results["copying_probability"]
    assert ratio.low < 1 < ratio.high and 0.43 < copying.value < 0.57
    assert recorder.results["label_agreement"].value > 0.9
    for name, result in recorder.results.items():
        assert result.n and result.interval and result.low <= result.value <= result.high, name
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        digest = recorder.attributes["extractor"]["digest"]
        features = f"features: pca of 600 test images of digits ({digest}), 32 features"
        assert "; generated: 500 images; reference: 600 test images of digits; " in recorder.results[name].sentence
        assert features in recorder.results[name].sentence
    assert "classifier: classifier of run judge, best weights (" in recorder.results["label_agreement"].sentence
    assert recorder.progressed[-1] == (1100, 1100, "images") and recorder.parents[:2] == ["set", "model"]
    assert recorder.attributes["images"]["training"] == 200


def test_curves_pictures_and_rows_say_where_numbers_come_from() -> None:
    generated = honest_set()
    recorder = measured(generated, judge(), classifier="judge", measures=("memorisation", "label_agreement"))
    training, test = load_split(DATA, "train"), load_split(DATA, "test")
    nearest = nearest_neighbours(generated.array("samples/images"), training.images)
    np.testing.assert_array_equal(recorder.column("training_row"), nearest.index)
    np.testing.assert_array_equal(recorder.column("training_distance"), nearest.distance)
    (mine,), (theirs,) = (recorder.curves[f"distance_to_training_{name}"] for name in ("generated", "held_out_test"))
    held_out = nearest_neighbours(test.images, training.images).distance
    for curve, distances in ((mine, nearest.distance), (theirs, held_out)):
        np.testing.assert_allclose(curve.y, [(distances <= x).mean() for x in curve.x])
        assert curve.y[-1] == 1 and (curve.low <= curve.y).all() and (curve.y <= curve.high).all()
    (sheet,) = recorder.pictures["nearest_training"]
    order = np.argsort(nearest.distance, kind="stable")[:24]
    np.testing.assert_array_equal(sheet.images[::2], generated.array("samples/images")[order])
    np.testing.assert_array_equal(sheet.images[1::2], training.images[nearest.index[order]])
    assert all(caption.endswith(": neither") for caption in sheet.captions[::2])
    labels, seen = recorder.column("label"), recorder.column("prediction")
    (by_class,) = recorder.curves["label_agreement_by_class"]
    np.testing.assert_allclose(by_class.y, [(seen[labels == k] == k).mean() for k in range(10)])
    assert recorder.results["label_agreement_class_3"].n == int((labels == 3).sum())
    wrong = np.flatnonzero(labels != seen)
    (sheet,) = recorder.pictures["disagreements"]
    np.testing.assert_array_equal(sheet.images, generated.array("samples/images")[wrong[:48]])
    assert sheet.captions[0] == f"label {labels[wrong[0]]}, seen as {seen[wrong[0]]}"
    assert recorder.values("label_agreement")[-1] == recorder.results["label_agreement"].value
    assert "frechet_distance" not in recorder.results and "squared_radius" not in recorder.columns()


def copying_set() -> MemoryInputRun:
    """120 digits: 60 training images with one grey level changed, 30 of them drawn twice, 30 nearly twice."""
    training = load_split(DATA, "train")
    images = training.images[:60].copy()
    images[:, 0, 0] ^= 1
    nearly = images[30:].copy()
    nearly[:, 7, 7] ^= 1
    everything = np.concatenate([images, images[:30], nearly])
    return set_run(everything, np.concatenate([training.labels[:60], training.labels[:60]]))


def test_copies_and_repetitions_are_found_and_shown() -> None:
    recorder = measured(copying_set(), measures=("memorisation", "duplicates"))
    found = {name: result.value for name, result in recorder.results.items()}
    assert found["memorised_share"] == found["near_copy_share"] == 1
    assert found["duplicate_share"] == 30 / 120 and found["near_duplicate_share"] == 60 / 120
    assert found["training_to_held_out_ratio"] < 0.05 and found["copying_probability"] == 1
    assert recorder.column("earlier_row")[60:].tolist() == list(range(60))
    (sheet,) = recorder.pictures["duplicates"]
    assert len(sheet.images) == 48 and np.array_equal(sheet.images[::2], sheet.images[1::2])
    label = load_split(DATA, "train").labels[0]
    assert sheet.captions[:2] == [f"generated {label}, image 60", f"generated {label}, image 0, at distance 0.000"]
    (sheet,) = recorder.pictures["nearest_training"]
    assert all(caption.endswith(": copy, memory") for caption in sheet.captions[::2])
    near = measured(copying_set(), measures=("duplicates",), near_copy=0.0)
    assert near.results["near_duplicate_share"].value == 30 / 120


def test_the_batch_size_changes_nothing() -> None:
    whole = measured(honest_set(), batch_size=500)
    for size in (33, 499):
        pieces = measured(honest_set(), batch_size=size)
        assert pieces.results.keys() == whole.results.keys()
        for name, result in whole.results.items():
            found = pieces.results[name]
            assert (found.value, found.low, found.high) == pytest.approx((result.value, result.low, result.high)), name
        for name, column in whole.columns().items():
            np.testing.assert_array_equal(pieces.column(name), column, err_msg=name)


@pytest.mark.parametrize("stop_at", [2, 12, 20, 27, 40])
def test_a_resumed_run_ends_as_an_uninterrupted_one(stop_at: int) -> None:
    """Stopped among features, in the middle of the rows, and among the distances that come last."""
    spec = MeasureSpec(generated="set", classifier="judge", measures=EVERYTHING, batch_size=170)
    whole = MemoryRecorder(runs=runs_of(honest_set(), judge()))
    measure.run(spec, whole, CPU)
    assert whole.checks > 40
    stopped = MemoryRecorder(runs=whole.runs, stop_at_check=stop_at)
    with pytest.raises(Stopped):
        measure.run(spec, stopped, CPU)
    resumed = stopped.resume()
    measure.run(spec, resumed, CPU)
    assert resumed.results == whole.results
    for name, column in whole.columns().items():
        np.testing.assert_array_equal(resumed.column(name), column, err_msg=name)
    for name, (sheet,) in whole.pictures.items():
        assert np.array_equal(resumed.pictures[name][-1].images, sheet.images)


@pytest.mark.parametrize(("extractor", "features"), [("pixels", 64), ("classifier", 128)])
def test_other_features_are_named(extractor: str, features: int) -> None:
    generated = honest_set()
    recorder = measured(generated, judge(), classifier="judge", extractor=extractor, measures=("frechet",), images=300)
    assert recorder.attributes["extractor"]["features"] == features
    result = recorder.results["frechet_distance"]
    assert f", {features} features" in result.sentence and result.n == 300
    if extractor == "pixels":
        flat = [images.reshape(len(images), -1) / 255 for images in (generated.array("samples/images")[:300],
                                                                     load_split(DATA, "test").images)]  # fmt: skip
        assert result.value == pytest.approx(frechet_measure(*flat).value)


def test_references_are_balanced_parts_of_their_split() -> None:
    for split, available in (("train", 200), ("validation", 197)):
        recorder = measured(honest_set(), measures=("precision_recall",), reference=split, reference_images=100)
        assert recorder.attributes["images"]["reference"] == {"split": split, "images": 100}
        assert recorder.results["recall"].n == 100
        with pytest.raises(
            UserError, match=f"reference_images = 201 is more than the {available} in the {split} images"
        ):
            measured(honest_set(), reference=split, reference_images=201)


def test_a_classifier_that_learnt_from_the_set_cannot_judge_it() -> None:
    generated = honest_set()
    trained_on_it = MemoryInputRun(
        "judge", TrainClassifierSpec(generated="set"), last=judge().checkpoint("last"), best=judge().checkpoint("best")
    )
    with pytest.raises(UserError, match="'judge' was trained on the set 'set', so it cannot judge its labels"):
        measured(generated, trained_on_it, classifier="judge", measures=("label_agreement",))
    recorder = measured(generated, trained_on_it, classifier="judge", extractor="classifier", measures=("kernel",))
    assert recorder.notes == [
        ("warning", "the classifier 'judge' was trained on the set that its features measure; distances are too small")
    ]


def test_a_classifier_that_chose_the_images_cannot_judge_them() -> None:
    chosen = MemoryInputRun(
        "set", GenerateSpec(denoiser="model", selection=SelectionSpec(keep_share=0.5, judge="judge")),
        arrays={f"samples/{name}": honest_set().array(f"samples/{name}") for name in ("images", "label", "index")},
    )  # fmt: skip
    with pytest.raises(UserError, match="the set 'set' was made with the classifier 'judge'"):
        measured(chosen, judge(), classifier="judge", measures=("label_agreement",))


def test_a_classifier_that_learnt_from_a_sister_set_may_judge_with_a_warning() -> None:
    generated, sister = honest_set(), set_run(honest_set().array("samples/images"), np.zeros(500, np.int64), "sister")
    related = MemoryInputRun("judge", TrainClassifierSpec(generated="sister"), last=judge().checkpoint("last"))
    recorder = measured(generated, related, sister, classifier="judge", measures=("label_agreement",))
    assert [level for level, _ in recorder.notes] == ["warning"]
    assert "was trained on images of the denoiser 'model', too" in recorder.notes[0][1]
    recorder = measured(generated, related, classifier="judge", measures=("label_agreement",))
    assert (
        "run 'sister' cannot be read, so whether the classifier is independent cannot be told" in recorder.notes[0][1]
    )


def test_a_classifier_without_a_task_is_mentioned() -> None:
    recorder = measured(honest_set(), judge(), classifier="judge", measures=("duplicates",))
    assert recorder.notes[0][1].startswith("the classifier has nothing to do")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 30}, "30 generated images cannot tell the covariance of 32 features: .* needs more than 32"),
        ({"reference_images": 20}, "20 reference images cannot tell the covariance of 32 features"),
        ({"images": 100, "extractor": "classifier"}, "100 generated images cannot tell the covariance of 128 features"),
        ({"images": 501}, "images = 501 is more than the 500 in the set 'set'"),
        ({"kernel_subset": 251}, "kernel_subset = 251 leaves no two disjoint subsets .* lower it to 250"),
        ({"neighbours": 500}, "neighbours = 500 asks for more neighbours than 500 generated images can have"),
        ({"components": 65}, "components = 65, but the 600 reference images vary in 57 directions only"),
    ],
)
def test_too_small_sets_are_refused_before_any_work(changes: dict[str, Any], message: str) -> None:
    recorder = MemoryRecorder(runs=runs_of(honest_set(), judge()))
    with pytest.raises(UserError, match=message):
        measure.run(MeasureSpec(generated="set", classifier="judge", **changes), recorder, CPU)
    assert not recorder.columns() and not recorder.results
    assert recorder.checks == 0 or "components" in changes


def test_runs_that_do_not_fit_are_refused() -> None:
    empty = set_run(np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64))
    with pytest.raises(UserError, match="there is nothing in the set 'set'; finish the run first"):
        measured(empty)
    with pytest.raises(UserError, match=r"images of shape \[4, 4, 1\], the data set 'digits' of \[8, 8, 1\]"):
        measured(set_run(np.zeros((9, 4, 4, 1), np.uint8), np.zeros(9, np.int64)))
    with pytest.raises(
        UserError, match="of kind 'train_denoiser'; a run of kind 'generate' or 'import_images' is needed"
    ):
        measured(MemoryInputRun("set", TrainDenoiserSpec()))
    strange = set_run(honest_set().array("samples/images"), np.full(500, 10, np.int64))
    with pytest.raises(UserError, match="knows 10 classes of 'digits'"):
        measured(strange, judge(), classifier="judge", measures=("label_agreement",))
    with pytest.raises(
        UserError, match="denoiser that learnt from 'digits', not from 'elsewhere'; leave 'dataset' empty"
    ):
        measured(honest_set(), dataset="elsewhere")
    runs = {**runs_of(honest_set()), "model": MemoryInputRun("model", GenerateSpec(denoiser="x"))}
    with pytest.raises(UserError, match="'model', from which the set was drawn, is of kind 'generate'"):
        measure.run(MeasureSpec(generated="set"), MemoryRecorder(runs=runs), CPU)
