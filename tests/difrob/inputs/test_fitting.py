"""Inputs are held against each other before there is a run, by what is on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.input_runs import a_classifier, a_denoiser, a_set, add_images, recorded

from difrob.data import load_split
from difrob.errors import UserError
from difrob.inputs.fitting import check_inputs
from difrob.runs import RunState, Workspace
from difrob.specs import DataSpec, parse_spec
from difrob.training.mixing import read_generated_set

ALL = np.arange(20) % 10
Made = Callable[[Workspace], Any]


def problems(workspace: Workspace, waiting: dict[str, dict[str, Any]] | None = None, **spec: Any) -> dict[str, str]:
    """{field: sentence}"""
    found = check_inputs(workspace, parse_spec({"kind": "train_classifier", **spec}), waiting)
    return {problem.field: problem.sentence for problem in found}


def test_inputs_that_fit_are_not_spoken_of(workspace: Workspace) -> None:
    denoiser, classifier, made = a_denoiser(workspace, "d"), a_classifier(workspace, "c"), a_set(workspace, "s", ALL)
    for teacher in (
        {"teacher": "denoiser", "denoiser": denoiser, "block": "block1"}, {"teacher": "random", "denoiser": denoiser},
        {"teacher": "classifier", "classifier": classifier},
    ):  # fmt: skip
        assert problems(workspace, generated=made, alignment=teacher) == {}
    for spec in (
        {"kind": "train_denoiser"}, {"kind": "train_denoiser", "data": {"dataset": "toy-ring"}},
        {"kind": "generate", "denoiser": denoiser, "guidance_scale": 2},
        {"kind": "generate", "denoiser": denoiser, "selection": {"judge": classifier, "keep_share": 0.5}},
        {"kind": "certify", "classifier": classifier, "denoiser": denoiser},
        {"kind": "evaluate", "classifier": classifier},
        {"kind": "probe_teacher", "denoiser": denoiser, "blocks": ["block0"], "classifier": classifier},
        {"kind": "analyse", "classifier": classifier, "second": classifier, "denoiser": denoiser, "block": "block0",
         "measures": ["probes", "kernel_alignment"]},
        {"kind": "measure", "generated": made},
    ):  # fmt: skip
        assert problems(workspace, **spec) == {}, spec


@pytest.mark.parametrize(
    ("labels", "shape", "named"),
    [
        (ALL, (16, 16, 1), "images of 16 x 16 x 1 (height x width x channels), 'digits' has 8 x 8 x 1"),
        (ALL, (8, 8, 3), "images of 8 x 8 x 3"),
        (np.arange(24) % 12, (8, 8, 1), "labels 0..11 of type int64, 'digits' has classes 0..9"),
        (np.arange(20) % 9, (8, 8, 1), "9 of the 10 classes of 'digits' (no image of 9); generate"),
    ],
)
def test_a_generated_set_is_refused_in_the_words_of_the_job(
    workspace: Workspace, labels: np.ndarray, shape: tuple[int, int, int], named: str
) -> None:
    made = a_set(workspace, "made", labels, shape)
    found = problems(workspace, generated=made)
    assert list(found) == ["generated"] and named in found["generated"] and "'made'" in found["generated"]
    with pytest.raises(UserError) as raised:
        read_generated_set(workspace.reader(made), load_split(workspace, DataSpec(), "train"))
    assert str(raised.value) == found["generated"]


def test_each_of_several_sets_is_told_at_its_own_field(workspace: Workspace) -> None:
    good, bad = a_set(workspace, "good", ALL), a_set(workspace, "bad", ALL, (4, 4, 1))
    assert list(problems(workspace, generated=good, generated_2=bad, generated_3=bad)) == ["generated_2", "generated_3"]


def test_an_imported_set_is_looked_at_too(workspace: Workspace) -> None:
    samples = {"images": np.zeros((5, 8, 8, 1), np.uint8), "label": np.arange(5)}
    made = recorded(workspace, "brought", {"kind": "import_images", "paths": ["x.npz"]}, samples=samples)
    assert "5 of the 10 classes" in problems(workspace, generated=made)["generated"]


WIDE = (1, 16, 16)


def teacher(**part: Any) -> dict[str, Any]:
    return {"kind": "train_classifier", "alignment": {"teacher": "denoiser", "denoiser": "d", **part}}


@pytest.mark.parametrize(
    ("make", "spec", "field", "named"),
    [
        (lambda w: a_denoiser(w, "d"), teacher(block="middle"), "alignment.block",
         "no block 'middle'; it has block0, block1"),
        (lambda w: a_denoiser(w, "d", WIDE), teacher(), "alignment.denoiser",
         "denoiser 'd' is for images of 1 x 16 x 16, here they have 1 x 8 x 8"),
        (lambda w: a_denoiser(w, "d", label_dropout=0), teacher(teacher="random"), "alignment.denoiser", "no null class"),
        (lambda w: a_classifier(w, "c", WIDE), teacher(teacher="classifier", classifier="c"), "alignment.classifier",
         "classifier 'c' is for images of 1 x 16 x 16"),
        (lambda w: (a_classifier(w, "c"), a_denoiser(w, "d", WIDE)),
         {"kind": "certify", "classifier": "c", "denoiser": "d"}, "denoiser", "1 x 16 x 16, here they have 1 x 8 x 8"),
        (lambda w: (a_classifier(w, "c"), a_denoiser(w, "d", label_dropout=0)),
         {"kind": "certify", "classifier": "c", "denoiser": "d"}, "denoiser", "cannot work without a class"),
        (lambda w: a_denoiser(w, "d", label_dropout=0), {"kind": "generate", "denoiser": "d", "guidance_scale": 2},
         "denoiser", "cannot work without a class"),
        (lambda w: a_denoiser(w, "d", class_conditional=False), {"kind": "generate", "denoiser": "d"},
         "denoiser", "trained without classes"),
        (lambda w: a_denoiser(w, "d", (2, 1, 1), data={"dataset": "toy-ring"}), {"kind": "generate", "denoiser": "d"},
         "denoiser", "draws points of 'toy-ring'"),
        (lambda w: (a_denoiser(w, "d"), a_classifier(w, "c", classes=7)),
         {"kind": "generate", "denoiser": "d", "labels": "judge", "selection": {"judge": "c"}},
         "selection.judge", "judge 'c' knows 7 classes, the denoiser 10"),
        (lambda w: a_denoiser(w, "d"), {"kind": "probe_teacher", "denoiser": "d", "blocks": ["block0", "up0"]},
         "blocks", "no block 'up0'"),
        (lambda w: (a_denoiser(w, "d"), a_classifier(w, "c", WIDE)),
         {"kind": "probe_teacher", "denoiser": "d", "second_classifier": "c"}, "second_classifier", "1 x 16 x 16"),
        (lambda w: (a_classifier(w, "c"), a_classifier(w, "other", WIDE)),
         {"kind": "analyse", "classifier": "c", "second": "other", "measures": ["kernel_alignment"]},
         "second", "classifier 'other' is for images of 1 x 16 x 16"),
        (lambda w: (a_classifier(w, "c"), a_denoiser(w, "d")),
         {"kind": "analyse", "classifier": "c", "denoiser": "d", "block": "up1", "measures": ["probes"]},
         "block", "no block 'up1'"),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(
    workspace: Workspace, make: Made, spec: dict[str, Any], field: str, named: str
) -> None:
    make(workspace)
    found = problems(workspace, **spec)
    assert list(found) == [field] and named in found[field]


def test_what_a_set_is_measured_against_must_be_known(workspace: Workspace) -> None:
    samples = {"images": np.zeros((10, 8, 8, 1), np.uint8), "label": np.arange(10)}
    recorded(workspace, "brought", {"kind": "import_images", "paths": ["x.npz"]}, samples=samples)
    a_denoiser(workspace, "gone")
    a_set(workspace, "drawn", ALL)
    add_images(workspace, "bare", np.arange(40) % 4)
    assert "name their data set in 'dataset'" in problems(workspace, kind="measure", generated="brought")["dataset"]
    found = problems(workspace, kind="measure", generated="drawn", dataset="bare")
    assert list(found) == ["dataset"] and "learnt from 'digits', not from 'bare'" in found["dataset"]
    assert problems(workspace, kind="measure", generated="brought", dataset="digits") == {}
    assert problems(workspace, kind="measure", generated="drawn") == {}
    found = problems(workspace, kind="measure", generated="brought", dataset="bare", held_out="validation")
    assert list(found) == ["dataset"] and "no split 'test'" in found["dataset"]
    fields = {"generated": "brought", "dataset": "bare", "reference": "train", "measures": ["frechet"]}
    assert problems(workspace, kind="measure", **fields) == {}, "nothing is held out for a distance"


def test_a_run_that_says_little_of_itself_is_left_to_the_job(workspace: Workspace) -> None:
    """An older denoiser names no blocks; one whose data set is gone may say nothing at all."""
    recorded(workspace, "old", {"kind": "train_denoiser"}, state={"image_shape": [1, 8, 8], "num_classes": 10})
    recorded(workspace, "bare", {"kind": "train_denoiser", "data": {"dataset": "removed"}}, state={})
    recorded(workspace, "brought", {"kind": "import_denoiser", "path": "x", "data": {"dataset": "removed"}}, state={})
    for name in ("old", "bare", "brought"):
        part = {"teacher": "denoiser", "denoiser": name, "block": "anything"}
        assert problems(workspace, alignment=part) == {}, name
    assert problems(workspace, generated="never-was") == {}
    workspace.run_path("torn").write_bytes(b"no file of this kind")
    assert problems(workspace, generated="torn", alignment={"teacher": "denoiser", "denoiser": "torn"}) == {}


def test_an_imported_denoiser_is_known_by_its_checkpoint(workspace: Workspace) -> None:
    spec = {"kind": "import_denoiser", "path": "x", "data": {"dataset": "digits"}}
    for name, classes in (("plain", 0), ("classes", 10)):
        recorded(workspace, name, spec, state={"image_shape": [1, 8, 8], "num_classes": classes},
                 attributes={"blocks": ["down0", "middle", "up0"]})  # fmt: skip
    assert "trained without classes" in problems(workspace, kind="generate", denoiser="plain")["denoiser"]
    assert problems(workspace, kind="generate", denoiser="classes") == {}
    part = {"teacher": "denoiser", "denoiser": "plain", "block": "block0"}
    assert "it has down0, middle, up0" in problems(workspace, alignment=part)["alignment.block"]
    part = {"teacher": "denoiser", "denoiser": "classes"}
    assert "no null class" in problems(workspace, alignment=part)["alignment.denoiser"]


def test_inputs_that_wait_are_judged_by_what_they_will_be(workspace: Workspace) -> None:
    add_images(workspace, "wide", np.arange(40) % 4, (16, 16, 1))
    waiting = {
        "d": {"kind": "train_denoiser", "data": {"dataset": "wide"}, "label_dropout": 0.0},
        "small": {"kind": "train_denoiser"},
        "s": {"kind": "generate", "denoiser": "d"},
        "some": {"kind": "generate", "denoiser": "small", "class_weights": [1.0] * 9 + [0.0]},
        "few": {"kind": "generate", "denoiser": "small", "images": 4},
        "good": {"kind": "generate", "denoiser": "small"},
        "c": {"kind": "train_classifier", "data": {"dataset": "wide"}},
        "files": {"kind": "import_images", "paths": ["x.npz"]},
    }
    assert "images of 16 x 16 x 1" in problems(workspace, waiting, generated="s")["generated"]
    assert "(no image of 9)" in problems(workspace, waiting, generated="some")["generated"]
    assert "4 of the 10 classes" in problems(workspace, waiting, generated="few")["generated"]
    assert problems(workspace, waiting, generated="good") == problems(workspace, waiting, generated="files") == {}
    part = {"teacher": "denoiser", "denoiser": "d", "block": "who knows"}
    assert "1 x 16 x 16" in problems(workspace, waiting, alignment=part)["alignment.denoiser"]
    found = problems(workspace, waiting, kind="certify", classifier="c", denoiser="d", split="train")
    assert list(found) == ["denoiser"] and "cannot work without a class" in found["denoiser"]


def test_half_a_set_is_judged_by_what_it_will_be(workspace: Workspace) -> None:
    """An interrupted set in the queue, or one under way, lacks classes that are still to come."""
    half = a_set(workspace, "half", np.arange(5), end=RunState.INTERRUPTED)
    assert problems(workspace, generated=half) == {}
    waiting = {"whole": {"kind": "generate", "denoiser": "d"}, "d": {"kind": "train_denoiser"}}
    a_set(workspace, "whole", np.arange(5))
    assert "5 of the 10 classes" in problems(workspace, generated="whole")["generated"]
    assert problems(workspace, waiting, generated="whole") == {}


def test_a_data_set_without_validation_images_names_the_mend(workspace: Workspace) -> None:
    record = add_images(workspace, "bare", np.arange(40) % 4, validation=0)
    for kind in ("train_classifier", "train_denoiser"):
        sentence = problems(workspace, kind=kind, data={"dataset": "bare"})["data.dataset"]
        assert "no split 'validation'; it has: train" in sentence
        assert f"difrob data add {record.source_path} --name bare --validation 4" in sentence
        with pytest.raises(UserError) as raised:
            load_split(workspace, DataSpec(dataset="bare"), "validation")
        assert str(raised.value) == sentence
    recorded(workspace, "c", {"kind": "train_classifier", "data": {"dataset": "bare"}})
    assert "no split 'test'" in problems(workspace, kind="evaluate", classifier="c")["classifier"]


def test_a_class_without_training_images_is_refused(workspace: Workspace) -> None:
    labels = np.concatenate([np.arange(40) % 4, [5] * 10])  # nothing of class 4
    add_images(workspace, "holes", labels)
    sentence = problems(workspace, data={"dataset": "holes"})["data.dataset"]
    assert "data set 'holes' has no training image of 1 of its 6 classes (4)" in sentence and "--classes" in sentence
    assert problems(workspace, kind="train_denoiser", data={"dataset": "holes"}) == {}
