"""``train_classifier`` under AdamW: exact resume, rates, what the decay spares, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.memory_recorder import MemoryRecorder
from support.small_classifiers import LAID_OUT_OTHERWISE, TRANSFORMER
from support.trained_runs import assert_same_end, trained, weights_of

from difrob.errors import Stopped, UserError
from difrob.jobs.train_classifier import run
from difrob.nets.storage import unpack
from difrob.specs import TrainClassifierSpec, load_preset, parse_spec
from difrob.training.schedules import one_cycle, warmup_cosine

CPU = torch.device("cpu")


def spec_of(**changes: Any) -> TrainClassifierSpec:
    values: dict[str, Any] = {
        "data": {"train_size": 60}, "network": TRANSFORMER, "attack": {"steps": 2}, "steps": 12, "batch_size": 20,
        "optimiser": "adamw", "learning_rate": 0.002, "weight_decay": 0.05, "warmup_fraction": 0.25,
        "validate_every": 6, "validation_attack_steps": 2, "log_every": 1, "checkpoint_every": 6,
    }  # fmt: skip
    return TrainClassifierSpec(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"schedule": "one_cycle", "betas": (0.9, 0.95), "gradient_clip": 1.0}, LAID_OUT_OTHERWISE],
    ids=["transformer", "one cycle, other betas", "residual, pieces, channels last, half"],
)
def test_twelve_steps_are_six_and_six(changes: dict[str, Any]) -> None:
    spec = spec_of(**changes)
    whole, stopped = trained(spec), MemoryRecorder(stop_at_check=6)
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    assert stopped.last_checkpoint.step == 6
    kept = {name.rsplit(".", 1)[-1] for name in unpack(stopped.last_checkpoint.weights)["optimiser"]}
    assert kept == {"exp_avg", "exp_avg_sq", "step"}
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    assert_same_end(whole, resumed)
    assert resumed.values("loss") == whole.values("loss")[6:]


@pytest.mark.parametrize(("schedule", "rule"), [("cosine", warmup_cosine), ("one_cycle", one_cycle)])
def test_the_rate_rises_and_falls_by_the_schedule(schedule: str, rule: Any) -> None:
    recorder = trained(spec_of(schedule=schedule))
    expected = [rule(step, 12, peak=0.002, warmup_steps=3) for step in range(12)]
    assert recorder.values("learning_rate") == pytest.approx(expected)
    assert "momentum" not in recorder.metrics
    groups = recorder.last_checkpoint.state["optimiser"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([expected[-1]] * 2)
    assert [group["betas"] for group in groups] == [[0.9, 0.999]] * 2 and all(group["fused"] for group in groups)


def test_decay_moves_weights_alone() -> None:
    """One step with and without decay: what is spared comes out alike bit for bit, weights by rate times decay apart."""
    plain, decayed = (
        weights_of(trained(spec_of(steps=1, warmup_fraction=0.0, weight_decay=decay))) for decay in (0.0, 0.5)
    )
    moved = set()
    for key in plain:
        if key.startswith("network/") and not torch.equal(plain[key], decayed[key]):
            moved.add(key.removeprefix("network/"))
            ratio = (plain[key] - decayed[key]).norm() / plain[key].norm()
            assert float(ratio) == pytest.approx(0.002 * 0.5, rel=0.2), key
    blocks = ("queries_keys_values", "attended", "perceptron.0", "perceptron.2")
    assert moved == {"patches.weight", "head.weight", *(f"blocks.0.{name}.weight" for name in blocks)}


def test_a_momentum_that_adamw_does_not_have_is_not_recorded() -> None:
    """With the half-cosine schedule the field means nothing, whatever it says."""
    assert "momentum" not in trained(spec_of(steps=1, cycle_momentum=True)).metrics


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 0.2}, "learning_rate = 0.2 is a rate for SGD; AdamW takes about 0.001, and at most 0.1"),
        (
            {"schedule": "one_cycle", "cycle_momentum": True},
            "cycle_momentum moves the momentum of SGD, which AdamW has",
        ),
        ({"betas": [0.9, 1.0]}, "betas = (0.9, 1.0): each must be at least 0 and less than 1"),
        ({"betas": [0.9]}, "'betas'"),
        ({"betas": [0.9, 0.99, 0.999]}, "'betas'"),
        ({"optimiser": "adam"}, "'optimiser' = 'adam'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_spec({"kind": "train_classifier", "optimiser": "adamw", "learning_rate": 0.001, **changes})
    assert sentence in str(caught.value)


def test_an_old_record_is_one_of_sgd() -> None:
    spec = parse_spec(
        {"kind": "train_classifier", "learning_rate": 0.2, "schedule": "one_cycle", "cycle_momentum": True}
    )
    assert isinstance(spec, TrainClassifierSpec) and spec.optimiser == "sgd" and spec.cycles_momentum


def test_the_presets_of_transformers_train_them_as_transformers() -> None:
    for name in ("digits-vit", "cifar10-vit-b-2"):
        spec = parse_spec({"kind": "train_classifier", **load_preset(name, "train_classifier").spec})
        assert isinstance(spec, TrainClassifierSpec)
        assert spec.optimiser == "adamw" and spec.network.architecture in ("vit", "vit_base_2")
        assert 1e-4 <= spec.learning_rate <= 1e-3 and spec.weight_decay == 0.05 and spec.warmup_fraction > 0
