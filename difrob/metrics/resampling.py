"""Intervals by drawing images anew: what a number would have been with other images, the network being the same.

The bootstrap (Efron 1979) draws n images with replacement. It serves sums and ratios of sums, and counts that jump. It
misleads where an image beside its own copy means something, as in ranks of features and in pairs of images: there whole
groups of images are left out in turn instead (the jackknife with groups, Shao & Wu 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import special

from difrob.metrics.intervals import MeanInterval
from difrob.randomness import numpy_generator

RESAMPLES = 1000
GROUPS = 50
_CHUNK_NUMBERS = 1 << 22

BOOTSTRAP = f"bootstrap over images 95 %, {RESAMPLES:,} resamples"
JACKKNIFE = f"jackknife over images 95 %, at most {GROUPS} groups"


def bootstrap_counts(n: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each of n images is drawn: float64 [r, n] in turn, ``resamples`` rows in all."""
    source = numpy_generator(seed, "bootstrap")
    at_once = max(1, _CHUNK_NUMBERS // max(n, 1))
    even = np.full(n, 1 / n)
    for first in range(0, resamples, at_once):
        yield source.multinomial(n, even, size=min(at_once, resamples - first)).astype(np.float64)


def ratio_interval(
    numerators: np.ndarray, denominators: np.ndarray, seed: int, between: Callable[[], None], level: float = 0.95
) -> MeanInterval:
    """A ratio of sums over images with its bootstrap percentile interval.

    Args:
        numerators, denominators: one value per image, [n]; the sum of the denominators is positive.
        seed: of the resampling.
        between: called between pieces of the work.
        level: two-sided coverage.
    """
    ratios = []
    for counts in bootstrap_counts(len(numerators), seed):
        between()
        below = counts @ denominators
        ratios.append(np.divide(counts @ numerators, below, out=np.full(len(counts), np.nan), where=below > 0))
    drawn = np.concatenate(ratios)
    low, high = np.nanpercentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return MeanInterval(float(numerators.sum() / denominators.sum()), float(low), float(high))


def jackknife_interval(
    statistic: Callable[[np.ndarray], float], n: int, seed: int, between: Callable[[], None], level: float = 0.95
) -> MeanInterval:
    """A smooth statistic of a set of images, and what leaving out groups of them says of its spread.

    With g groups of equal size the variance is (g - 1) / g times the sum of squared deviations of the g values.

    Args:
        statistic: sorted rows -> number; is called with all rows first, then with all but one group.
        n: number of images, at least 4.
        seed: which images form a group.
        between: called before each call.
        level: two-sided coverage, by Student's t with g - 1 degrees of freedom.
    """
    if n < 4:
        raise ValueError(f"an interval by leaving out needs at least 4 images, not {n}")
    everything = np.arange(n)
    between()
    value = statistic(everything)
    groups = np.array_split(numpy_generator(seed, "jackknife").permutation(n), min(GROUPS, n // 2))
    left = []
    for group in groups:
        between()
        left.append(statistic(np.delete(everything, group)))
    count = len(groups)
    spread = np.sqrt((count - 1) / count * np.sum((np.array(left) - np.mean(left)) ** 2))
    half_width = float(special.stdtrit(count - 1, 0.5 + level / 2) * spread)
    return MeanInterval(value, value - half_width, value + half_width)
