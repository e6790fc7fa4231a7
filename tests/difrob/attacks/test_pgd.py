"""PGD against the closed form of linear classifiers, its costs, and what it must leave untouched."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_classifiers import LinearClassifier, PassCounter, WavyClassifier, worst_margin_linf
from torch import Tensor, nn

from difrob.attacks.losses import cross_entropy, margin
from difrob.attacks.pgd import is_misclassified, maximise, search
from difrob.attacks.projections import Ball

SHAPE = (1, 4, 4)


def linear_case(seed: int, classes: int = 2, count: int = 40) -> tuple[LinearClassifier, Tensor, Tensor]:
    network = LinearClassifier(SHAPE, classes, seed)
    images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        return network, images, network(images).argmax(1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), loss=st.sampled_from([cross_entropy, margin]))
def test_linear_verdicts_are_the_closed_form(seed: int, loss: object) -> None:
    """With two classes the worst point is a corner of the box, and sign ascent walks straight into it."""
    network, images, labels = linear_case(seed)
    eps = 0.1
    verdict = search(network, Ball(images, norm="linf", eps=eps), images, labels, loss, steps=8, step_size=eps / 4)  # type: ignore[arg-type]
    worst = worst_margin_linf(network, images, labels, eps)
    decided = worst.abs() > 1e-4
    assert torch.equal(verdict.broken[decided], worst[decided] > 0)
    assert 0 < int(verdict.broken.sum()) or bool((worst < 1e-4).all())


def test_adversarial_points_are_valid_and_misclassified() -> None:
    network, images, labels = linear_case(3, classes=5, count=200)
    for norm, eps in (("linf", 0.08), ("l2", 0.4)):
        ball = Ball(images, norm=norm, eps=eps)  # type: ignore[arg-type]
        verdict = search(network, ball, images, labels, margin, steps=10, step_size=eps / 4)
        with torch.no_grad():
            wrong = network(verdict.adversarial).argmax(1) != labels
        assert torch.equal(wrong, verdict.broken) and 0 < int(wrong.sum()) < len(wrong)
        assert torch.allclose(ball.project(verdict.adversarial), verdict.adversarial, atol=1e-6)


def keep_all_verdicts(network: nn.Module, ball: Ball, labels: Tensor, steps: int, step_size: float) -> Tensor:
    """The plain algorithm without dropping: the first iterate at which an image is misclassified, -1 for none."""
    points, first = ball.images.clone(), torch.full_like(labels, -1)
    for step in range(steps + 1):
        points.requires_grad_()
        logits = network(points)
        first[(logits.argmax(1) != labels) & (first < 0)] = step
        (gradients,) = torch.autograd.grad(margin(logits, labels).sum(), points)
        points = ball.ascend(points.detach(), gradients, step_size)
    return first


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_dropping_broken_images_changes_no_verdict(norm: str) -> None:
    network = WavyClassifier(SHAPE, 5)
    images = torch.rand(60, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = network(images).argmax(1)
    eps = 0.05 if norm == "linf" else 0.15
    ball = Ball(images, norm=norm, eps=eps)  # type: ignore[arg-type]
    verdict = search(network, ball, images, labels, margin, steps=12, step_size=eps / 6)
    expected = keep_all_verdicts(network, ball, labels, 12, eps / 6)
    assert torch.equal(verdict.steps_needed, expected)
    assert torch.equal(verdict.broken, expected >= 0)
    assert 0 < int(verdict.broken.sum()) < 60

    alone = [search(network, ball.take(torch.tensor([i])), images[i : i + 1], labels[i : i + 1], margin,
                    steps=12, step_size=eps / 6).steps_needed for i in range(12)]  # fmt: skip
    assert torch.equal(torch.cat(alone), expected[:12])


def test_cost_is_steps_plus_one_forward_for_survivors_and_less_for_the_broken() -> None:
    network, images, labels = linear_case(5, count=100)
    counter = PassCounter(network)
    verdict = search(network, Ball(images, norm="linf", eps=0.05), images, labels, margin, steps=10, step_size=0.0125)
    survived, needed = ~verdict.broken, verdict.steps_needed
    assert survived.any() and verdict.broken.any()
    assert (verdict.forward[survived] == 11).all() and (verdict.backward[survived] == 10).all()
    assert torch.equal(verdict.forward[~survived], needed[~survived] + 1)
    assert counter.forward == int(verdict.forward.sum())
    assert counter.backward_to_input == int(verdict.backward.sum())
    assert counter.backward == 0


def test_images_broken_at_the_start_cost_one_pass() -> None:
    network, images, labels = linear_case(6)
    verdict = search(network, Ball(images, norm="linf", eps=0.1), images, 1 - labels, margin, steps=10, step_size=0.1)
    assert verdict.broken.all() and (verdict.steps_needed == 0).all()
    assert (verdict.forward == 1).all() and (verdict.backward == 0).all()


def test_no_images_no_passes() -> None:
    network, images, _ = linear_case(6)
    none = torch.empty(0, dtype=torch.int64)
    verdict = search(network, Ball(images[:0], norm="l2", eps=0.1), images[:0], none, margin, steps=3, step_size=0.1)
    assert verdict.broken.shape == (0,) and verdict.adversarial.shape == (0, *SHAPE)


def test_neither_form_touches_parameter_gradients() -> None:
    network, images, labels = linear_case(7)
    network(images).sum().backward()
    before = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    ball = Ball(images, norm="linf", eps=0.1)
    search(network, ball, images, labels, margin, steps=3, step_size=0.05)
    end = maximise(network, ball, images, lambda z: cross_entropy(z, labels), steps=3, step_size=0.05)
    assert before and all(torch.equal(before[name], p.grad) for name, p in network.named_parameters())  # type: ignore[arg-type]
    assert not end.requires_grad and not images.requires_grad


def test_maximise_costs_exactly_its_steps_and_works_without_gradients_around_it() -> None:
    network, images, labels = linear_case(8)
    counter = PassCounter(network)
    with torch.no_grad():
        end = maximise(
            network, Ball(images, norm="linf", eps=0.1), images, lambda z: margin(z, labels), steps=7, step_size=0.1
        )
    assert (counter.forward, counter.backward_to_input, counter.backward) == (7 * 40, 7 * 40, 0)
    with torch.no_grad():
        assert (margin(network(end), labels) > margin(network(images), labels)).all()
    # With two classes the end of a long walk is the best corner of the box.
    worst = worst_margin_linf(network, images, labels, 0.1)
    assert margin(network(end), labels).detach().tolist() == pytest.approx(worst.tolist(), abs=1e-5)


def test_logits_that_are_no_numbers_are_no_success() -> None:
    logits = torch.tensor([[0.0, 1.0], [float("nan"), 1.0], [0.0, float("inf")], [1.0, 0.0]])
    assert is_misclassified(logits, torch.zeros(4, dtype=torch.int64)).tolist() == [True, False, False, False]
