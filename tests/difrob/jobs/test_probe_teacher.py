"""The sweep of probes over blocks and noise levels: numbers, curves, map, resuming, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run, denoiser_run
from support.memory_recorder import MemoryRecorder

from difrob.diffusion.loading import load_denoiser
from difrob.errors import Stopped, UserError
from difrob.jobs import per_image, probe_teacher
from difrob.jobs.feature_pictures import accuracy_map, map_range
from difrob.jobs.per_image import ResultTable
from difrob.metrics.intervals import wilson
from difrob.metrics.probes import AveragedFeatures, fit_probe
from difrob.specs import ProbeTeacherSpec, parse_spec
from difrob.training.teachers import DenoiserTeacher

CPU = torch.device("cpu")
RUNS = {"denoiser": denoiser_run(), "classifier": classifier_run(), "other": classifier_run("other", steps=5, seed=3)}


def spec_of(**changes: Any) -> ProbeTeacherSpec:
    values: dict[str, Any] = {
        "denoiser": "denoiser", "sigmas": (0.5, 0.1), "images": 50, "probe": {"noise_draws": 2},
        "attack": {"eps": 0.03, "steps": 2}, "blocks": ("block0", "block2"), **changes,
    }  # fmt: skip
    return ProbeTeacherSpec(**values)


def probed(recorder: MemoryRecorder | None = None, **changes: Any) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder(runs=RUNS)
    probe_teacher.run(spec_of(**changes), recorder, CPU)
    return recorder


@pytest.fixture(scope="module")
def whole() -> MemoryRecorder:
    return probed(classifier="classifier", second_classifier="other")


def test_every_cell_is_scored_level_by_level_then_the_classifiers(whole: MemoryRecorder) -> None:
    rows = whole.columns()
    assert rows["block"].tolist() == [0, 1, 0, 1, -1, -2] and (rows["images"] == 50).all()
    assert rows["sigma"][:4].tolist() == [0.5, 0.5, 0.1, 0.1] and np.isnan(rows["sigma"][4:]).all()
    assert (rows["robust_right"] <= rows["clean_right"]).all() and (rows["robust_right"] < rows["clean_right"]).any()
    assert (rows["clean_right"][:5] > 25).all()
    assert whole.attributes["blocks"] == ["block0", "block2"] and whole.progressed[-1] == (6, 6, "probes")
    assert whole.parents == ["denoiser", "denoiser", "classifier", "other"]


def test_a_cell_is_the_probe_of_averaged_features(whole: MemoryRecorder) -> None:
    denoiser, _ = load_denoiser(RUNS["denoiser"], CPU)
    teacher = DenoiserTeacher(denoiser, "block2", 0.1, "trained")
    features = AveragedFeatures(teacher, (1, 8, 8), 2, 0, CPU)
    training, scored = load_split(DATA, "train"), load_split(DATA, "validation").take(np.arange(50))
    probe = fit_probe(features.of_images(training.images, 50, CPU), training.labels, 10, "ridge")
    right = probe.logits(features.of_images(scored.images, 50, CPU)).argmax(axis=1) == scored.labels
    assert abs(int(whole.column("clean_right")[3]) - right.sum()) <= 1
    assert whole.column("penalty")[3] == pytest.approx(probe.penalty)


def test_curves_and_map_show_the_cells(whole: MemoryRecorder) -> None:
    rows = whole.columns()
    for kind in ("clean", "robust"):
        for number, block in enumerate(("block0", "block2")):
            curve = whole.curves[f"{kind}_probe_accuracy_{block}"][-1]
            expected = rows[f"{kind}_right"][[2 + number, number]]
            assert curve.x.tolist() == [0.1, 0.5] and curve.interval == "Wilson 95 %"
            np.testing.assert_allclose(curve.y, expected / 50)
            np.testing.assert_allclose(curve.low, wilson(expected, 50).low)
        flat = whole.curves[f"{kind}_probe_accuracy_second_classifier"][-1]
        assert flat.x.tolist() == [0.1, 0.5] and (flat.y == rows[f"{kind}_right"][5] / 50).all()
    sheet = whole.pictures["probe_accuracy"][-1]
    shares = rows["robust_right"][:4].reshape(2, 2).T[:, ::-1] / 50
    np.testing.assert_array_equal(sheet.images[1], accuracy_map(shares))
    low, high = map_range(shares)
    assert sheet.captions[1] == (
        f"PGD-2 linf 0.03: {low} to {high} %, from dark to white; rows block0, block2; columns sigma 0.1, 0.5"
    )
    assert sheet.captions[0].startswith("clean: ")


def test_the_best_cell_is_named_with_its_conditions(whole: MemoryRecorder) -> None:
    rows = whole.columns()
    clean, robust = rows["clean_right"], rows["robust_right"]
    for by, best, sigma, cell in (
        ("clean", max(range(4), key=lambda row: (clean[row], robust[row])), "best_sigma", "best_cell"),
        ("robust", max(range(4), key=lambda row: (robust[row], clean[row])), "best_robust_sigma", "best_robust_cell"),
    ):
        block = ("block0", "block2")[rows["block"][best]]
        assert whole.attributes[cell] == {"block": block, "sigma": rows["sigma"][best], "of": 4}
        assert whole.results[sigma].value == rows["sigma"][best] and f", {block}; " in whole.results[sigma].sentence
        found = whole.results[f"best_{by}_probe_accuracy"]
        assert found.value == rows[f"{by}_right"][best] / 50
        named = f"{block} at sigma {rows['sigma'][best]:g}, the best by {by} accuracy on these validation images, an optimistic"
        assert named in found.sentence
        if by == "clean":
            other = whole.results["robust_probe_accuracy_of_best_clean"]
            assert other.value == robust[best] / 50 and f", {block} at sigma " in other.sentence
    assert whole.results["classifier_clean_probe_accuracy"].value == rows["clean_right"][4] / 50
    conditions = (
        "; probe: ridge, penalty by generalised cross-validation, 2 noise draws; fitted to: 200 training images"
    )
    attack = "; attack: PGD-2 linf 0.03, cross-entropy and margin loss, 1 random start each"
    for name, result in whole.results.items():
        assert conditions in result.sentence, name
        assert "; scored on: 50 validation images of digits" in result.sentence, name
        by = "robust" if name.startswith("best_robust") else "clean"
        chosen = f"; chosen: best of 4 cells by {by} accuracy on the same images"
        assert (chosen in result.sentence) == ("best" in name)
        assert (attack in result.sentence) == ("robust" in name)


def test_all_cells_are_told_by_name(whole: MemoryRecorder) -> None:
    rows = whole.columns()
    assert whole.attributes["cells"] == [
        {
            "block": ("block0", "block2")[rows["block"][row]], "sigma": rows["sigma"][row],
            "clean_accuracy": rows["clean_right"][row] / 50, "robust_accuracy": rows["robust_right"][row] / 50,
        }
        for row in range(4)
    ]  # fmt: skip


def test_the_most_robust_cell_need_not_be_the_best_clean_one() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(5))
    table.add(
        block=np.array([0, 1, 0, 1, -1]), sigma=np.array([0.3, 0.3, 0.1, 0.1, np.nan]), images=np.full(5, 100),
        clean_right=np.array([71, 60, 71, 50, 99]), robust_right=np.array([6, 10, 7, 10, 90]),
    )  # fmt: skip
    clean, robust = (probe_teacher.Winner.by_accuracy(by, table, ("block0", "block2")) for by in ("clean", "robust"))
    assert (clean.row, clean.place, clean.of) == (2, "block0 at sigma 0.1", 4)
    assert (robust.row, robust.place, robust.of) == (1, "block2 at sigma 0.3", 4)
    probe_teacher.say_winners(recorder, table, clean, robust)
    assert recorder.notes == [
        ("info", "best by clean accuracy of 4 cells: block0 at sigma 0.1, 71.0 % clean, 7.0 % robust; "
         "--set alignment.block=block0 --set alignment.sigma=0.1"),
        ("info", "best by robust accuracy of 4 cells: block2 at sigma 0.3, 60.0 % clean, 10.0 % robust; "
         "--set alignment.block=block2 --set alignment.sigma=0.3"),
    ]  # fmt: skip


def test_of_a_single_cell_both_accuracies_are_its_own() -> None:
    found = probed(sigmas=(0.1,), blocks=("block2",))
    results, rows = found.results, found.columns()
    assert results["best_robust_probe_accuracy"].value == rows["robust_right"][0] / 50
    assert results["best_robust_probe_accuracy"].value == results["robust_probe_accuracy_of_best_clean"].value
    # What a sweep of one cell recorded before compares with what it records now.
    for name in ("best_clean_probe_accuracy", "best_robust_probe_accuracy"):
        assert "the only cell" in results[name].sentence
        assert results[name].conditions["chosen"] == "best of 1 cell by clean accuracy on the same images"
    assert len(found.notes) == 1 and found.notes[0][1].startswith("best by clean and robust accuracy of 1 cell: block2")


@pytest.mark.parametrize("stop_at", [3, 9, 14, 18])
def test_a_resumed_sweep_ends_as_an_uninterrupted_one(
    stop_at: int, whole: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    assert whole.checks > 18
    stopped = MemoryRecorder(runs=RUNS, stop_at_check=stop_at)
    with pytest.raises(Stopped):
        probed(stopped, classifier="classifier", second_classifier="other")
    resumed = probed(stopped.resume(), classifier="classifier", second_classifier="other")
    assert resumed.results == whole.results and resumed.attributes == whole.attributes
    for name, column in whole.columns().items():
        np.testing.assert_array_equal(resumed.column(name), column, err_msg=name)
    assert np.array_equal(resumed.pictures["probe_accuracy"][-1].images, whole.pictures["probe_accuracy"][-1].images)


def test_batches_and_controls(whole: MemoryRecorder) -> None:
    small = probed(batch_size=17)
    for name in ("clean_right", "robust_right"):
        assert np.abs(small.column(name) - whole.column(name)[:4]).max() <= 1
    random = probed(weights="random", sigmas=(0.1,))
    assert "random denoiser" in random.results["best_clean_probe_accuracy"].sentence
    assert random.column("clean_right").tolist() != whole.column("clean_right")[2:4].tolist()
    logistic = probed(sigmas=(0.1,), blocks=("block1",), probe={"rule": "logistic", "noise_draws": 0}, train_images=100)
    assert logistic.column("clean_right")[0] > 25 and logistic.column("penalty")[0] == 0.001
    assert "100 training images" in logistic.results["best_clean_probe_accuracy"].sentence


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": ("block0", "block9")}, "no block 'block9'; it has block0, block1, block2"),
        ({"train_images": 201}, "train_images = 201 is more than the 200 images that 'denoiser' learnt from"),
        ({"images": 500}, "images = 500 is more than the 197 images of the validation split"),
        ({"denoiser": "classifier"}, "a run of kind 'train_denoiser' or 'import_denoiser' is needed"),
        ({"classifier": "denoiser"}, "a run of kind 'train_classifier' is needed"),
    ],
)
def test_what_cannot_be_probed_is_refused_before_any_work(changes: dict[str, Any], message: str) -> None:
    recorder = MemoryRecorder(runs=RUNS)
    with pytest.raises(UserError, match=message):
        probed(recorder, **changes)
    assert not recorder.columns()


def test_noise_beyond_a_schedule_is_refused_before_any_work() -> None:
    ddpm = denoiser_run("ddpm", steps=1, parameterisation="ddpm", schedule="linear")
    recorder = MemoryRecorder(runs={"ddpm": ddpm})
    with pytest.raises(UserError, match="beyond this denoiser, whose schedule ends"):
        probed(recorder, denoiser="ddpm", sigmas=(0.1, 999.0))
    assert not recorder.columns()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sigmas": [0.1, 0.0]}, "sigmas holds 0; each must lie above 0"),
        ({"sigmas": [0.1, 0.1]}, "sigmas = 0.1, 0.1: each can be named only once"),
        ({"blocks": ["a", "a"]}, "blocks = a, a: each can be named only once"),
    ],
)
def test_senseless_sweeps_are_no_specification(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_spec({"kind": "probe_teacher", "denoiser": "d", **values})
