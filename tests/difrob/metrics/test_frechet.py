"""The Fréchet distance against closed forms, scipy's matrix square root, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from difrob.metrics.frechet import PixelComponents, frechet_distance, pixel_frechet_measure


def random_covariance(random: np.random.Generator, size: int) -> np.ndarray:
    root = random.standard_normal((size, size + 2))
    return root @ root.T / size


@given(
    means=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    stds=st.tuples(st.floats(0, 4), st.floats(0, 4)),
)
def test_one_dimension_has_a_closed_form(means: tuple[float, float], stds: tuple[float, float]) -> None:
    got = frechet_distance(
        np.array([means[0]]), np.array([[stds[0] ** 2]]), np.array([means[1]]), np.array([[stds[1] ** 2]])
    )
    assert got == pytest.approx((means[0] - means[1]) ** 2 + (stds[0] - stds[1]) ** 2, abs=1e-9)


def test_commuting_covariances_have_a_closed_form() -> None:
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.standard_normal((6, 6)))
    a, b = random.random(6) * 3, random.random(6)
    b[:2] = 0  # singular
    shift = random.standard_normal(6)
    got = frechet_distance(shift, rotation @ np.diag(a) @ rotation.T, np.zeros(6), rotation @ np.diag(b) @ rotation.T)
    assert got == pytest.approx(shift @ shift + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 12))
def test_it_agrees_with_the_matrix_square_root(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    mean_a, mean_b = random.standard_normal((2, size))
    cov_a, cov_b = random_covariance(random, size), random_covariance(random, size)
    cross = np.atleast_2d(sqrtm(cov_a @ cov_b)).real
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * cross)
    got = frechet_distance(mean_a, cov_a, mean_b, cov_b)
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert got == pytest.approx(frechet_distance(mean_b, cov_b, mean_a, cov_a), rel=1e-6, abs=1e-9)
    assert frechet_distance(mean_a, cov_a, mean_a, cov_a) == pytest.approx(0, abs=1e-9)


def draw(random: np.random.Generator, count: int, mean: float, std: float) -> np.ndarray:
    return np.clip(np.rint(random.normal(mean, std, (count, 2, 2, 1))), 0, 255).astype(np.uint8)


def test_components_keep_the_variance_and_drop_dead_pixels() -> None:
    random = np.random.default_rng(0)
    images = np.zeros((300, 4, 4, 1), np.uint8)
    images[:, :2] = random.integers(0, 256, (300, 2, 4, 1))
    components = PixelComponents.of(images)
    assert components.basis.shape == (16, 8)
    np.testing.assert_allclose(components.basis.T @ components.basis, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(np.cov(components.coordinates(images), rowvar=False), components.covariance, atol=1e-12)
    assert pixel_frechet_measure(images, images).value == pytest.approx(0, abs=1e-9)


def test_the_interval_covers_the_true_distance() -> None:
    """Generated ~ N(110, 36^2), reference ~ N(128, 30^2) in each of four pixels; 200 repetitions of 400 images.

    The truth is the distance that very many generated images have from the same reference; bias is 4/400 of it here.
    """
    random = np.random.default_rng(1)
    reference = draw(random, 400, 128, 30)
    truth = pixel_frechet_measure(draw(random, 200_000, 110, 36), reference).value
    assert truth == pytest.approx(4 * ((18 / 255) ** 2 + (6 / 255) ** 2), rel=0.1)
    covered, values = 0, []
    for _ in range(200):
        measure = pixel_frechet_measure(draw(random, 400, 110, 36), reference)
        assert measure.low is not None and measure.high is not None
        covered += measure.low <= truth <= measure.high
        values.append((measure.value, (measure.high - measure.low) / (2 * 1.96)))
    assert 175 <= covered <= 199
    spread = np.std([value for value, _ in values])
    assert np.mean([error for _, error in values]) == pytest.approx(spread, rel=0.15)


def test_degenerate_sets() -> None:
    flat = np.full((5, 2, 2, 1), 100, np.uint8)
    varied = draw(np.random.default_rng(0), 50, 128, 30)
    assert np.isfinite(pixel_frechet_measure(flat, varied).value)
    assert np.isfinite(pixel_frechet_measure(varied, flat).value)
    with pytest.raises(ValueError, match="at least two"):
        PixelComponents.of(flat[:1])
