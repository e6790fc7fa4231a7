"""The points of one curve, and what of them a picture of so many pixels needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from difrob_gui.charts.growing import GrowingArray
from difrob_gui.charts.pyramid import Pyramid
from difrob_gui.charts.smoothing import MovingAverage


class XAxis(StrEnum):
    """What runs along the horizontal axis."""

    STEP = "step"
    ELAPSED = "elapsed time"


@dataclass(frozen=True)
class Line:
    """A polyline to draw; NaN in ``y`` breaks it. ``is_exact``: every sample in view is a point of it."""

    x: np.ndarray
    y: np.ndarray
    is_exact: bool


@dataclass(frozen=True)
class Band:
    """The interval to draw around a line, already thinned out; NaN breaks it."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Reading:
    """One sample, for the read-out."""

    x: float
    value: float
    low: float
    high: float


class SeriesData:
    """A growing series: position, time, value and interval, with extremes at every scale.

    ``x`` is the step of a metric, or the abscissa of a curve; ``elapsed`` counts seconds since the first sample.
    """

    def __init__(self) -> None:
        self._x = GrowingArray()
        self._elapsed = GrowingArray()
        self._value = Pyramid()
        self._low: Pyramid | None = None
        self._high: Pyramid | None = None
        self._ascending = {XAxis.STEP: True, XAxis.ELAPSED: True}
        self._averages: dict[float, MovingAverage] = {}
        self.started = 0.0
        self.not_finite = 0

    @classmethod
    def of_curve(
        cls, x: np.ndarray, y: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
    ) -> SeriesData:
        """A finished curve y(x), without times."""
        data = cls()
        data.extend(x, np.zeros(len(x)), y, low, high)
        return data

    def __len__(self) -> int:
        return len(self._x)

    @property
    def has_band(self) -> bool:
        """Whether any sample carries an interval."""
        return self._low is not None

    @property
    def value(self) -> np.ndarray:
        """All values as recorded."""
        return self._value.values

    @property
    def low(self) -> np.ndarray:
        """Lower ends of the intervals; NaN where there is none."""
        return self._low.values if self._low is not None else np.full(len(self), np.nan)

    @property
    def high(self) -> np.ndarray:
        """Upper ends of the intervals; NaN where there is none."""
        return self._high.values if self._high is not None else np.full(len(self), np.nan)

    def positions(self, axis: XAxis) -> np.ndarray:
        """Where the samples lie along an axis."""
        return (self._x if axis is XAxis.STEP else self._elapsed).view

    def extend(
        self,
        x: np.ndarray,
        time: np.ndarray,
        value: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
    ) -> None:
        """Append samples. ``time`` in seconds since the epoch; ``low`` and ``high`` NaN or None without interval."""
        if not len(x):
            return
        if not len(self):
            self.started = float(time[0])
        before = len(self)
        elapsed = np.asarray(time, dtype=float) - self.started
        for axis, store, new in ((XAxis.STEP, self._x, x), (XAxis.ELAPSED, self._elapsed, elapsed)):
            store.extend(new)
            if self._ascending[axis]:
                self._ascending[axis] = bool((np.diff(store.view[max(before - 1, 0) :]) >= 0).all())
        value = np.asarray(value, dtype=float)
        self.not_finite += int(np.count_nonzero(~np.isfinite(value)))
        self._value.append(value)
        self._extend_band(before, low, high)

    def span(self, axis: XAxis) -> tuple[float, float] | None:
        """Leftmost and rightmost position; None without samples."""
        positions = self.positions(axis)
        if not len(positions):
            return None
        if self._ascending[axis]:
            return float(positions[0]), float(positions[-1])
        return float(positions.min()), float(positions.max())

    def extremes(self, axis: XAxis, left: float, right: float, *, positive: bool = False) -> tuple[float, float]:
        """Smallest and largest value in view, intervals included; NaN when there is none.

        With ``positive`` only positive values count (for a logarithmic axis).
        """
        first, last = self._inside(axis, left, right, beyond=0)
        if first >= last:
            first, last = self._inside(axis, left, right)
        pieces = [self._value] + ([self._low, self._high] if self._low is not None and self._high is not None else [])
        found = [piece.extremes(first, last) for piece in pieces]
        if positive and any(low <= 0 for low, _ in found):
            stretch = self._value.envelope(first, last, 4096)
            ends = np.concatenate([stretch.lows, stretch.highs])
            ends = ends[ends > 0]
            return (float(ends.min()), float(ends.max())) if len(ends) else (np.nan, np.nan)
        return float(np.fmin.reduce([low for low, _ in found])), float(np.fmax.reduce([high for _, high in found]))

    def line(self, axis: XAxis, left: float, right: float, pixels: int, *, log: bool = False) -> Line:
        """The raw series in view, as extremes of at most two bins per pixel."""
        first, last = self._inside(axis, left, right)
        envelope = self._value.envelope(first, last, 2 * max(pixels, 1))
        x = self.positions(axis)[envelope.starts]
        lows, highs = envelope.lows, envelope.highs
        if log:
            lows, highs = _logarithm(lows, highs)
        if envelope.is_exact:
            return Line(x, highs, True)
        return Line(np.repeat(x, 2), np.column_stack([lows, highs]).ravel(), False)

    def smoothed(
        self, axis: XAxis, left: float, right: float, pixels: int, weight: float, *, log: bool = False
    ) -> Line:
        """The moving average in view, at most one sample per pixel."""
        average = self._average(weight)
        first, last = self._inside(axis, left, right)
        stride = 1
        while (last - first) // stride > max(pixels, 1):
            stride *= 2
        index = np.arange(first // stride * stride, last, stride)
        index = index[index >= first]
        if last > first and (not len(index) or index[-1] != last - 1):
            index = np.append(index, last - 1)
        y = average.values[index]
        if log:
            y = _logarithm(y, y)[1]
        return Line(self.positions(axis)[index], y, stride == 1)

    def unsmoothed(self, weight: float) -> int:
        """How many samples the moving average has yet to take; what asking for it would cost."""
        average = self._averages.get(weight)
        return len(self) - (len(average) if average is not None else 0)

    def band(self, axis: XAxis, left: float, right: float, pixels: int, *, log: bool = False) -> Band | None:
        """The interval in view, thinned out to the widest one of each pixel; None without one."""
        if self._low is None or self._high is None:
            return None
        first, last = self._inside(axis, left, right)
        low = self._low.envelope(first, last, max(pixels, 1))
        high = self._high.envelope(first, last, max(pixels, 1))
        lows, highs = low.lows, high.highs
        if log:
            lows, highs = _logarithm(lows, highs)
        return Band(self.positions(axis)[low.starts], lows, highs)

    def reading(self, axis: XAxis, x: float, weight: float = 0.0) -> Reading | None:
        """The sample nearest to ``x``; its value smoothed when ``weight`` is positive. None without samples."""
        index = self._nearest(axis, x)
        if index is None:
            return None
        value = self._average(weight).values[index] if weight > 0 else self.value[index]
        low = self._low.values[index] if self._low is not None else np.nan
        high = self._high.values[index] if self._high is not None else np.nan
        return Reading(float(self.positions(axis)[index]), float(value), float(low), float(high))

    def last(self, weight: float = 0.0) -> Reading | None:
        """The newest sample."""
        span = self.span(XAxis.STEP)
        if span is None:
            return None
        value = self._average(weight).values[-1] if weight > 0 else self.value[-1]
        low = self._low.values[-1] if self._low is not None else np.nan
        high = self._high.values[-1] if self._high is not None else np.nan
        return Reading(float(self._x.view[-1]), float(value), float(low), float(high))

    def neighbour(self, axis: XAxis, x: float, direction: int) -> float | None:
        """Position of the sample beside ``x``, to the right for ``direction`` = 1, to the left for -1."""
        positions = self.positions(axis)
        beyond = positions[positions > x] if direction > 0 else positions[positions < x]
        if not len(beyond):
            return None
        return float(beyond.min() if direction > 0 else beyond.max())

    def _inside(self, axis: XAxis, left: float, right: float, beyond: int = 1) -> tuple[int, int]:
        """Range of samples between two positions, and ``beyond`` further ones at either side."""
        if not self._ascending[axis]:
            return 0, len(self)
        positions = self.positions(axis)
        first = int(np.searchsorted(positions, left, "left")) - beyond
        last = int(np.searchsorted(positions, right, "right")) + beyond
        return max(first, 0), min(last, len(self))

    def _nearest(self, axis: XAxis, x: float) -> int | None:
        positions = self.positions(axis)
        if not len(positions):
            return None
        if not self._ascending[axis]:
            return int(np.argmin(np.abs(positions - x)))
        right = int(np.searchsorted(positions, x))
        if right == 0:
            return 0
        if right == len(positions):
            return right - 1
        return right if positions[right] - x < x - positions[right - 1] else right - 1

    def _average(self, weight: float) -> MovingAverage:
        average = self._averages.get(weight)
        if average is None:
            while len(self._averages) >= 2:
                self._averages.pop(next(iter(self._averages)))
            average = self._averages[weight] = MovingAverage(weight)
        if len(average) < len(self):
            average.append(self.value[len(average) :])
        return average

    def _extend_band(self, before: int, low: np.ndarray | None, high: np.ndarray | None) -> None:
        count = len(self) - before
        if self._low is None or self._high is None:
            if low is None or high is None or not (np.isfinite(low).any() or np.isfinite(high).any()):
                return
            self._low, self._high = (Pyramid(np.full(before, np.nan)) for _ in range(2))
        nothing = np.full(count, np.nan)
        self._low.append(nothing if low is None else np.asarray(low, dtype=float))
        self._high.append(nothing if high is None else np.asarray(high, dtype=float))


def _logarithm(lows: np.ndarray, highs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decadic logarithms; what is not positive is absent, and a bin that reaches below zero shows its top only."""
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.where(highs > 0, np.log10(highs), np.nan)
        low = np.where(lows > 0, np.log10(lows), high)
    return low, high
