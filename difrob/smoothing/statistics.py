"""The statistics of randomised smoothing (Cohen, Rosenfeld & Kolter 2019, section 3.2).

The smoothed classifier is g(x) = argmax_c P(f(x + sigma n) = c) with n ~ N(0, I). If its top class has probability at
least p > 1/2, then g is constant within the l2 radius sigma * Phi^-1(p).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from difrob.metrics.intervals import clopper_pearson_lower

ABSTAIN = -1


def certified_radius(successes: ArrayLike, n: int, *, sigma: float, alpha: float) -> np.ndarray:
    """Radius that k of n draws of the candidate class certify; 0 where they certify nothing.

    Args:
        successes: counts k of the candidate class among the n draws, which must be independent of its choice.
        n: number of draws.
        sigma: standard deviation of the noise in [0,1] intensity units.
        alpha: probability that a certificate is wrong.

    Returns:
        Radii in [0,1] intensity units (l2), float64, with the shape of ``successes``.
    """
    return _radius(clopper_pearson_lower(successes, n, alpha), sigma)


def certify(
    candidates: np.ndarray, successes: np.ndarray, n: int, *, sigma: float, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm CERTIFY of Cohen et al. 2019 from counts, for many images at once.

    Args:
        candidates: class chosen for each image from its n0 selection draws, int64 [M].
        successes: how many of the n independent draws gave that class, int64 [M].
        n: number of those draws.
        sigma, alpha: as in :func:`certified_radius`.

    Returns:
        Predictions int64 [M], ``ABSTAIN`` (-1) where nothing is certified, and radii float64 [M], 0 at abstentions.
    """
    probability = clopper_pearson_lower(successes, n, alpha)
    predictions = np.where(probability < 0.5, ABSTAIN, candidates).astype(np.int64)
    return predictions, _radius(probability, sigma)


def largest_certifiable_radius(n: int, *, sigma: float, alpha: float) -> float:
    """The radius that n unanimous draws certify, sigma * Phi^-1(alpha^(1/n)); 0 when n is too small for any."""
    return float(certified_radius(n, n, sigma=sigma, alpha=alpha))


def draws_for_radius(radius: float, *, sigma: float, alpha: float) -> float:
    """How many unanimous draws certify a radius: the least n with alpha^(1/n) >= Phi(radius / sigma).

    It is the smallest n with which a curve can reach ``radius`` at all; infinity where Phi rounds to 1.
    """
    if radius < 0:
        raise ValueError(f"radius = {radius} must not be negative")
    log_probability = float(special.log_ndtr(radius / sigma))
    return float(np.ceil(np.log(alpha) / log_probability)) if log_probability < 0 else float("inf")


def _radius(probability: np.ndarray, sigma: float) -> np.ndarray:
    return sigma * special.ndtri(np.maximum(probability, 0.5))
