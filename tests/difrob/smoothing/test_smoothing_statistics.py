"""Radii against the published algorithm's formula, and the guarantee by exact enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from difrob.smoothing.statistics import (
    ABSTAIN,
    certified_radius,
    certify,
    draws_for_radius,
    largest_certifiable_radius,
)


@given(
    n=st.integers(10, 100_000),
    share=st.floats(0, 1),
    sigma=st.sampled_from([0.12, 0.25, 1.0]),
    alpha=st.sampled_from([0.001, 0.05]),
)
def test_certify_is_that_of_cohen(n: int, share: float, sigma: float, alpha: float) -> None:
    """The published code: lower end of the two-sided interval at level 1 - 2 alpha, radius sigma Phi^-1(p)."""
    k = round(share * n)
    p = stats.binomtest(k, n).proportion_ci(1 - 2 * alpha, method="exact").low
    prediction, radius = certify(np.array([3]), np.array([k]), n, sigma=sigma, alpha=alpha)
    if p < 0.5:
        assert (prediction[0], radius[0]) == (ABSTAIN, 0.0)
    else:
        assert prediction[0] == 3
        assert radius[0] == pytest.approx(sigma * stats.norm.ppf(p), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("n", "sigmas"), [(100, 1.50), (500, 2.21), (1_000, 2.46), (10_000, 3.20), (100_000, 3.81)])
def test_largest_radius_in_sigmas(n: int, sigmas: float) -> None:
    assert largest_certifiable_radius(n, sigma=1.0, alpha=0.001) == pytest.approx(sigmas, abs=0.005)
    assert largest_certifiable_radius(n, sigma=0.25, alpha=0.001) == pytest.approx(0.25 * sigmas, abs=0.005)


def test_too_few_draws_certify_nothing() -> None:
    assert largest_certifiable_radius(9, sigma=1.0, alpha=0.001) == 0
    prediction, radius = certify(np.array([0]), np.array([9]), 9, sigma=1.0, alpha=0.001)
    assert (prediction[0], radius[0]) == (ABSTAIN, 0.0)


@pytest.mark.parametrize(("radius", "draws"), [(0.5, 19), (1.0, 40), (2.0, 301), (3.0, 5_114)])
def test_draws_that_a_radius_needs(radius: float, draws: int) -> None:
    assert draws_for_radius(radius, sigma=1.0, alpha=0.001) == draws
    assert largest_certifiable_radius(draws, sigma=1.0, alpha=0.001) >= radius
    assert largest_certifiable_radius(draws - 1, sigma=1.0, alpha=0.001) < radius


def test_some_radii_are_out_of_reach() -> None:
    assert draws_for_radius(100.0, sigma=1.0, alpha=0.001) == float("inf")
    with pytest.raises(ValueError, match="negative"):
        draws_for_radius(-0.1, sigma=1.0, alpha=0.001)


@pytest.mark.parametrize("p", [0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_certificate_is_wrong_at_most_with_probability_alpha(p: float) -> None:
    """If the class has true probability p, the certified radius exceeds sigma Phi^-1(p) with probability <= alpha."""
    n, sigma, alpha = 200, 0.5, 0.01
    k = np.arange(n + 1)
    truth = sigma * stats.norm.ppf(p) if p > 0.5 else 0.0
    too_large = certified_radius(k, n, sigma=sigma, alpha=alpha) > truth + 1e-12
    assert stats.binom.pmf(k[too_large], n, p).sum() <= alpha


def test_radius_grows_with_the_count() -> None:
    radii = certified_radius(np.arange(1001), 1000, sigma=0.25, alpha=0.001)
    assert (np.diff(radii) >= 0).all() and radii[0] == 0 and radii[-1] > 0.6
    assert (np.diff(radii[radii > 0]) > 0).all()
