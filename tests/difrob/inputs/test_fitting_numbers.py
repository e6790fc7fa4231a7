"""Numbers of images, steps and pixels are held against what is on record before there is a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.corrupted_digits import corrupted_digits, write_corrupted
from support.data_files import some_images
from support.input_runs import a_classifier, a_denoiser, a_set, add_images, recorded

from difrob.data import Augmentation, load_split
from difrob.data.adding import add_data_set
from difrob.data.corrupted_splits import open_corrupted
from difrob.errors import UserError
from difrob.inputs.fitting import check_inputs
from difrob.jobs.per_image import chosen_images
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import DataSpec, parse_spec

ALL = np.arange(20) % 10


def problems(workspace: Workspace, waiting: dict[str, dict[str, Any]] | None = None, **spec: Any) -> dict[str, str]:
    """{field: sentence}"""
    found = check_inputs(workspace, parse_spec({"kind": "train_classifier", **spec}), waiting)
    return {problem.field: problem.sentence for problem in found}


def told(work: Callable[[], Any]) -> str:
    """What the job itself says."""
    with pytest.raises(UserError) as raised:
        work()
    return str(raised.value)


@pytest.mark.parametrize("kind", ["train_classifier", "train_denoiser", "import_denoiser"])
def test_a_subset_larger_than_the_training_set(workspace: Workspace, kind: str) -> None:
    path = {"path": "x"} if kind == "import_denoiser" else {}
    data = {"dataset": "digits", "train_size": 1001}
    found = problems(workspace, kind=kind, data=data, **path)
    assert list(found) == ["data.train_size"]
    assert found["data.train_size"] == told(lambda: load_split(workspace, DataSpec(**data), "train"))  # type: ignore[arg-type]
    assert "train_size = 1001 is more than the 1000 training images of 'digits'; lower it" in found["data.train_size"]
    assert problems(workspace, kind=kind, data={**data, "train_size": 1000}, **path) == {}


def test_points_are_as_many_as_asked_for_unless_they_are_of_images(workspace: Workspace) -> None:
    many = {"dataset": "toy-ring", "train_size": 100_000}
    assert problems(workspace, kind="train_denoiser", data=many) == {}
    of_images = {"dataset": "toy-digits-subspace", "train_size": 1001}
    assert "more than the 1000" in problems(workspace, kind="train_denoiser", data=of_images)["data.train_size"]


@pytest.mark.parametrize("kind", ["evaluate", "certify", "analyse"])
def test_more_images_than_the_split_has(workspace: Workspace, kind: str) -> None:
    a_classifier(workspace, "c")
    found = problems(workspace, kind=kind, classifier="c", images=5000)
    recorder = RunRecorder(workspace, "job", parse_spec({"kind": "train_denoiser"}))
    assert list(found) == ["images"]
    assert found["images"] == told(lambda: chosen_images(recorder, DataSpec(), "test", 5000))
    recorder.close()
    assert problems(workspace, kind=kind, classifier="c", images=600) == {}
    assert "197 images of the validation split" in problems(
        workspace, kind=kind, classifier="c", images=600, split="validation"
    )["images"]  # fmt: skip


def test_images_that_a_network_learnt_from_are_those_of_its_subset(workspace: Workspace) -> None:
    spec = {"kind": "train_classifier", "data": {"train_size": 50}}
    recorded(workspace, "c", spec, state={"image_shape": [1, 8, 8], "num_classes": 10})
    a_denoiser(workspace, "d", data={"train_size": 50})
    assert problems(workspace, kind="evaluate", classifier="c", split="train", images=50) == {}
    found = problems(workspace, kind="evaluate", classifier="c", split="train", images=51)
    assert "the 50 images of the train split of 'digits'" in found["images"]
    found = problems(workspace, kind="analyse", classifier="c", train_images=51)
    assert list(found) == ["train_images"] and "more than the 50 images that 'c' learnt from" in found["train_images"]
    found = problems(workspace, kind="probe_teacher", denoiser="d", train_images=51, images=9999)
    assert "more than the 50 images that 'd' learnt from" in found["train_images"]
    assert "images = 9999 is more than the 197 images of the validation split of 'digits'" in found["images"]
    waiting = {"w": {**spec, "kind": "train_denoiser"}}
    assert "that 'w' learnt from" in problems(workspace, waiting, kind="probe_teacher", denoiser="w", train_images=60)[
        "train_images"
    ]  # fmt: skip


def test_a_measured_set_and_its_reference_have_so_many_images(workspace: Workspace) -> None:
    a_denoiser(workspace, "gone", data={"train_size": 50})
    a_set(workspace, "s", ALL)
    found = problems(workspace, kind="measure", generated="s", images=21, reference_images=601)
    assert found == {
        "images": "images = 21 is more than the 20 in the set 's'; lower it, or leave it empty for all",
        "reference_images": "reference_images = 601 is more than the 600 in the test images of 'digits'; lower it, or leave "
        "it empty for all",
    }
    assert problems(workspace, kind="measure", generated="s", images=20, reference_images=600) == {}
    found = problems(workspace, kind="measure", generated="s", reference="train", reference_images=51)
    assert "the 50 in the train images of 'digits'" in found["reference_images"]
    waiting = {"w": {"kind": "generate", "denoiser": "gone", "images": 30}}
    assert "the 30 in the set 'w'" in problems(workspace, waiting, kind="measure", generated="w", images=31)["images"]


def test_only_steps_that_are_kept_can_be_analysed(workspace: Workspace) -> None:
    a_classifier(workspace, "c")
    assert problems(workspace, kind="analyse", classifier="c", step=1) == {}
    found = problems(workspace, kind="analyse", classifier="c", step=17)
    assert list(found) == ["step"]
    assert found["step"] == told(lambda: workspace.reader("c").checkpoint(17))
    assert "run 'c' holds no checkpoint of step 17, only of 1; choose one of these" in found["step"]
    waiting = {"c": {"kind": "train_classifier"}}
    assert problems(workspace, waiting, kind="analyse", classifier="c", step=17) == {}, "it may come to that step"


@pytest.mark.parametrize("end", [RunState.FINISHED, RunState.INTERRUPTED, RunState.FAILED])
def test_an_input_that_ended_without_a_checkpoint(workspace: Workspace, end: RunState) -> None:
    recorded(workspace, "c", {"kind": "train_classifier"}, end=end)
    recorded(workspace, "d", {"kind": "train_denoiser"}, end=end)
    a_classifier(workspace, "good")
    sentence = told(lambda: workspace.reader("c").checkpoint("best"))
    assert "run 'c' has no checkpoint" in sentence
    for kind, fields in (("evaluate", {"classifier": "c"}), ("certify", {"classifier": "c"}),
                         ("analyse", {"classifier": "c", "step": 3})):  # fmt: skip
        assert problems(workspace, kind=kind, **fields) == {"classifier": sentence}
    part = {"teacher": "classifier", "classifier": "c"}
    assert problems(workspace, alignment=part) == {"alignment.classifier": sentence}
    for kind, fields in (("generate", {}), ("probe_teacher", {}), ("certify", {"classifier": "good"})):
        found = problems(workspace, kind=kind, denoiser="d", **fields)
        assert list(found) == ["denoiser"] and "run 'd' has no checkpoint" in found["denoiser"]
    waiting = {"c": {"kind": "train_classifier"}}
    assert problems(workspace, waiting, kind="evaluate", classifier="c") == {}, "it goes on"


def test_an_input_that_is_at_work_may_still_write_a_checkpoint(workspace: Workspace) -> None:
    recorder = RunRecorder(workspace, "c", parse_spec({"kind": "train_classifier"}))
    assert problems(workspace, kind="evaluate", classifier="c") == {}
    recorder.close()


@pytest.mark.parametrize(
    ("varied", "field"),
    [
        ({"flips": True}, "augmentation.flips"), ({"padding": 8}, "augmentation.padding"),
        ({"cutout": 8, "padding": 1}, "augmentation.cutout"),
    ],
)  # fmt: skip
def test_variations_that_do_not_fit_the_data(workspace: Workspace, varied: dict[str, Any], field: str) -> None:
    found = problems(workspace, augmentation=varied)
    assert found == {field: told(lambda: Augmentation(**varied).check_fit(workspace.data_set("digits")))}
    add_images(workspace, "wide", ALL, (16, 16, 1), flips=True)
    assert problems(workspace, augmentation=varied, data={"dataset": "wide"}) == {}


def test_mirrored_and_patched_data_of_a_denoiser(workspace: Workspace) -> None:
    assert "switch flips off" in problems(workspace, kind="train_denoiser", flips=True)["flips"]
    found = problems(workspace, kind="train_denoiser", flips=True, data={"dataset": "toy-ring"})
    assert found == {"flips": "'toy-ring' holds points, which have no mirror images; switch flips off"}
    spoiled = {"kind": "patches", "patch": 9}
    found = problems(workspace, kind="train_denoiser", corruption=spoiled)
    assert "patch of 9 pixels does not fit images of 8x8 pixels; give at most 8" in found["corruption.patch"]
    assert problems(workspace, kind="train_denoiser", corruption={**spoiled, "patch": 8}) == {}


def test_more_steps_than_a_schedule_has(workspace: Workspace) -> None:
    a_denoiser(workspace, "ddpm", parameterisation="ddpm", time_steps=50)
    a_denoiser(workspace, "edm")
    found = problems(workspace, kind="generate", denoiser="ddpm", sampling_steps=51)
    assert list(found) == ["sampling_steps"] and "more than the 50 steps of the schedule" in found["sampling_steps"]
    assert problems(workspace, kind="generate", denoiser="ddpm", sampling_steps=50) == {}
    assert problems(workspace, kind="generate", denoiser="ddpm", sampling_steps=51, grid="karras") == {}
    assert problems(workspace, kind="generate", denoiser="edm", sampling_steps=5000) == {}
    found = problems(workspace, kind="generate", denoiser="edm", grid="schedule")
    assert list(found) == ["grid"] and "'edm' is an EDM" in found["grid"]


def test_as_many_shares_as_classes(workspace: Workspace) -> None:
    a_denoiser(workspace, "d")
    found = problems(workspace, kind="generate", denoiser="d", class_weights=[1.0, 2.0])
    assert list(found) == ["class_weights"] and "must be 10 numbers, one per class" in found["class_weights"]
    assert problems(workspace, kind="generate", denoiser="d", class_weights=[1.0] * 10) == {}


def test_corrupted_sets_of_other_images(workspace: Workspace, tmp_path: Path) -> None:
    def added(name: str, arrays: dict[str, np.ndarray], **options: Any) -> None:
        add_data_set(workspace.datasets, write_corrupted(tmp_path / name, arrays), name=name, **options)

    def found(name: str, **fields: Any) -> dict[str, str]:
        return problems(workspace, kind="evaluate", classifier="c", corruptions=name, **fields)

    a_classifier(workspace, "c")
    arrays = corrupted_digits(60)
    added("fitting", arrays)
    added("turned", arrays, classes=[*"1023456789"])
    added("colours", {"labels": np.tile(np.arange(10), 5), "fog": some_images(50, (32, 32, 3))[0]})
    added("extras", {"labels": arrays["labels"], "speckle_noise": arrays["speckle_noise"]})
    assert found("fitting", corruption_images=60) == {}
    many = found("fitting", corruption_images=61)
    record = workspace.data_set("fitting")
    assert many == {"corruption_images": told(lambda: open_corrupted(record, 61))}
    assert (
        "32x32 pixels of 3 channels, those of the classifier 8x8 pixels of 1 channel;"
        in found("colours")["corruptions"]
    )
    assert "the classes of 'turned' (1, 0, 2" in found("turned")["corruptions"]
    assert found("extras") == {"corruptions": told(lambda: open_corrupted(workspace.data_set("extras")))}
    assert found("extras", corruption_extras=True) == {}
