"""Attacks behind one protocol: projected gradients, and attacks that difrob has never heard of, in one union."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from support.toy_classifiers import PassCounter, WavyClassifier
from torch import Tensor, nn
from torch.nn import functional

from difrob.attacks.attack import HELD_OUT, Attack, AttackVerdict, Draws
from difrob.attacks.losses import margin
from difrob.attacks.pgd import search
from difrob.attacks.projections import Ball
from difrob.attacks.restarted_pgd import RestartedPGD
from difrob.attacks.starts import starting_points
from difrob.attacks.union import SURVIVED, UnionVerdict, attack_union, attack_with_each
from difrob.specs import AttackSpec

EPS = 0.05
SPEC = AttackSpec(eps=EPS, steps=6)
INDICES = np.arange(100, 160)


def network_case() -> tuple[nn.Module, Tensor, Tensor]:
    network = WavyClassifier((1, 4, 4), 6, seed=1)
    images = torch.rand(60, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network, images, network(images).argmax(1)


@dataclass
class RandomSigns:
    """Corners of the ball at random: no gradients, so many trials, each a restart."""

    restarts: int = 4
    name: str = "random_signs"
    asked: list[int] = field(default_factory=list)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> AttackVerdict:
        self.asked += draws.indices.tolist()
        adversarial, broken_in = images.clone(), np.full(len(images), HELD_OUT, dtype=np.int64)
        forward = np.zeros(len(images), dtype=np.int64)
        for trial in range(self.restarts):
            rows = np.flatnonzero(broken_in == HELD_OUT)
            if len(rows) == 0:
                break
            signs = (draws.take(rows).uniform(("random signs", trial), images.shape[1:]) - 0.5).sign()
            adversarial[rows] = (images[rows] + EPS * signs).clamp(0, 1)
            with torch.no_grad():
                wrong = model(adversarial[rows]).argmax(1) != labels[rows]
            broken_in[rows[wrong.numpy()]] = trial
            forward[rows] += 1
        held_out = broken_in == HELD_OUT
        return AttackVerdict(
            held_out, adversarial, broken_in, np.where(held_out, HELD_OUT, 0), forward, np.zeros_like(forward)
        )


@dataclass(frozen=True)
class OneStep:
    """The fast gradient sign method (Goodfellow et al. 2015)."""

    name: str = "one_step"
    restarts: int = 1

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> AttackVerdict:
        points = images.clone().requires_grad_()
        (gradients,) = torch.autograd.grad(functional.cross_entropy(model(points), labels, reduction="sum"), points)
        adversarial = (images + EPS * gradients.sign()).clamp(0, 1)
        with torch.no_grad():
            held_out = (model(adversarial).argmax(1) == labels).numpy()
        passes = np.ones(len(images), dtype=np.int64)
        broken_in, broken_at = np.where(held_out, HELD_OUT, 0), np.where(held_out, HELD_OUT, 1)
        return AttackVerdict(held_out, adversarial, broken_in, broken_at, 2 * passes, passes)


def attacked(attacks: Sequence[Attack], rows: slice = slice(None)) -> UnionVerdict:
    network, images, labels = network_case()
    return attack_with_each(network, images[rows], labels[rows], Draws(0, INDICES[rows]), attacks)


def test_foreign_attacks_join_the_union() -> None:
    network, images, labels = network_case()
    signs = RandomSigns()
    attacks = [OneStep(), RestartedPGD(SPEC, "cross_entropy", 2), signs, RestartedPGD(SPEC, "margin", 2)]
    counter = PassCounter(network)
    found = attack_with_each(network, images, labels, Draws(0, INDICES), attacks)
    assert counter.forward == found.forward.sum() and counter.backward_to_input == found.backward.sum()

    alone = [attacked([attack]) for attack in attacks]
    assert signs.asked[:60] == INDICES.tolist()  # each attack sees every image, whatever others broke
    assert np.array_equal(found.broken, np.concatenate([verdict.broken for verdict in alone]))
    assert np.array_equal(found.forward, sum(verdict.forward for verdict in alone))
    assert np.array_equal(found.backward, sum(verdict.backward for verdict in alone))
    assert found.broken_at.shape == (4, 4)
    assert [
        row[: verdict.broken_at.shape[1]].tolist() for row, verdict in zip(found.broken_at, alone, strict=True)
    ] == [verdict.broken_at[0].tolist() for verdict in alone]
    first = np.where(found.broken.any(axis=0), found.broken.argmax(axis=0), SURVIVED)
    assert np.array_equal(found.broken_by, first) and {0, 1, SURVIVED} <= set(first.tolist())
    for row, number in enumerate(first):
        assert torch.equal(found.adversarial[row], alone[number].adversarial[row])  # by the first one, else by the last
    with torch.no_grad():
        assert np.array_equal((network(found.adversarial).argmax(1) == labels).numpy(), found.held_out)


@pytest.mark.parametrize("size", [1, 7, 25])
def test_an_image_is_attacked_alike_in_any_company(size: int) -> None:
    attacks = [RandomSigns(), RestartedPGD(SPEC, "cross_entropy", 2)]
    whole = attacked(attacks)
    parts = [attacked(attacks, slice(first, first + size)) for first in range(0, 60, size)]
    # Gradients are taken in company: of an image that breaks, one more is spent while others of its batch hold out.
    for name in ("broken_by", "forward"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name)), name
    assert torch.allclose(torch.cat([part.adversarial for part in parts]), whole.adversarial, atol=1e-12)
    assert 0 < whole.held_out.sum() < 60


def test_draws_belong_to_the_image_and_the_stream() -> None:
    draws = Draws(4, INDICES)
    for kind in ("uniform", "normal"):
        numbers = getattr(draws, kind)(("a", 0), (2, 3))
        assert numbers.shape == (60, 2, 3) and len(draws) == 60
        rows = np.array([7, 3])
        assert torch.equal(getattr(draws.take(rows), kind)(("a", 0), (2, 3)), numbers[rows])
        for other in (getattr(draws, kind)(("a", 1), (2, 3)), getattr(Draws(5, INDICES), kind)(("a", 0), (2, 3))):
            assert not torch.isclose(other, numbers).any(dim=-1).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_restarted_ascent_is_one_search_after_the_other(norm: str) -> None:
    """Bit for bit what the search finds from each start among those that held out so far, and no pass beside it."""
    network, images, labels = network_case()
    spec = AttackSpec(norm=norm, eps=EPS if norm == "linf" else 0.1, steps=6)  # type: ignore[arg-type]
    counter, calls = PassCounter(network), list[int]()
    attack = RestartedPGD(spec, "margin", 3, lambda: calls.append(counter.forward))
    verdict = attack(network, images, labels, Draws(2, INDICES))
    assert counter.forward == verdict.forward.sum() and counter.backward_to_input == verdict.backward.sum()
    assert len(calls) == 2 and calls[0] > 0

    adversarial, broken_in = images.clone(), np.full(60, HELD_OUT)
    broken_at, forward, backward = (np.full(60, start) for start in (HELD_OUT, 0, 0))
    for restart in range(3):
        rows = np.flatnonzero(broken_in == HELD_OUT)
        ball = Ball(images[rows], norm=spec.norm, eps=spec.eps)
        start = starting_points(
            ball, random_start=True, seed=2, stream=("attack", "margin", restart), indices=INDICES[rows]
        )
        found = search(network, ball, start, labels[rows], margin, steps=6, step_size=spec.resolved_step_size)
        adversarial[rows] = found.adversarial
        broken_in[rows[found.broken.numpy()]] = restart
        broken_at[rows] = found.steps_needed.numpy()
        forward[rows] += found.forward.numpy()
        backward[rows] += found.backward.numpy()
    assert torch.equal(verdict.adversarial, adversarial)
    for name, expected in (
        ("broken_in", broken_in),
        ("broken_at", broken_at),
        ("forward", forward),
        ("backward", backward),
    ):
        assert np.array_equal(getattr(verdict, name), expected), name
    assert np.array_equal(verdict.held_out, broken_in == HELD_OUT) and set(broken_in) >= {HELD_OUT, 0, 1}


def test_a_union_of_losses_asks_before_each_restart() -> None:
    network, images, labels = network_case()
    calls: list[int] = []
    attack_union(
        network, images, labels, INDICES, attack=SPEC, losses=("cross_entropy", "margin"), restarts=3, seed=0,
        between=lambda: calls.append(1),
    )  # fmt: skip
    assert len(calls) == 6
    attack_union(
        network, images[:0], labels[:0], INDICES[:0], attack=SPEC, losses=("margin",), restarts=3, seed=0,
        between=lambda: calls.append(1),
    )  # fmt: skip
    assert len(calls) == 6  # nobody is asked where there is nothing to attack
