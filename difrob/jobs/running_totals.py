"""Shares and means of rows that come in batches: what live curves need, without looking at earlier rows again."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from difrob.metrics.accuracy import LEVEL
from difrob.metrics.intervals import clopper_pearson, wilson
from difrob.runs.interface import Recorder


class RunningShare:
    """How many of the rows so far have a property."""

    def __init__(self) -> None:
        self.successes = 0
        self.count = 0

    def add(self, flags: ArrayLike) -> None:
        """Take in one truth value per row, bool [n]."""
        values = np.asarray(flags, dtype=bool)
        self.successes += int(values.sum())
        self.count += values.size

    def record(self, recorder: Recorder, name: str, step: int, *, exact: bool = False) -> None:
        """One point of a metric with its 95 % interval; needs at least one row.

        Args:
            recorder, name, step: as of :meth:`Recorder.metric`.
            exact: Clopper-Pearson (for certified shares) instead of Wilson.
        """
        ends = (clopper_pearson if exact else wilson)(self.successes, self.count, LEVEL)
        called = "Clopper-Pearson 95 %" if exact else "Wilson 95 %"
        recorder.metric(name, step, self.successes / self.count, float(ends.low), float(ends.high), interval=called)


class RunningMean:
    """Mean and spread of one value per row (Chan, Golub & LeVeque 1983)."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.count = 0
        self._squares = 0.0  # squared deviations from the mean, summed

    def add(self, values: ArrayLike) -> None:
        """Take in one finite number per row, [n >= 1]."""
        sample = np.asarray(values, dtype=np.float64)
        mean, count = float(sample.mean()), self.count + sample.size
        shift = mean - self.mean
        self._squares += float(((sample - mean) ** 2).sum()) + shift**2 * self.count * sample.size / count
        self.mean += shift * sample.size / count
        self.count = count

    def record(self, recorder: Recorder, name: str, step: int) -> None:
        """One point of a metric with Student's t interval, which a single row does not have."""
        if self.count < 2:
            recorder.metric(name, step, self.mean)
            return
        error = np.sqrt(self._squares / (self.count - 1) / self.count)
        half_width = float(special.stdtrit(self.count - 1, 0.5 + LEVEL / 2) * error)
        recorder.metric(
            name, step, self.mean, self.mean - half_width, self.mean + half_width, interval="Student t 95 %"
        )
