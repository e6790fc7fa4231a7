"""Effective rank, participation ratio, kernel alignment, alignment and uniformity against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.errors import UserError
from difrob.metrics.alignment_uniformity import (
    alignment_uniformity_measures,
    class_distances,
    pair_closeness,
    partner_distances,
    uniformity,
)
from difrob.metrics.distances import nothing
from difrob.metrics.kernel_alignment import alignment_measures, debiased_kernel_alignment, kernel_alignment
from difrob.metrics.resampling import bootstrap_counts, jackknife_interval, ratio_interval
from difrob.metrics.spectra import covariance_spectrum, effective_rank, participation_ratio, rank_measures


def with_spectrum(values: np.ndarray, images: int, seed: int = 0) -> np.ndarray:
    """Features whose covariance has exactly these eigenvalues, in random directions, around a random mean."""
    source = np.random.default_rng(seed)
    d = len(values)
    noise = source.standard_normal((images, d))
    left, _ = np.linalg.qr(noise - noise.mean(axis=0))
    right, _ = np.linalg.qr(source.standard_normal((d, d)))
    return np.sqrt(images) * left * np.sqrt(values) @ right.T + source.standard_normal(d)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_equal_eigenvalues_are_as_many_directions(d: int) -> None:
    spectrum = covariance_spectrum(np.hstack([with_spectrum(np.full(d, 2.5), 40), np.ones((40, 3))]))
    assert effective_rank(spectrum) == pytest.approx(d) and participation_ratio(spectrum) == pytest.approx(d)


def test_known_spectra_give_known_ranks() -> None:
    values = np.array([16.0, 4.0, 1.0])
    spectrum = covariance_spectrum(with_spectrum(values, 50).astype(np.float64))
    np.testing.assert_allclose(spectrum, values)
    shares = np.array([4, 2, 1]) / 7
    assert effective_rank(spectrum) == pytest.approx(np.prod(shares**-shares))
    assert participation_ratio(spectrum) == pytest.approx(21**2 / (256 + 16 + 1))
    singular = np.linalg.svd(with_spectrum(values, 50) - with_spectrum(values, 50).mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.sqrt(50 * spectrum), singular)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_ranks_lie_between_one_and_d_and_know_no_scale_nor_rotation(seed: int, scale: float) -> None:
    source = np.random.default_rng(seed)
    features = source.standard_normal((30, 5)) * source.random(5)
    turn, _ = np.linalg.qr(source.standard_normal((5, 5)))
    spectrum, changed = covariance_spectrum(features), covariance_spectrum(scale * features @ turn + 7)
    for rank in (effective_rank, participation_ratio):
        assert 1 - 1e-9 <= rank(spectrum) <= 5 + 1e-9
        assert rank(changed) == pytest.approx(rank(spectrum))
    assert effective_rank(spectrum) >= participation_ratio(spectrum) - 1e-9


def test_features_that_do_not_vary_are_refused() -> None:
    with pytest.raises(UserError, match="the same for every image"):
        rank_measures(np.ones((20, 3)), 0, images="20")
    with pytest.raises(UserError, match="3 images are too few"):
        rank_measures(np.eye(3), 0)
    assert effective_rank(np.zeros(3)) == participation_ratio(np.zeros(3)) == 0


def test_rank_measures_state_their_conditions() -> None:
    features = with_spectrum(np.array([4.0, 1.0]), 200)
    measures = rank_measures(features, 0, nothing, images="200 test images of digits")
    assert measures["effective_rank"].value == pytest.approx(effective_rank(np.array([4.0, 1.0])))
    for measure in measures.values():
        assert measure.low < measure.value < measure.high and measure.n == 200
        assert measure.sentence.endswith("; images: 200 test images of digits")


# Kernel alignment -----------------------------------------------------------------------------------------------------


def direct_debiased(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 5, word for word with N x N matrices."""

    def product(a: np.ndarray, b: np.ndarray) -> float:
        n = len(a)
        k, m = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        one = np.ones(n)
        inner = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
        return float(np.trace(k @ m) + inner) / (n * (n - 3))

    return product(x, y) / np.sqrt(product(x, x) * product(y, y))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 40), st.integers(1, 6), st.integers(1, 6))
def test_kernel_alignment_is_that_of_gram_matrices(seed: int, n: int, d: int, e: int) -> None:
    source = np.random.default_rng(seed)
    x, y = source.standard_normal((n, d)) + 3, source.standard_normal((n, e)) - 1
    centre = np.eye(n) - 1 / n
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    plain = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert kernel_alignment(x, y) == pytest.approx(plain, abs=1e-9) and -1e-9 <= plain <= 1 + 1e-9
    own = direct_debiased(x - x.mean(axis=0), x - x.mean(axis=0))
    if np.isfinite(own) and d > 1 and e > 1 and n > 12:
        assert debiased_kernel_alignment(x, y) == pytest.approx(direct_debiased(x, y), abs=1e-6)


