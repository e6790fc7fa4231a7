"""The union of attacks: flags per image, restarts on survivors, independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.toy_classifiers import PassCounter, WavyClassifier
from torch import Tensor, nn

from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points, tiny_gaussian_start
from difrob.attacks.union import SURVIVED, attack_union
from difrob.specs import AttackSpec

LOSSES = ("cross_entropy", "margin")


def network_case(count: int = 60) -> tuple[nn.Module, Tensor, Tensor, np.ndarray]:
    network = WavyClassifier((1, 4, 4), 6, seed=1)
    images = torch.rand(count, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network, images, network(images).argmax(1), np.arange(100, 100 + count)


ATTACK = AttackSpec(eps=0.05, steps=6)


def test_flags_say_what_broke_an_image() -> None:
    network, images, labels, indices = network_case()
    found = attack_union(network, images, labels, indices, attack=ATTACK, losses=LOSSES, restarts=2, seed=0)
    assert found.broken.shape == (2, 60) and found.broken_by.dtype == np.int8
    assert np.array_equal(found.broken_by == SURVIVED, found.held_out)
    assert np.array_equal(found.broken_by == 0, found.broken[0])
    assert np.array_equal(found.broken_by == 1, found.broken[1] & ~found.broken[0])
    assert found.broken_at.sum(axis=1).tolist() == found.broken.sum(axis=1).tolist()
    assert 0 < found.held_out.sum() < 60
    with torch.no_grad():
        wrong = (network(found.adversarial).argmax(1) != labels).numpy()
    assert np.array_equal(wrong, ~found.held_out)
    ball = Ball(images, norm="linf", eps=ATTACK.eps)
    assert torch.allclose(ball.project(found.adversarial), found.adversarial, atol=1e-9)


def test_the_union_is_at_least_as_strong_as_its_parts_and_restarts_only_add() -> None:
    network, images, labels, indices = network_case()
    one = attack_union(network, images, labels, indices, attack=ATTACK, losses=LOSSES, restarts=1, seed=0)
    three = attack_union(network, images, labels, indices, attack=ATTACK, losses=LOSSES, restarts=3, seed=0)
    margin_alone = attack_union(network, images, labels, indices, attack=ATTACK, losses=("margin",), restarts=1, seed=0)
    assert (three.broken | ~one.broken).all()  # whatever one start broke, three broke
    assert np.array_equal(one.broken[1], margin_alone.broken[0])  # a loss's verdict does not depend on the others
    assert one.held_out.sum() <= margin_alone.held_out.sum()


def test_verdicts_do_not_depend_on_the_batch() -> None:
    network, images, labels, indices = network_case()
    whole = attack_union(network, images, labels, indices, attack=ATTACK, losses=LOSSES, restarts=2, seed=0)
    for size in (7, 25):
        parts = [
            attack_union(
                network, images[i : i + size], labels[i : i + size], indices[i : i + size],
                attack=ATTACK, losses=LOSSES, restarts=2, seed=0,
            )
            for i in range(0, 60, size)
        ]  # fmt: skip
        assert np.array_equal(np.concatenate([part.broken for part in parts], axis=1), whole.broken)
        assert np.array_equal(np.concatenate([part.forward for part in parts]), whole.forward)


def test_passes_are_counted_per_image() -> None:
    network, images, labels, indices = network_case()
    counter = PassCounter(network)
    found = attack_union(network, images, labels, indices, attack=ATTACK, losses=LOSSES, restarts=2, seed=0)
    assert counter.forward == found.forward.sum() and counter.backward_to_input == found.backward.sum()
    assert (found.forward[found.held_out] == 2 * 2 * (ATTACK.steps + 1)).all()
    assert (found.forward[~found.held_out] < 2 * 2 * (ATTACK.steps + 1)).all()


def test_without_a_random_start_one_restart_is_enough() -> None:
    network, images, labels, indices = network_case(10)
    attack = ATTACK.model_copy(update={"random_start": False})
    found = attack_union(network, images, labels, indices, attack=attack, losses=("margin",), restarts=5, seed=0)
    assert found.broken_at.shape == (1, 1)
    assert (found.forward[found.held_out] == ATTACK.steps + 1).all()


def test_no_images_give_an_empty_verdict() -> None:
    network, images, labels, indices = network_case(1)
    found = attack_union(network, images[:0], labels[:0], indices[:0], attack=ATTACK, losses=LOSSES, restarts=2, seed=0)
    assert found.held_out.shape == (0,) and found.broken_by.shape == (0,)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_belong_to_the_image_number(norm: str) -> None:
    images = torch.rand(5, 1, 4, 4)
    ball = Ball(images, norm=norm, eps=0.3)  # type: ignore[arg-type]

    def points(indices: list[int], rows: slice = slice(None), stream: int = 0, seed: int = 0) -> Tensor:
        part = Ball(images[rows], norm=norm, eps=0.3)  # type: ignore[arg-type]
        return starting_points(part, random_start=True, seed=seed, stream=("attack", stream), indices=indices)

    whole = points([4, 5, 6, 7, 8])
    assert torch.equal(points([6, 7], slice(2, 4)), whole[2:4])
    for other in (points([5, 6, 7, 8, 9]), points([4, 5, 6, 7, 8], stream=1), points([4, 5, 6, 7, 8], seed=1)):
        assert not torch.isclose(other, whole).all()
    assert torch.allclose(ball.project(whole), whole, atol=1e-6)
    assert torch.equal(starting_points(ball, random_start=False, seed=0, stream=(), indices=range(5)), images)


def test_the_tiny_start_is_near_the_image_but_not_on_it() -> None:
    images = torch.full((50, 1, 4, 4), 0.5)
    start = tiny_gaussian_start(Ball(images, norm="l2", eps=1.0), torch.randn(50, 1, 4, 4))
    assert float((start - images).std()) == pytest.approx(1e-3, rel=0.1)
