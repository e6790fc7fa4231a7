"""The analysis of features on digits: numbers follow from the rows, resuming, conditions, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run, denoiser_run
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.comparison import unlike_conditions
from difrob.data import as_float
from difrob.errors import Stopped, UserError
from difrob.jobs import analyse, per_image
from difrob.jobs.feature_pictures import class_colours, scatter
from difrob.metrics.alignment_uniformity import partner_distances, uniformity
from difrob.metrics.classification_dimension import FeatureComponents
from difrob.metrics.kernel_alignment import kernel_alignment
from difrob.metrics.spectra import covariance_spectrum, effective_rank, participation_ratio
from difrob.nets.storage import pack, part_of, unpack
from difrob.runs import RunState, RunSummary
from difrob.runs.interface import Checkpoint
from difrob.specs import AnalyseSpec, parse_spec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
RUNS = {"classifier": classifier_run(), "second": classifier_run("second", seed=4), "denoiser": denoiser_run()}
EVERYTHING = ("rank", "dimension", "autoencoder", "alignment", "gradients", "probes", "kernel_alignment")


def spec_of(**changes: Any) -> AnalyseSpec:
    values: dict[str, Any] = {
        "classifier": "classifier", "second": "second", "denoiser": "denoiser", "measures": EVERYTHING, "images": 60,
        "attack": {"eps": 0.05, "steps": 3}, "autoencoder": {"steps": 30, "seeds": 2, "active": 4},
        "probe": {"noise_draws": 2}, "batch_size": 25, **changes,
    }  # fmt: skip
    return AnalyseSpec(**values)


def analysed(recorder: MemoryRecorder | None = None, **changes: Any) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder(runs=RUNS)
    analyse.run(spec_of(**changes), recorder, CPU)
    return recorder


@pytest.fixture(scope="module")
def whole() -> MemoryRecorder:
    return analysed()


def test_rows_are_what_the_network_says(whole: MemoryRecorder) -> None:
    network, _ = load_classifier(RUNS["classifier"], "best", CPU)
    images = load_split(DATA, "test").take(np.arange(60))
    rows = whole.columns()
    assert np.array_equal(rows["index"], images.indices) and np.array_equal(rows["label"], images.labels)
    with torch.no_grad():
        features = network.features(as_float(images.images))
    np.testing.assert_allclose(rows["features"], features.numpy(), atol=1e-5)
    assert np.array_equal(rows["prediction"], network.head(features).argmax(1).numpy())
    assert rows["adversarial_features"].shape == rows["features"].shape == (60, 24)
    assert (rows["adversarial_prediction"] == rows["label"]).mean() < (rows["prediction"] == rows["label"]).mean()
    np.testing.assert_allclose(rows["gradient_spectrum"].sum(axis=1), 1)
    with torch.no_grad():
        known = network.features(as_float(load_split(DATA, "train").images)).numpy()
    plane = FeatureComponents.of(known).coordinates(rows["adversarial_features"], 2)
    np.testing.assert_allclose(rows["adversarial_component_2"], plane[:, 1], atol=1e-4)
    assert whole.progressed[-1] == (120, 120, "images and steps")


def test_numbers_follow_from_the_rows(whole: MemoryRecorder) -> None:
    rows = whole.columns()
    found = {name: result.value for name, result in whole.results.items()}
    h, attacked = rows["features"], rows["adversarial_features"]
    spectrum = covariance_spectrum(h)
    assert found["effective_rank"] == pytest.approx(effective_rank(spectrum))
    assert found["participation_ratio"] == pytest.approx(participation_ratio(spectrum))
    assert found["alignment_adversarial"] == pytest.approx(partner_distances(h, attacked).mean())
    assert found["alignment_adversarial"] < found["alignment_class"]
    assert found["uniformity"] == pytest.approx(uniformity(h))
    assert found["kernel_alignment"] == pytest.approx(kernel_alignment(h, rows["second_features"]))
    assert found["high_frequency_share"] == pytest.approx(rows["gradient_spectrum"][:, 3:].sum(axis=1).mean())
    assert found["clean_accuracy"] == (rows["prediction"] == rows["label"]).mean()
    for name in ("feature", "teacher"):
        assert found[f"{name}_probe_accuracy"] == rows[f"{name}_probe_correct"].mean() > 0.5
        assert found[f"{name}_probe_robust_accuracy"] == rows[f"{name}_probe_robust"].mean()
    losses = [each["loss"] for each in whole.attributes["autoencoders"]["dictionaries"]]
    assert found["autoencoder_loss"] == pytest.approx(np.mean(losses)) and 0 < found["autoencoder_loss"] < 1
    assert whole.attributes["autoencoders"]["atoms"] == 96 and losses[0] != losses[1]
    own, refitted = (whole.curves[f"accuracy_over_components_{head}"][-1] for head in ("own", "refitted"))
    assert own.y[-1] == pytest.approx(found["clean_accuracy"]) and own.x.tolist() == list(range(1, 25))
    dimension = int(found["classification_dimension_95"])
    assert own.y[dimension - 1] >= 0.95 * own.y[-1] > own.y[: dimension - 1].max(initial=0)
    assert refitted.y[-1] > 0.8
    assert whole.curves["feature_spectrum"][-1].y.sum() == pytest.approx(1)
    assert whole.curves["gradient_spectrum"][-1].x.tolist() == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8]


def test_every_number_has_an_interval_and_its_conditions(whole: MemoryRecorder) -> None:
    for name, result in whole.results.items():
        assert result.low <= result.value <= result.high and result.n and result.interval, name
        features = "; data set: digits (d15b1ecc2d01)" if name.startswith("teacher") else "; features: 24, best weights"
        assert f"; images: 60 test images of digits{features}" in result.sentence, name
    loss = whole.results["autoencoder_loss"].sentence
    assert (
        "; fitted to: 200 training images; dictionary: 96 atoms, 4 active; learning: 30 steps of 256 at 0.003" in loss
    )
    assert "; block: block1, 32 features; sigma: 0.3" in whole.results["teacher_probe_accuracy"].sentence
    attack = "; attack: PGD-3 linf 0.05, cross-entropy loss, 1 random start; "
    assert attack in whole.results["alignment_adversarial"].sentence


def test_the_attack_is_named_as_it_was_run() -> None:
    attack = {"eps": 0.05, "steps": 2, "step_size": 0.02, "random_start": False}
    found = analysed(measures=("alignment",), attack=attack).results["alignment_adversarial"].sentence
    assert "; attack: PGD-2 linf 0.05 of 0.02, cross-entropy loss, a start at the image; " in found


def test_unlike_analyses_are_not_compared_silently(whole: MemoryRecorder) -> None:
    def summary(run_id: str, recorder: MemoryRecorder, **changes: Any) -> RunSummary:
        spec = spec_of(**changes).model_dump(mode="json")
        return RunSummary(
            run_id, "analyse", run_id, RunState.FINISHED, created=1.0, spec=spec, results=recorder.results
        )

    fewer = {"images": 40, "measures": ("rank",)}
    other = analysed(**fewer)
    assert {item.title for item in unlike_conditions([summary("a", whole), summary("b", other, **fewer)])} == {"images"}
    sparse = {"measures": ("autoencoder",), "autoencoder": {"steps": 10, "seeds": 1, "active": 5}}
    titles = {
        item.title for item in unlike_conditions([summary("a", whole), summary("b", analysed(**sparse), **sparse)])
    }
    assert titles == {"dictionary", "learning", "dictionaries"}
    assert unlike_conditions([summary("a", whole), summary("b", whole)]) == []


def test_the_plane_shows_clean_and_attacked_images_on_the_same_axes(whole: MemoryRecorder) -> None:
    (sheet,) = whole.pictures["feature_plane"]
    assert sheet.images.shape == (2, 256, 256, 3) and sheet.captions[1].startswith(
        "the same images under PGD-3 linf 0.05"
    )
    shown = {tuple(colour) for colour in sheet.images[0].reshape(-1, 3)} - {(0, 0, 0)}
    assert shown <= {tuple(colour) for colour in class_colours(10)} and len(shown) > 7
    corner = scatter(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1]), 2, np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert tuple(corner[247, 8]) == tuple(class_colours(2)[0]) and tuple(corner[8, 247]) == tuple(class_colours(2)[1])


@pytest.mark.parametrize("stop_at", [2, 6, 10, 80, 230])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    stop_at: int, whole: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped among the rows, and among the numbers that come last."""
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    assert whole.checks > 230
    stopped = MemoryRecorder(runs=RUNS, stop_at_check=stop_at)
    with pytest.raises(Stopped):
        analysed(stopped)
    resumed = analysed(stopped.resume())
    assert resumed.results == whole.results
    for name, column in whole.columns().items():
        np.testing.assert_array_equal(resumed.column(name), column, err_msg=name)
    assert np.array_equal(resumed.pictures["feature_plane"][-1].images, whole.pictures["feature_plane"][-1].images)


