"""Presets of evaluations attack in the ball that the presets of their trainings name."""

from __future__ import annotations

import pytest

from difrob.specs import EvaluateSpec, TrainClassifierSpec, load_preset, parse_spec


@pytest.mark.parametrize(
    ("evaluation", "trainings"),
    [
        ("digits-evaluate", ("digits-trades", "digits-pgd-at")),
        ("mnist-evaluate", ("mnist-trades",)),
        ("cifar10-evaluate", ("cifar10-trades-small", "wang-cifar10-wrn-28-10")),
    ],
)
def test_an_evaluation_attacks_in_the_ball_of_the_training(evaluation: str, trainings: tuple[str, ...]) -> None:
    digits = load_preset("digits-evaluate", "evaluate").spec
    spec = parse_spec({"kind": "evaluate", "classifier": "c", **load_preset(evaluation, "evaluate").spec})
    assert isinstance(spec, EvaluateSpec)
    assert (spec.attack.steps, spec.restarts) == (digits["attack"]["steps"], digits["restarts"])
    assert spec.attack.eps not in spec.eps_grid and min(spec.eps_grid) < spec.attack.eps < max(spec.eps_grid)
    for name in trainings:
        trained = parse_spec({"kind": "train_classifier", **load_preset(name, "train_classifier").spec})
        assert isinstance(trained, TrainClassifierSpec)
        assert (spec.attack.norm, spec.attack.eps) == (trained.attack.norm, trained.attack.eps)
