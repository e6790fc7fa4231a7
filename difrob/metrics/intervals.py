"""Intervals that every reported number carries.

All functions are vectorised over numpy arrays and use only ``scipy.special``, so that they are cheap to import and agree
with ``scipy.stats`` to rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


class Interval(NamedTuple):
    """Lower and upper ends, float64 arrays of the broadcast shape of the arguments."""

    low: np.ndarray
    high: np.ndarray


class MeanInterval(NamedTuple):
    """A mean and its interval; the ends are infinite where a single value leaves the spread unknown."""

    mean: float
    low: float
    high: float


def wilson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial proportion (Wilson 1927).

    Args:
        successes: counts k, 0 <= k <= n.
        n: numbers of trials, at least 1.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: for counts or levels outside their ranges.
    """
    k, n = _checked_counts(successes, n)
    z = special.ndtri(0.5 + _checked_level(level) / 2)
    share = k / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 exactly in real numbers; rounding must not push past them.
    low = np.where(k == 0, 0.0, np.clip(centre - half_width, 0.0, 1.0))
    high = np.where(k == n, 1.0, np.clip(centre + half_width, 0.0, 1.0))
    return Interval(low, high)


def clopper_pearson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """The exact two-sided interval of a binomial proportion (Clopper & Pearson 1934); covers at least ``level``.

    Args:
        successes: counts k, 0 <= k <= n.
        n: numbers of trials, at least 1.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: for counts or levels outside their ranges.
    """
    k, n = _checked_counts(successes, n)
    tail = (1 - _checked_level(level)) / 2
    return Interval(clopper_pearson_lower(k, n, tail), 1 - clopper_pearson_lower(n - k, n, tail))


def clopper_pearson_lower(successes: ArrayLike, n: ArrayLike, alpha: float) -> np.ndarray:
    """One-sided lower bound of a binomial proportion that is too high with probability at most ``alpha``.

    It is the ``alpha`` quantile of Beta(k, n - k + 1), and 0 for k = 0. This is the lower end of the two-sided interval
    at level 1 - 2 alpha that Cohen et al. 2019 use in CERTIFY.

    Args:
        successes: counts k, 0 <= k <= n.
        n: numbers of trials, at least 1.
        alpha: one-sided error probability in (0, 1).

    Raises:
        ValueError: for counts or alpha outside their ranges.
    """
    k, n = _checked_counts(successes, n)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha} must lie in (0, 1)")
    quantile = special.betaincinv(np.maximum(k, 1), n - k + 1, alpha)
    # With k = n the quantile has the closed form alpha^(1/n), which is exact to rounding.
    return np.where(k == 0, 0.0, np.where(k == n, alpha ** (1 / n), quantile))


def mean_interval(values: ArrayLike, level: float = 0.95) -> MeanInterval:
    """Mean of independent values with Student's t interval.

    Args:
        values: at least one finite number.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: without values, or for a level outside (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0:
        raise ValueError("a mean needs at least one value")
    level = _checked_level(level)
    mean = float(sample.mean())
    if sample.size == 1:
        return MeanInterval(mean, -np.inf, np.inf)
    standard_error = float(sample.std(ddof=1)) / np.sqrt(sample.size)
    half_width = float(special.stdtrit(sample.size - 1, 0.5 + level / 2)) * standard_error
    return MeanInterval(mean, mean - half_width, mean + half_width)


def _checked_counts(successes: ArrayLike, n: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    k, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if not ((trials >= 1) & (k >= 0) & (k <= trials)).all():
        raise ValueError("counts must satisfy 0 <= successes <= n and n >= 1")
    return k, trials


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level = {level} must lie in (0, 1)")
    return level
