"""Measuring a set that came from files: the numbers of a generated set, and what such a set cannot tell by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.data import as_float
from difrob.data.adding import add_data_set
from difrob.errors import Stopped, UserError
from difrob.jobs import import_images, measure, train_classifier
from difrob.runs import Workspace
from difrob.runs.workspace import data_set_users
from difrob.specs import (
    DataSpec,
    GenerateSpec,
    ImportImagesSpec,
    MeasureSpec,
    TrainClassifierSpec,
    TrainDenoiserSpec,
    input_runs,
)
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
EVERYTHING = (
    "frechet", "kernel", "precision_recall", "density_coverage", "memorisation", "duplicates", "label_agreement",
)  # fmt: skip


def some_digits() -> tuple[np.ndarray, np.ndarray]:
    """150 digits: 100 that no training has seen, 30 copies of training images, and the first 20 once more."""
    fresh, known = load_split(DataSpec(), "validation"), load_split(DataSpec(), "train")
    images = np.concatenate([fresh.images[:100], known.images[:30], fresh.images[:20]])
    labels = np.concatenate([fresh.labels[:100], known.labels[:30], fresh.labels[:20]])
    return images, labels


def imported(path: Path, run_id: str = "set", **arrays: np.ndarray) -> MemoryInputRun:
    """What ``import_images`` makes of an .npz file with these arrays, or else with the digits above."""
    images, labels = some_digits()
    np.savez(path, **{"image": images, "label": labels, **arrays})
    spec, recorder = ImportImagesSpec(paths=(str(path),)), MemoryRecorder()
    import_images.run(spec, recorder, CPU)
    return recorder.as_input_run(spec, run_id)


@pytest.fixture
def digits(tmp_path: Path) -> MemoryInputRun:
    return imported(tmp_path / "digits.npz")


@pytest.fixture(scope="module")
def trained() -> Callable[..., MemoryInputRun]:
    """A classifier as if it had been trained as asked; it was trained on real images alone."""
    values: dict[str, Any] = {
        "objective": "standard", "steps": 60, "batch_size": 64, "validate_every": 60, "learning_rate": 0.1,
        "validation_attack_steps": 1, "network": {"channels": (8, 16), "features": 16},
    }  # fmt: skip
    recorder = MemoryRecorder()
    train_classifier.run(TrainClassifierSpec(**values), recorder, CPU)
    kept = recorder.checkpoints[-1]
    return lambda **changes: MemoryInputRun("judge", TrainClassifierSpec(**{**values, **changes}), last=kept, best=kept)


def measured(
    *runs: MemoryInputRun, recorder: MemoryRecorder | None = None, data_sets: Any = None, **changes: Any
) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder(runs={run.run_id: run for run in runs}, data_sets=data_sets)
    values = {
        "generated": "set",
        "dataset": "digits",
        "batch_size": 60,
        "kernel_subset": 50,
        "components": 16,
        **changes,
    }
    measure.run(MeasureSpec(**values), recorder, CPU)
    return recorder


def test_the_numbers_are_those_of_a_generated_set(digits: MemoryInputRun, trained: Any) -> None:
    found = measured(digits, trained(), classifier="judge", measures=EVERYTHING)
    generated = MemoryInputRun(
        "set", GenerateSpec(denoiser="model"),
        arrays={f"samples/{name}": digits.array(f"samples/{name}") for name in ("images", "label", "index")},
    )  # fmt: skip
    model = MemoryInputRun("model", TrainDenoiserSpec())
    expected = measured(generated, model, trained(), classifier="judge", measures=EVERYTHING, dataset=None)
    assert found.results == expected.results and len(found.results) > 10
    for column, rows in expected.columns().items():
        np.testing.assert_array_equal(found.column(column), rows, err_msg=column)
    assert found.parents[0] == "set" and "model" not in found.parents
    assert found.attributes["data_sets"].keys() == {"digits"}
    assert found.attributes["images"]["training"] == 1000


def test_they_are_right(digits: MemoryInputRun, trained: Any) -> None:
    images, labels = some_digits()
    recorder = measured(digits, trained(), classifier="judge", measures=EVERYTHING)
    found = {name: result.value for name, result in recorder.results.items()}
    assert found["duplicate_share"] == 20 / 150
    copies = [(images[row] == load_split(DataSpec(), "train").images).all(axis=(1, 2, 3)).any() for row in range(150)]
    assert sum(copies) == 30 and (recorder.column("training_distance") == 0).tolist() == copies
    classifier, _ = load_classifier(trained(), "best", CPU)
    with torch.no_grad():
        seen = classifier(as_float(images, CPU)).argmax(1).numpy()
    assert found["label_agreement"] == pytest.approx((seen == labels).mean())
    pixels = measured(digits, measures=("frechet",), extractor="pixels").results["frechet_distance"].value
    ours, theirs = (part.reshape(len(part), -1) / 255 for part in (images, load_split(DataSpec(), "test").images))
    ours_spread, theirs_spread = (np.cov(part, rowvar=False) for part in (ours, theirs))
    roots = np.sqrt(np.linalg.eigvals(ours_spread @ theirs_spread).real.clip(0))
    apart = np.square(ours.mean(0) - theirs.mean(0)).sum()
    assert pixels == pytest.approx(apart + np.trace(ours_spread + theirs_spread) - 2 * roots.sum(), rel=1e-6)


def test_what_is_not_known_of_it_is_said(digits: MemoryInputRun, trained: Any) -> None:
    notes = measured(digits, trained(), classifier="judge", measures=("memorisation", "label_agreement")).notes
    assert [level for level, _ in notes] == ["info", "warning"]
    assert "what its generator learnt from is not known here" in notes[0][1]
    assert "among all 1000 training images of 'digits'" in notes[0][1]
    assert (
        "whether the classifier 'judge', or what that learnt from, had a part in making it cannot be told"
        in notes[1][1]
    )
    assert not measured(digits, measures=("duplicates", "frechet")).notes


@pytest.mark.parametrize("stop_at", [1, 6, 12])
def test_a_resumed_measurement_ends_as_an_uninterrupted_one(digits: MemoryInputRun, stop_at: int) -> None:
    whole = measured(digits, batch_size=40)
    assert whole.checks > 12
    stopped = MemoryRecorder(runs=whole.runs, stop_at_check=stop_at)
    with pytest.raises(Stopped):
        measured(recorder=stopped, batch_size=40)
    assert measured(recorder=stopped.resume(), batch_size=40).results == whole.results


def test_a_classifier_that_learnt_from_it_cannot_judge_it(tmp_path: Path, digits: MemoryInputRun, trained: Any) -> None:
    with pytest.raises(UserError, match="'judge' was trained on the set 'set', so it cannot judge its labels"):
        measured(digits, trained(generated="set"), classifier="judge", measures=("label_agreement",))
    again = imported(tmp_path / "digits.npz", "again")
    with pytest.raises(UserError, match=r"trained on 'again', which was read from '.*digits.npz' like the set 'set'"):
        measured(digits, again, trained(generated="again"), classifier="judge", measures=("label_agreement",))
    other = imported(tmp_path / "other.npz", "other")
    recorder = measured(digits, other, trained(generated="other"), classifier="judge", measures=("label_agreement",))
    assert "label_agreement" in recorder.results
    recorder = measured(
        digits, trained(generated="set"), classifier="judge", extractor="classifier", measures=("kernel",)
    )
    assert "was trained on the set that its features measure" in recorder.notes[0][1]


def test_what_cannot_be_measured_is_refused_before_any_work(tmp_path: Path, digits: MemoryInputRun) -> None:
    points = "'toy-ring' are points, of which only diffusion models learn"
    for dataset, message in (
        (None, "the set 'set' was imported, .*; name their data set in 'dataset'"), ("", "name their data set in 'dataset'"),
        ("elsewhere", "there is no data set 'elsewhere'"), ("no/name", "there is no data set 'no/name'"), ("toy-ring", points),
    ):  # fmt: skip
        recorder = MemoryRecorder(runs={"set": digits})
        with pytest.raises(UserError, match=message):
            measured(recorder=recorder, dataset=dataset)
        assert recorder.checks == 0 and not recorder.results and not recorder.columns()
    images, labels = some_digits()
    with pytest.raises(UserError, match=r"images of shape \[8, 8, 3\], the data set 'digits' of \[8, 8, 1\]"):
        measured(imported(tmp_path / "colour.npz", image=images.repeat(3, axis=3)))
    with pytest.raises(UserError, match="labels up to 10, the data set 'digits' has 10 classes"):
        measured(imported(tmp_path / "more.npz", label=labels + 1))


def test_any_registered_data_set_may_stand_beside_it(
    tmp_path: Path, workspace: Workspace, digits: MemoryInputRun
) -> None:
    held, known = load_split(DataSpec(), "test"), load_split(DataSpec(), "train")
    for split, part in (("train", known.take(np.arange(80))), ("test", held.take(np.arange(60)))):
        np.savez(tmp_path / f"{split}.npz", image=part.images, label=part.labels)
    folder = tmp_path / "few"
    folder.mkdir()
    for split in ("train", "test"):
        (tmp_path / f"{split}.npz").rename(folder / f"{split}.npz")
    record = add_data_set(workspace.datasets, folder, name="few", validation=0)
    recorder = measured(
        digits, data_sets={"few": record}, dataset="few", measures=("memorisation", "frechet"), components=8
    )
    assert recorder.attributes["images"]["training"] == 80 and recorder.results["frechet_distance"].n == 150
    assert (recorder.column("training_distance") == 0).sum() == 30, "the copies are among the first 80"
    with pytest.raises(UserError, match="data set 'few' has no split 'validation'"):
        measured(digits, data_sets={"few": record}, dataset="few", reference="validation")


def test_the_data_set_is_kept_while_it_is_needed(workspace: Workspace) -> None:
    spec = MeasureSpec(generated="set", dataset="few")
    assert input_runs(spec) == {"generated": "set"}
    assert data_set_users("few", [], [spec]) == ["measure"] and data_set_users("digits", [], [spec]) == []
    with pytest.raises(UserError, match="there is no data set 'few'"):
        workspace.require_data_of(spec)
