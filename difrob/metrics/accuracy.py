"""Final numbers with their intervals, in the form in which a run reports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difrob.metrics.intervals import clopper_pearson, mean_interval, wilson
from difrob.quantities import SHARE
from difrob.runs.interface import Measure

NONE: Mapping[str, Any] = {}
LEVEL = 0.95
TWO_SIDED_95 = 1.959963984540054


def share_measure(
    flags: ArrayLike, description: str = "", conditions: Mapping[str, Any] = NONE, *, exact: bool = False
) -> Measure:
    """The share of images with a property, e.g. classified correctly.

    Args:
        flags: one truth value per image; at least one.
        description: what was measured.
        conditions: how; an attack is stated with norm, radius, steps and restarts. Both are what
            :func:`~difrob.metrics.conditions.stated` returns.
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
        unit=SHARE,
        description=description,
        conditions=conditions,
    )


def mean_measure(
    values: ArrayLike, description: str = "", conditions: Mapping[str, Any] = NONE, *, unit: str
) -> Measure:
    """The mean of one value per image with Student's t interval; no interval for a single value.

    ``description`` and ``conditions`` as in :func:`share_measure`.
    """
    sample = np.asarray(values, dtype=np.float64)
    mean, low, high = mean_interval(sample, LEVEL)
    if sample.size < 2:
        return Measure(value=mean, n=sample.size, unit=unit, description=description, conditions=conditions)
    return Measure(
        value=mean, low=low, high=high, n=sample.size, interval="Student t 95 %", unit=unit, description=description,
        conditions=conditions,
    )  # fmt: skip