def test_only_what_is_asked_for_is_measured() -> None:
    recorder = analysed(measures=("rank",), second=None, denoiser=None, split="train", images=50)
    assert set(recorder.results) == {"clean_accuracy", "effective_rank", "participation_ratio"}
    assert not {"gradient_spectrum", "second_features", "feature_probe_correct"} & set(recorder.columns())
    assert [level for level, _ in recorder.notes] == ["warning"] and "learnt from" in recorder.notes[0][1]
    still = analysed(measures=("alignment",), attack={"eps": 0.0}, images=50)
    assert still.results["alignment_adversarial"].value == 0
    alone = analysed(measures=("probes",), denoiser=None, images=50)
    assert "teacher_probe_accuracy" not in alone.results and alone.results["feature_probe_accuracy"].value > 0.5


def test_weights_of_an_earlier_step_are_analysed_where_a_checkpoint_is_kept() -> None:
    early = classifier_run("early", steps=5).checkpoint("last")
    late = RUNS["classifier"].checkpoint("last")
    kept = MemoryInputRun("kept", parse_spec(RUNS["classifier"].spec), last=late, others=(early,))
    wanted = {"measures": ("rank",), "second": None, "denoiser": None, "images": 50, "classifier": "kept"}
    found = {
        step: analysed(MemoryRecorder(runs={"kept": kept}), step=step, **wanted).results
        for step in (None, 5, late.step)
    }
    assert "; features: 24, weights of step 5" in found[5]["effective_rank"].sentence
    assert found[5]["effective_rank"].value != found[None]["effective_rank"].value
    assert found[late.step]["effective_rank"].value == found[None]["effective_rank"].value
    with pytest.raises(UserError, match="no checkpoint"):
        analysed(MemoryRecorder(runs={"kept": kept}), step=7, **wanted)


