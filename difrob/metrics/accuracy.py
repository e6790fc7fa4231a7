"""Final numbers with their intervals, in the form in which a run reports them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difrob.metrics.intervals import clopper_pearson, mean_interval, wilson
from difrob.runs.interface import Measure

LEVEL = 0.95
TWO_SIDED_95 = 1.959963984540054


def share_measure(flags: ArrayLike, description: str, *, exact: bool = False) -> Measure:
    """The share of images with a property, e.g. classified correctly.

    Args:
        flags: one truth value per image; at least one.
        description: what was measured; an attack is named with norm, radius, steps and restarts.
        exact: Clopper-Pearson (for certified shares) instead of Wilson.
    """
    values = np.asarray(flags, dtype=bool)
    successes, n = int(values.sum()), values.size
    interval = (clopper_pearson if exact else wilson)(successes, n, LEVEL)
    name = "Clopper-Pearson 95 %" if exact else "Wilson 95 %"
    return Measure(
        value=successes / n,
        low=float(interval.low),
        high=float(interval.high),
        n=n,
        interval=name,
        unit="share",
        description=description,
    )


def mean_measure(values: ArrayLike, description: str, *, unit: str) -> Measure:
    """The mean of one value per image with Student's t interval; no interval for a single value."""
    sample = np.asarray(values, dtype=np.float64)
    mean, low, high = mean_interval(sample, LEVEL)
    if sample.size < 2:
        return Measure(value=mean, n=sample.size, unit=unit, description=description)
    return Measure(
        value=mean, low=low, high=high, n=sample.size, interval="Student t 95 %", unit=unit, description=description
    )
