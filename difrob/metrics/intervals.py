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


def newcombe(
    successes: ArrayLike, n: ArrayLike, other_successes: ArrayLike, other_n: ArrayLike, level: float = 0.95
) -> Interval:
    """Newcombe's interval of the difference of two independent proportions, ``k/n - other_k/other_n``.

    It is built of Wilson's intervals of both (Newcombe 1998, Statistics in Medicine 17:873, method 10), stays inside
    [-1, 1], and is too wide rather than too narrow where the two are counts over the same images; for those there is
    :func:`newcombe_paired`.

    Args:
        successes, other_successes: counts k.
        n, other_n: numbers of trials, at least 1.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: for counts or levels outside their ranges.
    """
    k, m = _checked_counts(successes, n)
    other_k, other_m = _checked_counts(other_successes, other_n)
    first, second = wilson(k, m, level), wilson(other_k, other_m, level)
    share, other = k / m, other_k / other_m
    below = np.sqrt((share - first.low) ** 2 + (second.high - other) ** 2)
    above = np.sqrt((first.high - share) ** 2 + (other - second.low) ** 2)
    return Interval(share - other - below, share - other + above)


def newcombe_paired(
    both: ArrayLike, first_only: ArrayLike, second_only: ArrayLike, neither: ArrayLike, level: float = 0.95
) -> Interval:
    """Newcombe's interval of the difference of two proportions of the same items, ``(first_only - second_only) / n``.

    It is built like :func:`newcombe`, with the correlation of the two taken off; a positive one is estimated with a
    correction for continuity (Newcombe 1998, Statistics in Medicine 17:2635, method 10). It stays inside [-1, 1].

    Args:
        both, first_only, second_only, neither: how many items succeed where; together at least 1.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: for counts or levels outside their ranges.
    """
    a, b, c, d = np.broadcast_arrays(
        *(np.asarray(k, dtype=np.float64) for k in (both, first_only, second_only, neither))
    )
    n = a + b + c + d
    if not ((np.minimum(np.minimum(a, b), np.minimum(c, d)) >= 0) & (n >= 1)).all():
        raise ValueError("the four counts of paired items must be at least 0, and one of them at least 1")
    share, other = (a + b) / n, (a + c) / n
    first, second = wilson(a + b, n, level), wilson(a + c, n, level)
    agreement = a * d - b * c
    agreement = np.where(agreement > 0, np.maximum(agreement - n / 2, 0), agreement)
    scale = np.sqrt((a + b) * (c + d)) * np.sqrt((a + c) * (b + d))
    correlation = np.divide(agreement, scale, out=np.zeros_like(scale), where=scale > 0)

    def reach(one: np.ndarray, another: np.ndarray) -> np.ndarray:
        squares = one**2 - 2 * correlation * one * another + another**2
        return np.asarray(np.sqrt(np.maximum(squares, 0)))  # rounding must not take the root of less than nothing

    below, above = reach(share - first.low, second.high - other), reach(first.high - share, other - second.low)
    difference = (b - c) / n
    return Interval(np.maximum(difference - below, -1.0), np.minimum(difference + above, 1.0))


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
    half_width = float(special.stdtrit(sample.size - 1, 0.5 + level / 2) * standard_error)
    return MeanInterval(mean, mean - half_width, mean + half_width)


def median_interval(values: ArrayLike, level: float = 0.95) -> MeanInterval:
    """The median of independent values, with the interval between two of them that covers it whatever their distribution.

    The ends are the order statistics j and n + 1 - j with the largest j for which fewer than j of n fair coins show heads
    with probability at most (1 - level) / 2 (David & Nagaraja 2003, section 7.1).

    Args:
        values: at least one number; infinities are allowed.
        level: two-sided coverage in (0, 1).

    Returns:
        Median and ends, which are infinite where there are too few values (fewer than 6 at 95 %).

    Raises:
        ValueError: without values, for NaN, or for a level outside (0, 1).
    """
    sample = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if sample.size == 0 or np.isnan(sample).any():
        raise ValueError("a median needs at least one value, and no NaN")
    tail = (1 - _checked_level(level)) / 2
    n = sample.size
    below = special.bdtr(np.arange(n // 2), n, 0.5)  # P(at most j - 1 heads) for j = 1, 2, ...
    rank = int((below <= tail).sum())
    # Of an even number of values the median is the middle of two, which do not have a middle if both are infinite.
    left, right = float(sample[(n - 1) // 2]), float(sample[n // 2])
    median = left if left == right else (left + right) / 2
    if rank == 0:
        return MeanInterval(median, -np.inf, np.inf)
    return MeanInterval(median, float(sample[rank - 1]), float(sample[n - rank]))


def separation_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> MeanInterval:
    """P(x < y) + P(x = y) / 2 for x from the first and y from the second sample: the area under the ROC curve.

    The interval is that of DeLong et al. 1988. Where the samples are separated completely it would be empty; there it is
    Clopper and Pearson's for as many disjoint pairs as there are, all of which agree.

    Args:
        first, second: at least two numbers each; infinities are allowed.
        level: two-sided coverage in (0, 1).

    Raises:
        ValueError: for fewer values, for NaN, or for a level outside (0, 1).
    """
    x, y = (np.sort(np.asarray(sample, dtype=np.float64).ravel()) for sample in (first, second))
    if min(x.size, y.size) < 2 or np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("a separation needs at least two values of either sample, and no NaN")
    z = special.ndtri(0.5 + _checked_level(level) / 2)
    above_x = 1 - (np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")) / (2 * y.size)
    below_y = (np.searchsorted(x, y, "left") + np.searchsorted(x, y, "right")) / (2 * x.size)
    area = float(above_x.mean())
    if area in (0.0, 1.0):
        pairs = min(x.size, y.size)
        exact = clopper_pearson(area * pairs, pairs, level)
        return MeanInterval(area, float(exact.low), float(exact.high))
    half_width = float(z * np.sqrt(above_x.var(ddof=1) / x.size + below_y.var(ddof=1) / y.size))
    return MeanInterval(area, max(area - half_width, 0.0), min(area + half_width, 1.0))


def _checked_counts(successes: ArrayLike, n: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    k, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if not ((trials >= 1) & (k >= 0) & (k <= trials)).all():
        raise ValueError("counts must satisfy 0 <= successes <= n and n >= 1")
    return k, trials


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level = {level} must lie in (0, 1)")
    return level
