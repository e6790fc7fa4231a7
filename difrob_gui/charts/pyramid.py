"""Smallest and largest values of any stretch of a growing series, at a cost that does not depend on its length.

Level 0 holds the values; an entry of level k holds the extremes of 4^k consecutive values. Appending k values costs O(k) in
all; the envelope of a stretch in at most ``most`` bins costs O(most). Values that are not finite count as absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob_gui.charts.growing import GrowingArray

FACTOR = 4


@dataclass(frozen=True)
class Envelope:
    """Extremes of consecutive bins; ``starts`` are the indices of their first samples.

    ``lows`` and ``highs`` are NaN for a bin without a finite value. When ``is_exact`` every bin is a single sample.
    """

    starts: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    is_exact: bool


class Pyramid:
    """The values of one series and their extremes at every scale."""

    def __init__(self, values: np.ndarray | None = None) -> None:
        self._values = GrowingArray()
        self._lows: list[GrowingArray] = []
        self._highs: list[GrowingArray] = []
        self._digested = 0
        if values is not None:
            self.append(values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def values(self) -> np.ndarray:
        """All values as they were given, non-finite ones included."""
        return self._values.view

    def append(self, values: np.ndarray) -> None:
        """Add values at the end. The levels above follow when somebody asks, so that hidden curves cost nothing more."""
        self._values.extend(values)

    def _catch_up(self) -> None:
        """Bring all levels up to date, at a cost in proportion to what is new."""
        changed = self._digested
        if changed == len(self._values):
            return
        self._digested = len(self._values)
        level = 0
        while True:
            length = len(self._values) if level == 0 else len(self._lows[level - 1])
            if length <= FACTOR and level == len(self._lows):
                return
            if level == len(self._lows):
                self._lows.append(GrowingArray())
                self._highs.append(GrowingArray())
                changed = 0
            changed //= FACTOR
            lows, highs = self._level(level, changed * FACTOR, length)
            self._lows[level].replace_from(changed, _reduced(lows, np.fmin))
            self._highs[level].replace_from(changed, _reduced(highs, np.fmax))
            level += 1

    def extremes(self, first: int, last: int) -> tuple[float, float]:
        """Smallest and largest finite value of ``[first, last)``; NaN when there is none."""
        self._catch_up()
        first, last = max(first, 0), min(last, len(self))
        lows: list[np.ndarray] = []
        highs: list[np.ndarray] = []
        level = 0
        while first < last:
            inner_first = -(-first // FACTOR) * FACTOR
            inner_last = last // FACTOR * FACTOR
            if level == len(self._lows) or inner_first >= inner_last:
                pieces = [(first, last)]
                first = last
            else:
                pieces = [(first, inner_first), (inner_last, last)]
                first, last = inner_first // FACTOR, inner_last // FACTOR
            for start, stop in pieces:
                if start < stop:
                    low, high = self._level(level, start, stop)
                    lows.append(low)
                    highs.append(high)
            level += 1
        if not lows:
            return np.nan, np.nan
        return float(np.fmin.reduce(np.concatenate(lows))), float(np.fmax.reduce(np.concatenate(highs)))

    def envelope(self, first: int, last: int, most: int) -> Envelope:
        """Extremes of ``[first, last)`` in at most ``most`` bins (and at least a quarter of them, if there are samples)."""
        first, last = max(first, 0), min(last, len(self))
        if first >= last:
            empty = np.empty(0)
            return Envelope(np.empty(0, dtype=np.int64), empty, empty, True)
        self._catch_up()
        level, size = 0, 1
        while (last - 1) // size - first // size + 1 > most and level < len(self._lows):
            level += 1
            size *= FACTOR
        begin, end = first // size, (last - 1) // size + 1
        lows, highs = self._level(level, begin, end)
        if level == 0:
            return Envelope(np.arange(first, last), lows, highs, True)
        starts = np.arange(begin, end) * size
        lows, highs = lows.copy(), highs.copy()
        starts[0] = first
        lows[0], highs[0] = self.extremes(first, min((begin + 1) * size, last))
        lows[-1], highs[-1] = self.extremes(max((end - 1) * size, first), last)
        return Envelope(starts, lows, highs, False)

    def _level(self, level: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Lows and highs of entries ``[start, stop)`` of a level."""
        if level:
            return self._lows[level - 1].view[start:stop], self._highs[level - 1].view[start:stop]
        values = self._values.view[start:stop]
        finite = np.isfinite(values)
        if not finite.all():
            values = np.where(finite, values, np.nan)
        return values, values


def _reduced(values: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """Every four neighbours picked into one; the last group may be smaller."""
    whole = len(values) // FACTOR * FACTOR
    groups = values[:whole]
    result = pick(pick(groups[0::4], groups[1::4]), pick(groups[2::4], groups[3::4]))
    if whole == len(values):
        return result
    return np.append(result, pick.reduce(values[whole:]))
