"""Properties of the ball: inside it, inside [0,1], idempotent, and steps of the right length and direction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.attacks.projections import Ball, per_image_norm

SHAPE = (6, 2, 3, 3)


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    source = torch.Generator().manual_seed(seed)
    images = torch.rand(SHAPE, generator=source).mul_(1.4).sub_(0.2).clamp_(0, 1)  # with pixels at both ends
    return images, images + torch.randn(SHAPE, generator=source), source


def distance(points: torch.Tensor, images: torch.Tensor, norm: str) -> torch.Tensor:
    offsets = (points - images).flatten(1)
    return offsets.abs().amax(1) if norm == "linf" else offsets.norm(dim=1)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2"]), eps=st.sampled_from([0.0, 0.03, 0.5, 3.0]))
def test_projected_points_are_in_the_ball_and_in_range(seed: int, norm: str, eps: float) -> None:
    images, candidates, _ = random_case(seed)
    ball = Ball(images, norm=norm, eps=eps)  # type: ignore[arg-type]
    projected = ball.project(candidates)
    assert (distance(projected, images, norm) <= eps * (1 + 1e-6) + 1e-6).all()
    assert projected.min() >= 0 and projected.max() <= 1
    assert torch.allclose(ball.project(projected), projected, atol=1e-6)
    inside = images + 0.4 * (projected - images)
    assert torch.allclose(ball.project(inside), inside, atol=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_linf_projection_is_the_nearest_point(seed: int) -> None:
    """No point of the ball is nearer; for boxes that is componentwise clipping."""
    images, candidates, source = random_case(seed)
    ball = Ball(images, norm="linf", eps=0.2)
    projected = ball.project(candidates)
    others = ball.random_points(torch.rand(SHAPE, generator=source))
    assert (per_image_norm(candidates - projected) <= per_image_norm(candidates - others) + 1e-6).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2"]))
def test_random_points_are_in_the_ball(seed: int, norm: str) -> None:
    images, _, source = random_case(seed)
    ball = Ball(images, norm=norm, eps=0.7)  # type: ignore[arg-type]
    uniform = torch.rand(SHAPE if norm == "linf" else (6, 1, 1, 1), generator=source)
    points = ball.random_points(uniform, torch.randn(SHAPE, generator=source))
    assert (distance(points, images, norm) <= 0.7 + 1e-6).all()
    assert points.min() >= 0 and points.max() <= 1


def test_l2_starts_are_uniform_in_the_ball() -> None:
    """In d dimensions the share of points within a radius r of a ball of radius eps is (r / eps)^d."""
    source = torch.Generator().manual_seed(0)
    images = torch.full((4000, 1, 2, 2), 0.5)
    ball = Ball(images, norm="l2", eps=0.4)
    points = ball.random_points(
        torch.rand(4000, 1, 1, 1, generator=source), torch.randn(images.shape, generator=source)
    )
    within = (distance(points, images, "l2") <= 0.3).double().mean()
    assert float(within) == pytest.approx((0.3 / 0.4) ** 4, abs=0.03)
    assert points.mean(dim=0).flatten().tolist() == pytest.approx([0.5] * 4, abs=0.02)


def test_steps_have_the_length_and_direction_of_their_norm() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    gradients = torch.tensor([3.0, -4.0]).reshape(1, 1, 1, 2)
    linf = Ball(images, norm="linf", eps=0.4).ascend(images, gradients, 0.1) - images
    l2 = Ball(images, norm="l2", eps=0.4).ascend(images, gradients, 0.1) - images
    assert linf.flatten().tolist() == pytest.approx([0.1, -0.1])
    assert l2.flatten().tolist() == pytest.approx([0.06, -0.08])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_zero_gradient_moves_nothing(norm: str) -> None:
    images = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    moved = Ball(images, norm=norm, eps=0.1).ascend(images, torch.zeros(SHAPE), 0.1)  # type: ignore[arg-type]
    assert torch.allclose(moved, images)


def test_a_very_small_l2_gradient_still_gives_a_full_step() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    moved = Ball(images, norm="l2", eps=0.4).ascend(images, torch.tensor([1e-9, 0.0]).reshape(1, 1, 1, 2), 0.1)
    assert (moved - images).flatten().tolist() == pytest.approx([0.1, 0.0], abs=1e-4)


def test_taking_rows_keeps_their_balls() -> None:
    images, candidates, _ = random_case(3)
    rows = torch.tensor([True, False, True, False, False, True])
    for norm in ("linf", "l2"):
        ball = Ball(images, norm=norm, eps=0.2)  # type: ignore[arg-type]
        assert len(ball.take(rows)) == 3
        assert torch.equal(ball.take(rows).project(candidates[rows]), ball.project(candidates)[rows])