def test_kernel_alignment_knows_no_rotation_shift_or_scale() -> None:
    source = np.random.default_rng(1)
    x, y = source.standard_normal((60, 7)), source.standard_normal((60, 4))
    turn, _ = np.linalg.qr(source.standard_normal((7, 7)))
    for alignment in (kernel_alignment, debiased_kernel_alignment):
        assert alignment(x, x) == pytest.approx(1) and alignment(x, y) == pytest.approx(alignment(y, x))
        assert alignment(1e-8 * x @ turn + 5, y) == pytest.approx(alignment(x, y), abs=1e-7)
        assert alignment(x, -3 * x @ turn) == pytest.approx(1)
        assert alignment(x, x * np.arange(1, 8) ** 2) < 0.95  # stretching does matter
    assert kernel_alignment(np.ones((9, 2)), x[:9]) == 0


def test_only_the_debiased_alignment_of_independent_features_is_near_zero() -> None:
    source = np.random.default_rng(2)
    x, y = source.standard_normal((100, 80)), source.standard_normal((100, 80))
    assert kernel_alignment(x, y) > 0.35 and abs(debiased_kernel_alignment(x, y)) < 0.05
    measures = alignment_measures(x, y, 0, nothing, images="100")
    low, high = measures["kernel_alignment_debiased"].low, measures["kernel_alignment_debiased"].high
    assert low is not None and high is not None and low < 0 < high


# Alignment and uniformity ---------------------------------------------------------------------------------------------


def test_distances_on_the_sphere_are_those_of_all_pairs() -> None:
    source = np.random.default_rng(3)
    h, labels = source.standard_normal((25, 4)), np.repeat([0, 1, 2], [12, 12, 1])
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    squares = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    others = ~np.eye(25, dtype=bool)
    same = (labels[:, None] == labels) & others
    found = class_distances(h, labels)
    np.testing.assert_allclose(found[:24], [squares[i, same[i]].mean() for i in range(24)])
    assert np.isnan(found[24])
    np.testing.assert_allclose(pair_closeness(h), [np.exp(-2 * squares[i, others[i]]).mean() for i in range(25)])
    assert uniformity(h) == pytest.approx(np.log(np.exp(-2 * squares[others]).mean()))
    np.testing.assert_allclose(partner_distances(h, -2 * h), 4.0)
    np.testing.assert_allclose(partner_distances(h, 5 * h), 0.0, atol=1e-14)


def test_features_at_one_point_are_aligned_and_not_uniform() -> None:
    h = np.tile([3.0, 4.0], (10, 1))
    assert uniformity(h) == pytest.approx(0) and partner_distances(h, np.zeros_like(h)).tolist() == [1.0] * 10
    measures = alignment_uniformity_measures(h, np.zeros(10, int), h * 2, "PGD", nothing, images="10")
    assert {name: round(measure.value, 12) for name, measure in measures.items()} == {
        "alignment_adversarial": 0, "alignment_class": 0, "uniformity": 0,
    }  # fmt: skip
    assert "; attack: PGD; images: 10" in measures["alignment_adversarial"].sentence


def test_uniformity_intervals_cover() -> None:
    """95 % of the intervals of 200 samples hold the value of the distribution, itself from 3,000 points."""
    source = np.random.default_rng(4)
    truth = uniformity(source.standard_normal((3000, 3)))
    hits = 0
    for _ in range(200):
        h = source.standard_normal((40, 3))
        measure = alignment_uniformity_measures(h, np.zeros(40, int), h, "none")["uniformity"]
        hits += measure.low <= truth <= measure.high  # type: ignore[operator]
    assert hits >= 175


# Resampling -----------------------------------------------------------------------------------------------------------


def test_bootstrap_counts_draw_as_many_images_and_repeat() -> None:
    first, again = (np.concatenate(list(bootstrap_counts(30, 5, resamples=64))) for _ in range(2))
    assert first.shape == (64, 30) and (first.sum(axis=1) == 30).all() and np.array_equal(first, again)
    assert 0.7 < first.var() < 1.3


def test_the_jackknife_of_a_mean_is_students_t_of_its_groups() -> None:
    source = np.random.default_rng(6)
    values = source.standard_normal(48)
    value, low, high = jackknife_interval(lambda rows: float(values[rows].mean()), 48, 0, nothing)
    assert value == pytest.approx(values.mean()) and low < value < high
    assert (high - low) / 2 == pytest.approx(2 * values.std(ddof=1) / np.sqrt(48), rel=0.35)
    with pytest.raises(ValueError, match="at least 4"):
        jackknife_interval(lambda rows: 0.0, 3, 0, nothing)


def test_a_ratio_of_equal_shares_has_no_spread() -> None:
    values = np.random.default_rng(7).random(50)
    value, low, high = ratio_interval(0.3 * values, values, 0, nothing)
    assert (value, low, high) == pytest.approx((0.3, 0.3, 0.3))
