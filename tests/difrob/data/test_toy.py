"""Toy distributions: sampling from (seed, index), moments, supports, and the ideal denoiser against Tweedie's formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from support.built_in_data import load_split

from difrob.data.points import PointSet, in_diffusion_range
from difrob.data.toy import GaussianMixture, gaussian, oblique_plane, ring
from difrob.diffusion.samplers import sample, sigma_grid, starting_noise
from difrob.specs import DataSpec


def skewed() -> GaussianMixture:
    """Unequal weights, tilted flat and thin modes in three dimensions."""
    source = np.random.default_rng(0)
    axes = np.stack([np.linalg.qr(source.normal(size=(3, 3)))[0][:2] for _ in range(3)])
    return GaussianMixture(
        np.array([0.5, 0.3, 0.2]), source.normal(size=(3, 3)), axes, source.uniform(0.1, 0.6, (3, 2)), name="skewed"
    )


MIXTURES: list[Callable[[], GaussianMixture]] = [gaussian, ring, oblique_plane, skewed]


def density(mixture: GaussianMixture, v: np.ndarray, sigma: float) -> float:
    """p(v) of the mixture under noise, by SciPy."""
    total = 0.0
    for weight, mean, axes, spreads in zip(mixture.weights, mixture.means, mixture.axes, mixture.spreads, strict=True):
        covariance = (axes.T * spreads**2) @ axes + sigma**2 * np.eye(mixture.dimension)
        total += weight * multivariate_normal.pdf(v, mean, covariance)
    return float(total)


@pytest.mark.parametrize("build", MIXTURES)
def test_the_denoiser_is_that_of_tweedie(build: Callable[[], GaussianMixture]) -> None:
    """D(v) = v + sigma^2 grad log p(v), with the density and its gradient from SciPy and central differences."""
    mixture, source = build(), np.random.default_rng(1)
    for sigma in (0.15, 0.7, 4.0):
        v = source.normal(size=mixture.dimension) * 0.7
        gradient = [
            (np.log(density(mixture, v + h, sigma)) - np.log(density(mixture, v - h, sigma))) / 2e-5
            for h in 1e-5 * np.eye(mixture.dimension)
        ]
        found = mixture.denoise(
            torch.from_numpy(v).reshape(1, *mixture.image_shape), torch.tensor([sigma], dtype=torch.float64)
        )
        np.testing.assert_allclose(
            found.flatten().numpy(), v + sigma**2 * np.array(gradient), atol=1e-6 * sigma**2 + 1e-8
        )


def test_with_a_class_the_denoiser_is_that_of_the_mode() -> None:
    mixture, v = skewed(), torch.randn(4, 3, 1, 1, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.5, 1.0, 3.0], dtype=torch.float64)
    for mode in range(3):
        alone = GaussianMixture(
            np.ones(1), mixture.means[mode : mode + 1], mixture.axes[mode : mode + 1], mixture.spreads[mode : mode + 1],
            name="alone",
        )  # fmt: skip
        given_class = mixture.denoise(v, sigma, torch.full((4,), mode))
        assert torch.allclose(given_class, alone.denoise(v, sigma), atol=1e-12)
    assert torch.equal(mixture.denoise(v, sigma, torch.full((4,), 3)), mixture.denoise(v, sigma))


def test_at_the_ends_of_the_noise_range_nothing_breaks() -> None:
    mixture = oblique_plane()
    on_plane = torch.from_numpy(mixture.draw(5, 0).u.copy())
    assert torch.allclose(mixture.denoise(on_plane, torch.zeros(5)), on_plane, atol=1e-6)
    off_plane = on_plane + 0.1  # along the normal
    assert torch.allclose(mixture.denoise(off_plane, torch.zeros(5)), on_plane, atol=1e-6)
    far = mixture.denoise(1e4 * torch.randn(5, 3, 1, 1), torch.full((5,), 1e4))
    assert far.abs().max() < 1e-2  # the mean of all modes


def test_samplers_take_a_mixture_like_a_network() -> None:
    mixture = ring(modes=4)
    points = sample(mixture, starting_noise(0, range(600), (2, 1, 1)), None, sigma_grid(40)).flatten(1).numpy()
    distances = np.linalg.norm(points[:, None] - mixture.means, axis=2)
    assert np.sqrt(np.square(distances.min(axis=1)).mean()) == pytest.approx(0.05 * 2**0.5, rel=0.1)
    assert np.bincount(distances.argmin(axis=1), minlength=4) / 600 == pytest.approx([0.25] * 4, abs=0.06)


@settings(max_examples=15, deadline=None)
@given(small=st.integers(0, 60), large=st.integers(60, 90), seed=st.integers(0, 5), build=st.sampled_from(MIXTURES))
def test_points_belong_to_seed_and_index(
    small: int, large: int, seed: int, build: Callable[[], GaussianMixture]
) -> None:
    inner, outer = build().draw(small, seed), build().draw(large, seed)
    assert np.array_equal(outer.u[:small], inner.u) and np.array_equal(outer.labels[:small], inner.labels)
    assert outer.shape == build().image_shape == (build().dimension, 1, 1)
    for other in (build().draw(large, seed + 1), build().draw(large, seed, "test")):
        assert not np.array_equal(other.u, outer.u)


@pytest.mark.parametrize("build", MIXTURES)
def test_moments_of_the_sample_are_those_of_the_distribution(build: Callable[[], GaussianMixture]) -> None:
    mixture = build()
    points = mixture.draw(20_000, 0)
    flat = points.u.reshape(20_000, -1).astype(np.float64)
    mean = mixture.weights @ mixture.means
    second = sum(
        w * (np.outer(m, m) + (a.T * s**2) @ a)
        for w, m, a, s in zip(mixture.weights, mixture.means, mixture.axes, mixture.spreads, strict=True)
    )
    np.testing.assert_allclose(flat.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(flat.T @ flat / len(flat), second, atol=0.04)
    shares = np.bincount(points.labels, minlength=mixture.num_classes) / 20_000
    np.testing.assert_allclose(shares, mixture.weights, atol=0.015)


def test_the_plane_is_oblique_and_holds_its_points() -> None:
    mixture = oblique_plane()
    normal = np.ones(3) / np.sqrt(3)
    flat = mixture.draw(500, 0).u.reshape(500, 3)
    assert np.abs(flat @ normal).max() < 1e-6
    support = mixture.support
    assert support.basis.shape == (2, 3) and np.abs(support.basis @ normal).max() < 1e-12
    np.testing.assert_allclose(support.project(flat + 0.3 * normal), flat, atol=1e-6)
    assert gaussian().support.basis.shape == (2, 2) and skewed().support.basis.shape == (3, 3)


def test_bad_mixtures_are_refused() -> None:
    one = {"weights": np.ones(1), "means": np.zeros((1, 2)), "axes": np.eye(2)[None], "spreads": np.ones((1, 2))}
    for bad, message in (
        ({"weights": np.array([0.5])}, "add up to 1"),
        ({"spreads": np.array([[1.0, 0.0]])}, "leave out an axis"),
        ({"axes": np.array([[[1.0, 0.0], [1.0, 0.0]]])}, "orthonormal"),
        ({"axes": np.eye(3)[None]}, "do not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianMixture(**{"name": "bad", **one, **bad})  # type: ignore[arg-type]


def test_point_sets_keep_the_role_of_image_sets() -> None:
    points = ring().draw(10, 0)
    some = points.take(np.array([3, 1]))
    assert np.array_equal(some.u, points.u[[3, 1]]) and some.indices.tolist() == [3, 1] and len(some) == 2
    assert torch.equal(in_diffusion_range(points), torch.from_numpy(points.u.copy()))
    images = load_split(DataSpec(train_size=10), "train")
    u = in_diffusion_range(images)
    assert u.min() == -1 and u.max() == 1 and u.shape == (10, 1, 8, 8)
    with pytest.raises(ValueError, match="read-only"):
        points.u[0, 0, 0, 0] = 1
    for bad, message in (
        (points.u.astype(np.float64), "float32"),
        (points.u[:3], "length"),
        (np.full_like(points.u, np.nan), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            PointSet(bad, points.labels, 8, "ring", "train", points.indices)
