"""Adversarial training with a teacher: exact resume, arms that differ in the term alone, and what is refused."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.trained_runs import assert_same_end, trained_run, weights_of

from difrob.errors import Stopped, UserError
from difrob.jobs import train_classifier
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainClassifierSpec, TrainDenoiserSpec

CPU = torch.device("cpu")


@lru_cache
def teacher() -> MemoryInputRun:
    spec = TrainDenoiserSpec(
        data=DataSpec(train_size=60),
        network=DenoiserNetworkSpec(width=32, blocks=3),
        steps=5,
        batch_size=20,
        sample_every=0,
    )
    return trained_run(spec, "teacher")


def spec_of(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": {"channels": (4, 8), "features": 16}, "attack": {"steps": 2}, "steps": 10,
        "batch_size": 20, "validate_every": 5, "validation_attack_steps": 2, "log_every": 1, "checkpoint_every": 20,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


def aligned(teacher: str = "denoiser", **changes: Any) -> dict[str, Any]:
    return {"alignment": {"teacher": teacher, "denoiser": "teacher", "block": "block1", **changes}}


def trained(spec: TrainClassifierSpec, recorder: MemoryRecorder | None = None) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder(runs={"teacher": teacher()})
    train_classifier.run(spec, recorder, CPU)
    return recorder


@pytest.mark.parametrize(
    "changes",
    [
        aligned(), aligned("random", student="both"), aligned(targets="shuffled", noise="image"),
        {**aligned(student="clean"), "objective": "gaussian"}, {**aligned(), "memory": {"micro_batch": 8}},
        {**aligned(), "objective": "mart", "augmentation": {"padding": 1}},
    ],
)  # fmt: skip
def test_a_resumed_run_is_the_run_that_was_interrupted(changes: dict[str, Any]) -> None:
    spec = spec_of(**changes)
    whole = trained(spec)
    stopped = MemoryRecorder(runs={"teacher": teacher()}, stop_at_check=6)
    with pytest.raises(Stopped):
        trained(spec, stopped)
    resumed = trained(spec, stopped.resume())
    assert_same_end(whole, resumed)
    assert {key.split("/")[0] for key in weights_of(whole)} >= {"network", "average", "alignment", "optimiser"}
    together = stopped.metrics["loss/alignment"] + resumed.metrics["loss/alignment"]
    assert together == whole.metrics["loss/alignment"]


def test_the_term_is_learnt_and_leaves_the_rest_of_the_first_step_alone() -> None:
    plain, with_teacher = trained(spec_of()), trained(spec_of(**aligned(weight=1.0)))
    assert plain.values("loss/clean")[0] == with_teacher.values("loss/clean")[0]
    term = with_teacher.values("loss/alignment")
    assert 0 < term[-1] < term[0] < 2 and "loss/alignment" not in plain.metrics
    first = with_teacher.values("loss")[0]
    assert first == pytest.approx(plain.values("loss")[0] + term[0], rel=1e-5)
    facts = with_teacher.attributes["alignment"]
    assert facts["teacher_features"] > 0 and set(with_teacher.parents) == {"teacher"}
    (line,) = [text for level, text in with_teacher.notes if text.startswith("aligned with")]
    assert line.startswith(f"aligned with 'teacher': denoiser, {facts['block']}, sigma {facts['sigma']:g}, ")
    assert f" {facts['teacher_features']:,} features" in line and "alignment.block is empty" not in line


def test_a_block_that_was_left_open_is_named() -> None:
    found = trained(spec_of(**aligned(block="")))
    facts = found.attributes["alignment"]
    (line,) = [text for level, text in found.notes if text.startswith("aligned with")]
    assert facts["block"] in facts["teacher"] and facts["block"] and f", {facts['block']}, sigma " in line
    assert line.endswith(" features, the block in the middle, as alignment.block is empty")


def test_what_does_not_fit_is_refused_before_any_step() -> None:
    for changes, message in (
        (aligned(block="block99"), "block99"),
        ({"alignment": {"teacher": "denoiser", "denoiser": "gone", "block": "block1"}}, "gone"),
    ):
        recorder = MemoryRecorder(runs={"teacher": teacher()})
        with pytest.raises(UserError, match=message):
            trained(spec_of(**changes), recorder)
        assert not recorder.progressed
    for changes in ({**aligned(), "objective": "standard"}, {**aligned(), "augmentation": {"cutmix": 2}}):
        with pytest.raises(ValueError, match="alignment"):
            spec_of(**changes)
    with pytest.raises(ValueError, match="needs a run in 'denoiser'"):
        spec_of(alignment={"teacher": "denoiser"})