def changed(run: MemoryInputRun, change: Any) -> MemoryInputRun:
    """The same run with other weights."""
    checkpoint = run.checkpoint("last")
    weights = {name: change(name, tensor) for name, tensor in part_of(unpack(checkpoint.weights), "average").items()}
    stored = Checkpoint(checkpoint.step, pack(average=weights), checkpoint.state)
    return MemoryInputRun("changed", parse_spec(run.spec), last=stored)


def test_broken_networks_are_told_in_sentences() -> None:
    def collapsed(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(tensor) if name.startswith("hidden") else tensor

    def diverged(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return torch.full_like(tensor, torch.nan) if name.startswith("hidden") else tensor

    for change, message in ((collapsed, "the same for every image"), (diverged, "not finite on clean images")):
        recorder = MemoryRecorder(runs={**RUNS, "changed": changed(RUNS["classifier"], change)})
        with pytest.raises(UserError, match=message):
            analysed(recorder, classifier="changed")

    def certain(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor * 1e7 if name == "head.weight" else tensor

    recorder = MemoryRecorder(runs={**RUNS, "changed": changed(RUNS["classifier"], certain)})
    analysed(recorder, classifier="changed", measures=("gradients",))
    assert recorder.results["high_frequency_share"].n < 60
    assert "images have no gradient of the loss" in recorder.notes[-1][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 601}, "images = 601 is more than the 600 images of the test split"),
        ({"train_images": 201}, "train_images = 201 is more than the 200 images that 'classifier' learnt from"),
        (
            {"autoencoder": {"active": 97}},
            "autoencoder.active = 97 is more than the 96 atoms of a dictionary of 4 times 24",
        ),
        ({"classifier": "denoiser"}, "a run of kind 'train_classifier' is needed"),
        ({"block": "middle"}, "no block 'middle'; it has block0"),
    ],
)
def test_what_cannot_be_analysed_is_refused_before_any_work(changes: dict[str, Any], message: str) -> None:
    recorder = MemoryRecorder(runs=RUNS)
    with pytest.raises(UserError, match=message):
        analysed(recorder, **changes)
    assert not recorder.columns()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"measures": ["kernel_alignment"]}, "kernel_alignment needs a run in 'second'"),
        ({"measures": ["rank", "rank"]}, "each can be named only once"),
        ({"measures": []}, "'measures'"),
    ],
)
def test_what_needs_another_run_says_so(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_spec({"kind": "analyse", "classifier": "c", **values})
