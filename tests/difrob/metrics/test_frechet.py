"""The Fréchet distance against closed forms, scipy's matrix square root, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from difrob.errors import UserError
from difrob.metrics import frechet
from difrob.metrics.frechet import (
    Gaussian,
    frechet_distance,
    frechet_measure,
    pixel_frechet_measure,
    require_enough,
)


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


def test_a_set_has_no_distance_from_itself() -> None:
    images = np.zeros((300, 4, 4, 1), np.uint8)
    images[:, :2] = np.random.default_rng(0).integers(0, 256, (300, 2, 4, 1))
    assert pixel_frechet_measure(images, images).value == pytest.approx(0, abs=1e-9)


def test_large_sets_are_summed_up_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(0.2, 1.5, (500, 4)), random.standard_normal((300, 4)).astype(np.float32)
    gaussian = Gaussian.of(b)
    np.testing.assert_allclose(gaussian.mean, b.mean(axis=0, dtype=np.float64), atol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(b.astype(np.float64), rowvar=False), atol=1e-12)
    whole = frechet_measure(a, b)
    monkeypatch.setattr(frechet, "CHUNK", 7)
    monkeypatch.setattr("difrob.metrics.extractors.CHUNK", 11)
    asked: list[None] = []
    pieces = frechet_measure(a, b, lambda: asked.append(None), features="some")
    assert (pieces.value, pieces.low, pieces.high) == pytest.approx((whole.value, whole.low, whole.high), rel=1e-9)
    assert len(asked) == 2 * 46 + 2 * 28 + 72
    assert pieces.n == 500 and pieces.sentence.endswith("; features: some")


def test_features_of_gaussians_approach_the_closed_form() -> None:
    """Two correlated Gaussians in three dimensions, 200,000 draws each; the bias is about 10^-4 here."""
    random = np.random.default_rng(4)
    cov_a, cov_b = random_covariance(random, 3), random_covariance(random, 3)
    mean = np.array([0.5, 0, -0.2])
    a = random.multivariate_normal(mean, cov_a, 200_000)
    b = random.multivariate_normal(np.zeros(3), cov_b, 200_000)
    measure = frechet_measure(a, b)
    cross = sqrtm(cov_a @ cov_b).real
    assert measure.value == pytest.approx(mean @ mean + np.trace(cov_a + cov_b - 2 * cross), rel=0.02)


def test_too_few_images_for_a_covariance_are_refused() -> None:
    require_enough(64, generated=65, reference=65)
    message = (
        "64 reference images cannot tell the covariance of 64 features.* more than 64.* 'pca' with fewer components"
    )
    with pytest.raises(UserError, match=message):
        require_enough(64, generated=65, reference=64)


def test_what_generation_reports_states_sizes_and_features() -> None:
    images = draw(np.random.default_rng(5), 60, 128, 30)
    description = pixel_frechet_measure(images[:40], images).sentence
    assert "; generated: 40 images; reference: 60 training images; features: pca of 60 training images (" in description


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
        pixel_frechet_measure(varied, flat[:1])
