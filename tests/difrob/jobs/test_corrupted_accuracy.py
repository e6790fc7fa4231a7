"""``evaluate`` on corrupted images: accuracy by corruption and severity, exact resume, bounded memory, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from support.corrupted_digits import corrupted_digits, write_corrupted
from support.data_files import some_images
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.small_classifiers import small_classifier
from support.trained_runs import trained_run

from difrob.data.adding import add_data_set
from difrob.data.corrupted_splits import open_corrupted
from difrob.errors import Stopped, UserError
from difrob.jobs import corrupted_accuracy, per_image
from difrob.jobs.evaluate import run
from difrob.jobs.micro_batches import sampling_pieces
from difrob.metrics.intervals import wilson
from difrob.nets.storage import pack, unpack
from difrob.runs.datasets import DataSetRecord, DataSets
from difrob.specs import EvaluateSpec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
COUNT = 60
ARRAYS = corrupted_digits(COUNT)
TRAINING = small_classifier(steps=60)


@pytest.fixture(scope="module")
def classifier() -> MemoryInputRun:
    return trained_run(TRAINING, "classifier")


@pytest.fixture(scope="module")
def digits_c(tmp_path_factory: pytest.TempPathFactory) -> DataSetRecord:
    folder = tmp_path_factory.mktemp("corrupted")
    return add_data_set(DataSets(folder / "sets"), write_corrupted(folder / "Digits-C", ARRAYS), name="digits-c")


def spec_of(**changes: Any) -> EvaluateSpec:
    values: dict[str, Any] = {
        "classifier": "classifier", "images": 30, "attack": {"eps": 0.06, "steps": 2}, "restarts": 1, "batch_size": 25,
        "sanity_checks": False, "corruptions": "digits-c",
    }  # fmt: skip
    return EvaluateSpec(**{**values, **changes})


def recorder_of(classifier: MemoryInputRun, *records: DataSetRecord, **arguments: Any) -> MemoryRecorder:
    known = {record.name: record for record in records}
    return MemoryRecorder(runs={"classifier": classifier}, data_sets=known, **arguments)


def evaluated(classifier: MemoryInputRun, *records: DataSetRecord, **changes: Any) -> MemoryRecorder:
    recorder = recorder_of(classifier, *records)
    run(spec_of(**changes), recorder, CPU)
    return recorder


def verdicts(classifier: MemoryInputRun, corruption: str) -> np.ndarray:
    """What the classifier makes of the original arrays, bool [5, COUNT]."""
    network, _ = load_classifier(classifier, "best", CPU)
    images = torch.from_numpy(ARRAYS[corruption].astype(np.float32) / 255).permute(0, 3, 1, 2)
    return (network(images).argmax(1).numpy() == ARRAYS["labels"]).reshape(5, COUNT)


def test_accuracy_by_corruption_and_severity(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    recorder = evaluated(classifier, digits_c)
    found = {name: verdicts(classifier, name) for name in ("brightness", "gaussian_noise")}
    assert set(recorder.curves) == {
        "robust_accuracy_over_eps", "mean_corruption_accuracy_over_severity",
        *(f"corruption/{name}_accuracy_over_severity" for name in found),
    }  # fmt: skip
    for name, right in found.items():
        curves = recorder.curves[f"corruption/{name}_accuracy_over_severity"]
        assert [len(curve.x) for curve in curves] == [1, 2, 3, 4, 5]
        last, band = curves[-1], wilson(right.sum(axis=1), COUNT)
        assert last.x.tolist() == [1, 2, 3, 4, 5] and last.interval == "Wilson 95 %"
        assert last.y == pytest.approx(right.mean(axis=1))
        assert last.low == pytest.approx(band.low) and last.high == pytest.approx(band.high)
        assert name.replace("_", " ") in last.x_label
        assert recorder.attributes["corruption_counts"]["right_by_severity"][name] == right.sum(axis=1).tolist()
        assert recorder.results[f"corruption/{name}_accuracy"].value == pytest.approx(right.mean())
    noisy = recorder.curves["corruption/gaussian_noise_accuracy_over_severity"][-1].y
    assert noisy[0] > noisy[-1] + 0.1, "severities come from mild to severe"


def test_the_mean_has_an_interval_over_images(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    """Versions of one image are not independent of each other, so an image counts once, with its share."""
    recorder = evaluated(classifier, digits_c)
    right = np.stack([verdicts(classifier, name) for name in ("brightness", "gaussian_noise")])
    shares = right.mean(axis=(0, 1))
    mean = recorder.results["mean_corruption_accuracy"]
    assert (mean.value, mean.n, mean.interval) == (pytest.approx(right.mean()), COUNT, "Student t 95 %")
    expected = stats.t.interval(0.95, COUNT - 1, shares.mean(), stats.sem(shares))
    assert (mean.low, mean.high) == pytest.approx(expected)
    curve = recorder.curves["mean_corruption_accuracy_over_severity"][-1]
    assert curve.y == pytest.approx(right.mean(axis=(0, 2))) and "2 corruptions" in curve.x_label
    conditions = mean.conditions
    assert conditions["corrupted_set"] == "digits-c" and conditions["corruptions"] == "brightness, gaussian_noise"
    assert conditions["corrupted_images"] == "60 images in 5 severities" and conditions["digest"] == digits_c.digest
    assert "unattacked" in mean.sentence


def test_the_attack_is_as_without_corruptions(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    recorder = evaluated(classifier, digits_c, sanity_checks=True)
    plain = evaluated(classifier, corruptions=None, sanity_checks=True)
    for name, column in plain.columns().items():
        assert np.array_equal(recorder.column(name), column), name
    assert {name: recorder.results[name] for name in plain.results} == plain.results
    assert not any("corruption" in name for name in {**plain.results, **plain.curves, **plain.attributes})
    assert recorder.progressed[0] == (0, 30 + 2 * 5 * COUNT, "images")
    assert recorder.progressed[-1] == (630, 630, "images") and plain.progressed[-1] == (30, 30, "images")


def test_fewer_images_and_the_extra_corruptions(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    recorder = evaluated(classifier, digits_c, corruption_images=20, corruption_extras=True)
    counts = recorder.attributes["corruption_counts"]
    assert counts["images"] == 20
    assert list(counts["right_by_severity"]) == ["brightness", "gaussian_noise", "speckle_noise"]
    for name, right in counts["right_by_severity"].items():
        assert right == verdicts(classifier, name)[:, :20].sum(axis=1).tolist()
    assert recorder.results["mean_corruption_accuracy"].n == 20


def test_a_single_image_has_no_interval(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    recorder = evaluated(classifier, digits_c, corruption_images=1)
    mean = recorder.results["mean_corruption_accuracy"]
    assert mean.n == 1 and mean.low is None and 0 <= mean.value <= 1
    assert recorder.curves["mean_corruption_accuracy_over_severity"][-1].low is None


@pytest.mark.parametrize("stop_after", [0, 1, 4, 17])
def test_an_interrupted_run_goes_on_where_it_stopped(
    classifier: MemoryInputRun, digits_c: DataSetRecord, stop_after: int
) -> None:
    spec = spec_of(sanity_checks=True)
    whole = recorder_of(classifier, digits_c)
    run(spec, whole, CPU)
    attack_checks = evaluated(classifier, corruptions=None).checks
    stopped = recorder_of(classifier, digits_c, stop_at_check=attack_checks + stop_after)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    batches_per_split = 3
    done = stop_after // batches_per_split * COUNT + stop_after % batches_per_split * 25
    assert stopped.last_checkpoint.step == 30 + done
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    assert resumed.progressed[0] == (30, 630, "images") and resumed.progressed[1][0] > 30 + done
    assert resumed.results == whole.results and resumed.attributes == whole.attributes
    for name, column in whole.columns().items():
        assert np.array_equal(resumed.column(name), column), name
    for name in ("mean_corruption_accuracy_over_severity", "corruption/gaussian_noise_accuracy_over_severity"):
        assert np.array_equal(resumed.curves[name][-1].y, whole.curves[name][-1].y)


def test_stopped_in_the_masking_checks_the_verdicts_are_kept(
    classifier: MemoryInputRun, digits_c: DataSetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    whole = recorder_of(classifier, digits_c)
    run(spec_of(sanity_checks=True), whole, CPU)
    stopped = recorder_of(classifier, digits_c, stop_at_check=whole.checks - 1)
    with pytest.raises(Stopped):
        run(spec_of(sanity_checks=True), stopped, CPU)
    assert stopped.last_checkpoint.step == 630
    assert len(unpack(stopped.last_checkpoint.weights)["beside"]["right_when_corrupted"]) == 600
    resumed = stopped.resume()
    run(spec_of(sanity_checks=True), resumed, CPU)
    assert resumed.results == whole.results


def test_no_more_than_a_batch_is_read_at_once(
    classifier: MemoryInputRun, digits_c: DataSetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    as_float = corrupted_accuracy.as_float

    def watched(images: np.ndarray, device: Any) -> torch.Tensor:
        assert isinstance(images, np.memmap), "a slice of the file, not a copy of it"
        read.append(len(images))
        return as_float(images, device)

    monkeypatch.setattr(corrupted_accuracy, "as_float", watched)
    evaluated(classifier, digits_c)
    assert max(read) <= 25 and sum(read) == 2 * 5 * COUNT


def test_what_does_not_fit_is_refused_before_any_work(
    classifier: MemoryInputRun, digits_c: DataSetRecord, tmp_path: Path
) -> None:
    sets = DataSets(tmp_path / "sets")

    def added(name: str, arrays: dict[str, np.ndarray], **options: Any) -> DataSetRecord:
        return add_data_set(sets, write_corrupted(tmp_path / name, arrays), name=name, **options)

    colours = {"labels": np.tile(np.arange(10), 5), "fog": some_images(50, (32, 32, 3))[0]}
    nine = {name: array[ARRAYS["labels"] != 9] for name, array in ARRAYS.items()}
    cases: list[tuple[DataSetRecord, dict[str, Any], str]] = [
        (digits_c, {"corruptions": "elsewhere"}, "there is no data set 'elsewhere'"),
        (digits_c, {"corruptions": "digits"}, "'digits' has no splits of corruptions in 5 severities"),
        (digits_c, {"corruptions": "toy-ring"}, "'toy-ring' has no splits of corruptions"),
        (digits_c, {"corruption_images": 61}, "corruption_images = 61 is more than the 60 images"),
        (added("colours", colours), {}, "32x32 pixels of 3 channels, those of the classifier 8x8 pixels of 1 channel"),
        (added("nine", nine), {}, r"the classes of 'nine' \(0, 1, .*8\) are not those of the classifier \(0, 1, .*9\)"),
        (added("turned", ARRAYS, classes=[*"1023456789"]), {"corruptions": "turned"}, r"'turned' \(1, 0, 2"),
    ]  # fmt: skip
    for record, changes, sentence in cases:
        recorder = recorder_of(classifier, record)
        with pytest.raises(UserError, match=sentence):
            run(spec_of(**{"corruptions": record.name, **changes}), recorder, CPU)
        assert not (recorder.progressed or recorder.columns() or recorder.curves or recorder.results), sentence


def test_classes_without_names_are_taken_by_number(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    """A folder like CIFAR-10-C names no classes; their numbers are those of the data set that was learnt."""
    named = replace(digits_c, name="named", class_names=[f"digit {number}" for number in range(10)])
    recorder = evaluated(classifier, named, corruptions="named", corruption_images=5)
    assert recorder.results["mean_corruption_accuracy"].n == 5


def test_a_diverged_classifier_is_refused(classifier: MemoryInputRun, digits_c: DataSetRecord) -> None:
    """The attack finds out first, unless only corrupted images are out of the classifier's range."""
    checkpoint = classifier.checkpoint("best")
    parts = unpack(checkpoint.weights)
    parts["average"]["head.bias"][0] = float("inf")
    broken = type(checkpoint)(checkpoint.step, pack(**parts), checkpoint.state)
    recorder = recorder_of(MemoryInputRun("classifier", TRAINING, last=broken), digits_c)
    network, _ = load_classifier(recorder.runs["classifier"], "best", CPU)
    corrupted, table = open_corrupted(digits_c), per_image.ResultTable(recorder, range(0))
    accuracy = corrupted_accuracy.CorruptedAccuracy(
        network, corrupted, recorder, CPU, table, sampling_pieces(recorder, 8)
    )
    with pytest.raises(UserError, match="not finite on corrupted images"):
        accuracy.measure(8, len(corrupted))
