"""The evaluation job: verdicts per image, independent of batches, with the union, the curve and the masking checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.small_classifiers import small_classifier
from support.trained_runs import trained_run

from difrob.errors import Stopped, UserError
from difrob.jobs import per_image
from difrob.jobs.evaluate import Assault, run, warn_of_another_ball
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.conditions import indices_condition
from difrob.metrics.intervals import wilson
from difrob.nets.storage import pack, unpack
from difrob.specs import EvaluateSpec, TrainClassifierSpec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
TRAINING = small_classifier(steps=80)


@pytest.fixture(scope="module")
def classifier() -> MemoryInputRun:
    """A plainly trained classifier: about nine in ten right, and easily broken."""
    return trained_run(TRAINING, "classifier")


def spec_of(**changes: Any) -> EvaluateSpec:
    values: dict[str, Any] = {
        "classifier": "classifier", "split": "validation", "images": 90,
        "attack": {"eps": 0.06, "steps": 6}, "sanity_checks": False,
    }  # fmt: skip
    return EvaluateSpec(**{**values, **changes})


def evaluated(classifier: MemoryInputRun, **changes: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(runs={"classifier": classifier})
    run(spec_of(**changes), recorder, CPU)
    return recorder


def test_numbers_follow_from_the_verdicts(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier)
    rows, images = recorder.columns(), load_split(TRAINING.data, "validation").take(np.arange(90))
    assert np.array_equal(rows["index"], images.indices) and np.array_equal(rows["label"], images.labels)
    assert np.array_equal(rows["clean_correct"], rows["prediction"] == rows["label"])
    assert np.array_equal(rows["robust_correct"], rows["robust_cross_entropy"] & rows["robust_margin"])
    assert not (rows["robust_correct"] & ~rows["clean_correct"]).any()
    assert rows["broken_by"].dtype == np.int8
    assert np.array_equal(rows["broken_by"] == -2, ~rows["clean_correct"])
    assert np.array_equal(rows["broken_by"] == -1, rows["robust_correct"])
    assert np.array_equal(rows["broken_by"] == 0, rows["clean_correct"] & ~rows["robust_cross_entropy"])

    for name, column in {"clean_accuracy": "clean_correct", "robust_accuracy": "robust_correct",
                         "robust_accuracy_margin": "robust_margin"}.items():  # fmt: skip
        measure, k = recorder.results[name], int(rows[column].sum())
        assert (measure.value, measure.n, measure.interval) == (k / 90, 90, "Wilson 95 %")
        assert (measure.low, measure.high) == pytest.approx([float(end) for end in wilson(k, 90)])
    described = recorder.results["robust_accuracy"].sentence
    for part in ("linf", "0.06", "6 steps", "2 restarts", "90 validation images", "cross-entropy", "margin"):
        assert part in described
    assert "1 restart per loss" in evaluated(classifier, restarts=1, images=5).results["robust_accuracy"].sentence
    for measure in recorder.results.values():
        assert measure.conditions["data_set"] == {"name": "digits", "digest": "d15b1ecc2d01"}
    robust = dict(recorder.results["robust_accuracy"].conditions)
    assert robust.pop("indices") == indices_condition(rows["index"]) != indices_condition(rows["index"][1:])
    assert robust == {
        "attack": "PGD", "attack_losses": ["cross_entropy", "margin"], "norm": "linf", "eps": 0.06, "attack_steps": 6,
        "step_size": 0.015, "restarts": 2, "random_start": True, "images": 90, "split": "validation",
        "data_set": {"name": "digits", "digest": "d15b1ecc2d01"},
    }  # fmt: skip
    assert recorder.results["robust_accuracy_margin"].conditions["attack_losses"] == ["margin"]
    assert 0.1 < recorder.results["robust_accuracy"].value < recorder.results["clean_accuracy"].value
    assert recorder.metrics["robust_accuracy"][-1].value == recorder.results["robust_accuracy"].value
    assert recorder.progressed[-1] == (90, 90, "images")


def test_passes_are_reported_per_image(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier)
    rows = recorder.columns()
    # One pass for the clean prediction; a survivor pays for two losses, two starts, six steps and a last look.
    assert (rows["forward_passes"][rows["robust_correct"]] == 1 + 2 * 2 * 7).all()
    assert (rows["backward_passes"][rows["robust_correct"]] == 2 * 2 * 6).all()
    assert (rows["forward_passes"][~rows["clean_correct"]] == 1).all()
    assert recorder.attributes["passes_per_image"]["forward"] == pytest.approx(rows["forward_passes"].mean())
    assert sum(recorder.attributes["broken_by"].values()) == 90


@pytest.mark.parametrize("batch_size", [7, 40, 1000])
def test_verdicts_do_not_depend_on_the_batch_size(classifier: MemoryInputRun, batch_size: int) -> None:
    columns = ("index", "prediction", "robust_correct", "broken_by", "breaking_eps")
    expected = evaluated(classifier, batch_size=90, eps_grid=(0.03, 0.1)).columns()
    found = evaluated(classifier, batch_size=batch_size, eps_grid=(0.03, 0.1)).columns()
    for name in columns:
        assert np.array_equal(found[name], expected[name]), name


@pytest.mark.parametrize("cut", [40, 33])
def test_two_ranges_of_images_give_the_rows_of_the_whole(classifier: MemoryInputRun, cut: int) -> None:
    """On two machines, say. Only where batches are cut elsewhere, an attack may spend other passes in their company."""
    spec = spec_of(batch_size=20, eps_grid=(0.1,))
    whole = evaluated(classifier, batch_size=20, eps_grid=(0.1,)).columns()
    images, parts = load_split(TRAINING.data, "validation").take(np.arange(90)), []
    for positions in (range(cut), range(cut, 90)):
        recorder = MemoryRecorder(runs={"classifier": classifier})
        network, _ = load_classifier(recorder.input_run("classifier"), "best", CPU)
        assault, pieces = Assault(network, spec, recorder, CPU), sampling_pieces(recorder, 20)

        def rows(found: range, assault: Assault = assault, pieces: MicroBatches = pieces) -> dict[str, np.ndarray]:
            return assault.attack_in_pieces(images.take(np.array(found)), pieces, with_pictures=False)

        table = ResultTable(recorder, positions, indices=images.indices[positions.start : positions.stop])
        sweep_images(recorder, table, 20, rows)
        parts.append(recorder.columns())
    for name, column in whole.items():
        if name != "backward_passes" or cut % 20 == 0:
            assert np.array_equal(np.concatenate([part[name] for part in parts]), column), name


def test_the_curve_over_eps_holds_zero_and_the_main_radius(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier, eps_grid=(0.12, 0.02, 0.3), batch_size=50)
    curves = recorder.curves["robust_accuracy_over_eps"]
    assert [curve.step for curve in curves] == [50, 90]
    last = curves[-1]
    assert last.x.tolist() == [0, 0.02, 0.06, 0.12, 0.3]
    assert (np.diff(last.y) <= 0).all() and last.y[-1] < 0.05
    assert last.y[0] == recorder.results["clean_accuracy"].value
    assert last.y[2] == recorder.results["robust_accuracy"].value
    band = wilson(np.round(last.y * 90), 90)
    assert last.low == pytest.approx(band.low) and last.high == pytest.approx(band.high)
    assert last.interval == "Wilson 95 %" and "linf" in last.x_label


def test_the_grid_does_not_change_the_main_number(classifier: MemoryInputRun) -> None:
    with_grid = evaluated(classifier, eps_grid=(0.02, 0.05, 0.06, 0.07))
    assert np.array_equal(with_grid.column("robust_correct"), evaluated(classifier).column("robust_correct"))


def test_a_larger_radius_breaks_more_and_radius_zero_nothing(classifier: MemoryInputRun) -> None:
    robust = [evaluated(classifier, attack={"eps": eps, "steps": 6}).results["robust_accuracy"].value
              for eps in (0.0, 0.03, 0.1)]  # fmt: skip
    clean = evaluated(classifier).results["clean_accuracy"].value
    assert robust[0] == clean > robust[1] > robust[2]


def test_l2_attacks(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier, attack={"norm": "l2", "eps": 0.4, "steps": 8}, eps_grid=(0.1, 2.0))
    assert 0 < recorder.results["robust_accuracy"].value < recorder.results["clean_accuracy"].value
    assert "l2" in recorder.results["robust_accuracy"].sentence


def test_pictures_show_what_the_attack_did(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier)
    shown = recorder.pictures["adversarial"][0]
    rows = recorder.columns()
    right = np.flatnonzero(rows["clean_correct"])[:16]
    validation = load_split(TRAINING.data, "validation")
    assert shown.images.shape == (32, 8, 8, 1) and shown.captions is not None
    assert np.array_equal(shown.images[::2], validation.images[right])
    difference = np.abs(shown.images[1::2].astype(int) - shown.images[::2].astype(int))
    assert 0 < difference.max() <= round(0.06 * 255) + 1
    for caption, row in zip(shown.captions[1::2], right, strict=True):
        label = rows["label"][row]
        assert caption.endswith("held out") == (rows["broken_by"][row] == -1)
        assert (f"label {label} -> {label}," in caption) == (rows["broken_by"][row] == -1)


@pytest.mark.parametrize("stop_at", [2, 6])
def test_an_interrupted_run_goes_on_where_it_stopped(classifier: MemoryInputRun, stop_at: int) -> None:
    spec = spec_of(batch_size=20, eps_grid=(0.1,))
    whole = MemoryRecorder(runs={"classifier": classifier})
    run(spec, whole, CPU)
    stopped = MemoryRecorder(runs={"classifier": classifier}, stop_at_check=stop_at * 5)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    done = len(stopped.column("index"))
    assert 0 < done < 90 and stopped.last_checkpoint.step == done
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    for name, column in whole.columns().items():
        assert np.array_equal(resumed.column(name), column), name
    assert resumed.results == whole.results
    assert resumed.progressed[0][0] == done and resumed.progressed[1][0] > done


def test_rows_that_were_recorded_after_the_last_checkpoint_are_not_recorded_twice(classifier: MemoryInputRun) -> None:
    """A killed run has rows beyond its checkpoint, or no checkpoint at all."""
    spec = spec_of(batch_size=20)
    whole = MemoryRecorder(runs={"classifier": classifier})
    run(spec, whole, CPU)
    rows = whole.columns()
    killed = MemoryRecorder(runs={"classifier": classifier}, samples_before={k: v[:50] for k, v in rows.items()})
    run(spec, killed, CPU)
    for name, column in rows.items():
        assert np.array_equal(killed.column(name), column), name
    assert killed.results == whole.results


def test_checkpoints_come_with_time(classifier: MemoryInputRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluated(classifier, batch_size=30).checkpoints == []
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    recorder = evaluated(classifier, batch_size=30)
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == [30, 60, 90]
    assert not any(unpack(checkpoint.weights) for checkpoint in recorder.checkpoints)  # the rows are recorded already


def test_masking_checks_are_noted_and_flagged(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier, sanity_checks=True)
    checks = recorder.attributes["masking_checks"]
    assert len(checks) == 5 and all(check["passed"] for check in checks.values())
    for name in checks:
        assert recorder.results[f"check/{name}"].value == 1.0
        assert any(text.startswith(f"{name}: ") for _, text in recorder.notes)


def test_a_classifier_that_hides_its_gradients_is_flagged(classifier: MemoryInputRun) -> None:
    """Its weights blown up, the network is as right as before, but cross-entropy has no gradient any more."""
    checkpoint = classifier.checkpoint("best")
    parts = unpack(checkpoint.weights)
    parts["average"] = {k: 1e6 * v if k.startswith("head.") else v for k, v in parts["average"].items()}
    blown = type(checkpoint)(checkpoint.step, pack(**parts), checkpoint.state)
    hidden = MemoryInputRun("classifier", TRAINING, last=blown)
    recorder = evaluated(hidden, sanity_checks=True, losses=("cross_entropy",), attack={"eps": 0.06, "steps": 6,
                                                                                       "random_start": False})  # fmt: skip
    assert recorder.results["check/gradients_do_not_vanish"].value == 0
    assert any(level == "warning" and "vanishes" in text for level, text in recorder.notes)
    honest = evaluated(hidden, losses=("margin",)).results["robust_accuracy"].value
    assert recorder.results["robust_accuracy"].value > honest + 0.1  # what the flag warns of


@pytest.mark.parametrize(
    ("objective", "learnt", "attack", "said"),
    [
        ("trades", {"eps": 8 / 255}, {"eps": 0.15},
         "attack.eps = 0.15; this classifier was trained at linf 0.0314 (8/255)"),
        ("pgd_at", {"norm": "l2", "eps": 128 / 255}, {"eps": 8 / 255},
         "attack.norm = linf, attack.eps = 0.0314 (8/255); this classifier was trained at l2 0.502 (128/255)"),
        ("trades", {"eps": 0.2}, {"eps": 0.15}, "attack.eps = 0.15; this classifier was trained at linf 0.2"),
        ("trades", {"eps": 0.15, "steps": 7}, {"eps": 0.15, "steps": 40}, ""),
        ("standard", {"eps": 8 / 255}, {"eps": 0.15}, ""),
    ],
)  # fmt: skip
def test_another_ball_than_that_of_the_training_is_warned_of(
    objective: str, learnt: dict[str, Any], attack: dict[str, Any], said: str
) -> None:
    recorder = MemoryRecorder()
    training = TrainClassifierSpec(objective=objective, attack=learnt)  # type: ignore[arg-type]
    warn_of_another_ball(spec_of(attack=attack), recorder, training)
    assert recorder.notes == ([("warning", said)] if said else [])


def test_an_empty_probe_is_noted(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier, sanity_checks=True, attack={"eps": 0.0, "steps": 1})
    assert any("nothing to attack" in text for _, text in recorder.notes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": 198}, "198.*197 images of the validation split"),
        ({"eps_grid": (0.1, 1.5)}, "1.5"),
        ({"eps_grid": (-0.1,)}, "-0.1"),
    ],
)
def test_bad_requests_are_refused(classifier: MemoryInputRun, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        evaluated(classifier, **changes)


def test_a_diverged_classifier_is_refused(classifier: MemoryInputRun) -> None:
    checkpoint = classifier.checkpoint("best")
    parts = unpack(checkpoint.weights)
    parts["average"]["head.bias"][0] = float("nan")
    broken = type(checkpoint)(checkpoint.step, pack(**parts), checkpoint.state)
    with pytest.raises(UserError, match="not finite"):
        evaluated(MemoryInputRun("classifier", TRAINING, last=broken))


def test_the_training_split_is_the_subset_that_was_learnt(classifier: MemoryInputRun) -> None:
    recorder = evaluated(classifier, split="train", images=None, losses=("margin",), restarts=1, attack={"steps": 1})
    expected = load_split(TRAINING.data, "train")
    assert len(expected) == 200 and np.array_equal(recorder.column("index"), expected.indices)
