"""Exponential moving average of a growing series, kept up to date at the cost of what is new."""

from __future__ import annotations

import numpy as np

from difrob_gui.charts.growing import GrowingArray

# Within a block the powers of the weight stay above this, so that dividing by them loses nothing.
_SMALLEST_POWER = 1e-120


class MovingAverage:
    """Average with ``weight`` in [0, 1) on the past, without the pull of the start towards zero.

    With finite values v_0 ... v_t it is  sum_i w^(t-i) v_i / sum_i w^(t-i).  Values that are not finite give NaN and count
    for nothing.
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight < 1:
            raise ValueError(f"weight = {weight} must lie in [0, 1)")
        self.weight = weight
        self._result = GrowingArray()
        self._total = 0.0
        self._mass = 0.0

    def __len__(self) -> int:
        return len(self._result)

    @property
    def values(self) -> np.ndarray:
        """The average at every value taken so far."""
        return self._result.view

    def append(self, values: np.ndarray) -> None:
        """Take further values."""
        finite = np.isfinite(values)
        result = np.full(len(values), np.nan)
        result[finite] = self._continued(values[finite])
        self._result.extend(result)

    def _continued(self, values: np.ndarray) -> np.ndarray:
        if self.weight == 0 or not len(values):
            return values
        block = min(max(1, int(np.log(_SMALLEST_POWER) / np.log(self.weight))), len(values))
        powers = self.weight ** np.arange(1, block + 1)
        fresh_masses = powers * np.cumsum(1 / powers)
        pieces = []
        for start in range(0, len(values), block):
            piece = values[start : start + block]
            fade = powers[: len(piece)]
            totals = fade * (self._total + np.cumsum(piece / fade))
            masses = fade * self._mass + fresh_masses[: len(piece)]
            self._total, self._mass = float(totals[-1]), float(masses[-1])
            pieces.append(totals / masses)
        return np.concatenate(pieces)
