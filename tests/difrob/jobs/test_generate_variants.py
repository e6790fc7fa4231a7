"""The generation job beyond the plain case: samplers, selection by confidence, judged labels, class weights, attacks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs import generate, train_classifier, train_denoiser
from difrob.jobs.confidence_selection import best_of_each_class
from difrob.specs import DataSpec, DenoiserNetworkSpec, GenerateSpec, TrainClassifierSpec, TrainDenoiserSpec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")


@lru_cache
def denoiser(name: str) -> MemoryInputRun:
    changes = {"edm": {}, "ddpm": {"parameterisation": "ddpm", "time_steps": 40}, "plain": {"class_conditional": False},
               "toy": {"data": DataSpec(dataset="toy-ring", train_size=50)}}[name]  # fmt: skip
    values = {"data": DataSpec(train_size=200), "network": DenoiserNetworkSpec(width=32, blocks=2), "steps": 60,
              "batch_size": 64, "learning_rate": 4e-3, "sample_every": 0}  # fmt: skip
    spec = TrainDenoiserSpec(**{**values, **changes})
    recorder = MemoryRecorder()
    train_denoiser.run(spec, recorder, CPU)
    return recorder.as_input_run(spec, name)


@lru_cache
def judge() -> MemoryInputRun:
    spec = TrainClassifierSpec(
        data={"train_size": 200}, network={"channels": (8, 16), "features": 32}, objective="standard", steps=60,
        batch_size=64, validate_every=60, validation_attack_steps=1,
    )  # fmt: skip
    recorder = MemoryRecorder()
    train_classifier.run(spec, recorder, CPU)
    return recorder.as_input_run(spec, "judge")


def generated(recorder: MemoryRecorder | None = None, **changes: Any) -> MemoryRecorder:
    values = {"denoiser": "edm", "images": 30, "sampling_steps": 4, "batch_size": 12, **changes}
    runs = {"judge": judge(), **{name: denoiser(name) for name in ("edm", "ddpm", "plain", "toy")}}
    recorder = recorder or MemoryRecorder(runs=runs)
    generate.run(GenerateSpec(**values), recorder, CPU)
    return recorder


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "dpm_solver_2m"}, {"sampler": "euler"}, {"sampler": "ddim", "eta": 0.5}, {"churn": 10.0},
        {"sampler": "ddpm", "denoiser": "ddpm", "sampling_steps": 40, "clip": True}, {"denoiser": "ddpm"},
        {"denoiser": "ddpm", "grid": "karras", "sigma_max": 20.0}, {"sampling_steps": 1},
        {"attack": {"kappa": 2.0, "steps": 2}}, {"guidance_scale": 2.0, "sampler": "ddim"},
    ],
)  # fmt: skip
def test_images_depend_on_their_index_alone(changes: dict[str, Any]) -> None:
    whole, cut = generated(**changes), generated(**{**changes, "batch_size": 7})
    assert np.array_equal(whole.column("label"), cut.column("label"))
    difference = np.abs(whole.column("images").astype(int) - cut.column("images").astype(int))
    assert difference.max() <= 1  # rounding of sums of another length


def test_each_sampler_draws_something_else() -> None:
    drawn = [generated(sampler=name).column("images") for name in ("heun", "euler", "dpm_solver_2m")]
    drawn += [generated(sampler="ddim", eta=1.0).column("images"), generated(attack={"kappa": 5.0}).column("images")]
    for place, images in enumerate(drawn):
        assert all(not np.array_equal(images, other) for other in drawn[:place])
    assert generated(sampler="dpm_solver_2m").attributes["network_calls_per_image"] == 4
    assert generated(guidance_scale=2.0).attributes["network_calls_per_image"] == 14


SELECTED = {"selection": {"keep_share": 0.25, "judge": "judge"}}


def test_the_most_confident_of_each_class_are_kept() -> None:
    everything, kept = generated(images=120), generated(**SELECTED)
    classifier, _ = load_classifier(judge(), "best", CPU)
    with torch.no_grad():
        pixels = torch.from_numpy(everything.column("images")).permute(0, 3, 1, 2).float() / 255
        probabilities = classifier(pixels).softmax(1).numpy()
    scores = probabilities[np.arange(120), everything.column("label")]
    chosen = np.sort(
        np.concatenate([label + 10 * np.argsort(-scores[label::10], kind="stable")[:3] for label in range(10)])
    )
    assert kept.column("index").tolist() == chosen.tolist()
    assert np.array_equal(kept.column("images"), everything.column("images")[chosen])
    assert kept.column("score") == pytest.approx(scores[chosen], abs=1e-5)
    assert np.bincount(kept.column("label")).tolist() == [3] * 10
    assert kept.results["mean_confidence"].value > scores.mean() and kept.attributes["candidates"] == 120


@pytest.mark.parametrize("stop", [6, 20, 45])
def test_an_interrupted_selection_is_the_whole_one(stop: int) -> None:
    whole = generated(**SELECTED)
    stopped = MemoryRecorder(runs={"judge": judge(), "edm": denoiser("edm")}, stop_at_check=stop)
    with pytest.raises(Stopped):
        generated(stopped, **SELECTED)
    resumed = generated(stopped.resume(), **SELECTED)
    for column, rows in whole.columns().items():
        assert np.array_equal(rows, resumed.columns()[column]), column
    assert whole.results == resumed.results


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
def test_shares_add_up_and_nothing_better_is_left_out(labels: list[int], share: float, seed: int) -> None:
    owners = np.array(labels)
    scores = np.random.default_rng(seed).integers(0, 5, len(owners)) / 5
    images = max(1, int(share * len(owners)))
    chosen = best_of_each_class(scores, owners, images, 4)
    assert len(chosen) == images == len(set(chosen.tolist())) and (np.diff(chosen) > 0).all()
    left = np.setdiff1d(np.arange(len(owners)), chosen)
    for label in range(4):
        mine, theirs = scores[chosen[owners[chosen] == label]], scores[left[owners[left] == label]]
        assert abs(len(mine) - images * (owners == label).mean()) < 1 + 1e-9
        assert not len(mine) or not len(theirs) or mine.min() >= theirs.max()


def test_a_model_without_classes_is_labelled_by_the_judge() -> None:
    recorder = generated(denoiser="plain", labels="judge", selection={"judge": "judge"})
    classifier, _ = load_classifier(judge(), "best", CPU)
    with torch.no_grad():
        pixels = torch.from_numpy(recorder.column("images")).permute(0, 3, 1, 2).float() / 255
        assert np.array_equal(recorder.column("label"), classifier(pixels).argmax(1).numpy())
    assert recorder.attributes["num_classes"] == 10


def test_classes_in_chosen_shares() -> None:
    weights = (3.0, 1.0) + (0.0,) * 8
    counts = np.bincount(generated(images=40, class_weights=weights).column("label"), minlength=10)
    assert abs(counts[0] - 30) <= 1 and counts[:2].sum() == 40 and not counts[2:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"denoiser": "plain"}, "was trained without classes"),
        ({"denoiser": "plain", "labels": "judge", "selection": {"judge": "judge"}, "guidance_scale": 2.0}, "knows no classes"),
        ({"denoiser": "toy"}, "draws points of 'toy-ring', not images"),
        ({"grid": "schedule"}, "is an EDM; choose 'karras'"),
        ({"denoiser": "ddpm", "sampling_steps": 41}, "more than the 40 steps of the schedule"),
        ({"denoiser": "ddpm", "grid": "karras", "sigma_max": 1e6}, "beyond this denoiser"),
        ({"class_weights": (1.0, 2.0)}, "must be 10 numbers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_drawn(changes: dict[str, Any], message: str) -> None:
    recorder = MemoryRecorder(
        runs={"judge": judge(), **{name: denoiser(name) for name in ("edm", "ddpm", "plain", "toy")}}
    )
    with pytest.raises(UserError, match=message):
        generated(recorder, **changes)
    assert not recorder.columns()


@pytest.mark.parametrize(
    "changes",
    [{"selection": {"keep_share": 0.5}}, {"labels": "judge"}, {"class_weights": (-1.0, 2.0)},
     {"labels": "judge", "selection": {"keep_share": 0.5, "judge": "judge"}}, {"sampler": "lucky"}],
)  # fmt: skip
def test_contradictions_are_refused_by_the_specification(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="selection|class_weights|sampler|probability"):
        GenerateSpec(denoiser="edm", **changes)


@pytest.mark.parametrize("changes", [{}, SELECTED])
def test_a_run_killed_after_its_last_row_still_ends_with_its_progress(changes: dict[str, Any]) -> None:
    whole = generated(**changes)
    runs = {"judge": judge(), "edm": denoiser("edm")}
    resumed = MemoryRecorder(runs=runs, samples_before=whole.columns())  # all rows, and no checkpoint
    generated(resumed, **changes)
    assert resumed.progressed[-1] == whole.progressed[-1] and resumed.results == whole.results
