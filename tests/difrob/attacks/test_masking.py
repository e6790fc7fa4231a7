"""Each masking check must pass an honest network and catch the trick that it is there for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.toy_classifiers import LinearClassifier, worst_margin_linf
from torch import Tensor, nn

from difrob.attacks import masking
from difrob.attacks.masking import (
    Probe,
    deterministic_outputs,
    gradients_do_not_vanish,
    huge_radius_reaches_zero,
    masking_checks,
    more_steps_are_not_weaker,
    noise_is_not_stronger,
    share_of_vanishing_gradients,
)
from difrob.specs import AttackSpec

LOSSES = ("cross_entropy", "margin")
ATTACK = AttackSpec(eps=0.1, steps=10)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


class Saturated(Wrapped):
    """Logits so large that cross-entropy has no gradient left in float32."""

    def forward(self, x: Tensor) -> Tensor:
        return 1e4 * self.inner(x)


class Quantised(Wrapped):
    """Grey levels are rounded before the network: the gradient is zero almost everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner((8 * x).round() / 8)


class Misleading(Wrapped):
    """Right answers, but gradients that point the wrong way."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(2 * x.detach() - x)


class Random(Wrapped):
    """Noise on the input at every pass."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + 0.1 * torch.randn_like(x))


def probe_of(network: LinearClassifier, count: int = 60) -> Probe:
    images = torch.rand(count, *network.image_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return Probe(images, network(images).argmax(1), np.arange(count))


@pytest.fixture
def honest() -> LinearClassifier:
    return LinearClassifier((1, 5, 5), 3)


def test_an_honest_network_passes_everything(honest: LinearClassifier) -> None:
    for attack in (ATTACK, AttackSpec(norm="l2", eps=0.3, steps=10)):
        checks = masking_checks(honest, probe_of(honest), attack=attack, losses=LOSSES, seed=0)
        assert [check.name for check in checks if not check.passed] == []
        assert len({check.name for check in checks}) == len(checks) == 5
        assert all(check.message for check in checks)


def test_a_random_network_is_named(honest: LinearClassifier) -> None:
    assert deterministic_outputs(honest, probe_of(honest)).passed
    found = deterministic_outputs(Random(honest), probe_of(honest))
    assert not found.passed and found.numbers["largest_difference"] > 0.01


def test_saturation_blinds_cross_entropy_but_not_the_margin(honest: LinearClassifier) -> None:
    probe = probe_of(honest)
    saturated = Saturated(honest)
    assert share_of_vanishing_gradients(saturated, probe, loss="cross_entropy") > 0.9
    assert share_of_vanishing_gradients(saturated, probe, loss="margin") == 0
    assert not gradients_do_not_vanish(saturated, probe, losses=("cross_entropy",)).passed
    assert gradients_do_not_vanish(saturated, probe, losses=LOSSES).passed


def test_quantisation_is_caught_by_vanishing_gradients_and_by_the_huge_radius(honest: LinearClassifier) -> None:
    quantised = Quantised(honest)
    images = (8 * probe_of(honest).images).round() / 8
    with torch.no_grad():
        probe = Probe(images, quantised(images).argmax(1), np.arange(len(images)))
    start_at_image = ATTACK.model_copy(update={"random_start": False})
    assert not gradients_do_not_vanish(quantised, probe, losses=LOSSES).passed
    assert not huge_radius_reaches_zero(quantised, probe, attack=start_at_image, losses=LOSSES, seed=0).passed


def test_gradients_that_mislead_are_caught(honest: LinearClassifier) -> None:
    probe, misleading = probe_of(honest), Misleading(honest)
    huge = huge_radius_reaches_zero(misleading, probe, attack=ATTACK, losses=LOSSES, seed=0)
    noise = noise_is_not_stronger(misleading, probe, attack=AttackSpec(eps=0.3, steps=10), losses=LOSSES, seed=0)
    assert not huge.passed and huge.numbers["standing"] > 0.1
    assert not noise.passed and noise.numbers["broken_by_noise_alone"] > 0.02


def test_both_attacks_of_the_step_check_are_as_strong_as_they_say(honest: LinearClassifier) -> None:
    """On a linear network four times the steps of a quarter the length end at the same corner."""
    probe = probe_of(honest)
    found = more_steps_are_not_weaker(honest, probe, attack=ATTACK, losses=("margin",), seed=0)
    held = worst_margin_linf(honest, probe.images, probe.labels, ATTACK.eps) < 0
    assert found.passed
    assert found.numbers["standing"] == pytest.approx(float(held.double().mean()), abs=0.05)
    assert found.numbers["standing_with_more_steps"] == pytest.approx(found.numbers["standing"], abs=0.02)


@pytest.mark.parametrize(
    ("standing", "with_more_steps", "passed", "said"),
    [
        (0.50, 0.60, False, "the gradients mislead"),
        (0.50, 0.51, True, "10 steps leave 50.0 % of the correctly classified images standing, 40 finer steps 51.0 %"),
        (0.50, 0.30, True, "has not converged"),
    ],
)
def test_verdict_of_the_step_check(
    honest: LinearClassifier, monkeypatch: pytest.MonkeyPatch,
    standing: float, with_more_steps: float, passed: bool, said: str,
) -> None:  # fmt: skip
    shares = {ATTACK.steps: standing, 4 * ATTACK.steps: with_more_steps}
    monkeypatch.setattr(masking, "_standing_after_last_step", lambda *_, attack, **__: shares[attack.steps])
    found = more_steps_are_not_weaker(honest, probe_of(honest), attack=ATTACK, losses=LOSSES, seed=0)
    assert found.passed == passed and said in found.message
