"""When an axis that follows its data moves. Seldom: every move costs a new set of ticks and a full repaint."""

from __future__ import annotations

import math

Range = tuple[float, float]

HEADROOM = 0.15
MARGIN_X = 0.012
SHRINK_BELOW = 0.4
LEAST_WIDTH = 0.02


def follow_x(old: Range | None, low: float, high: float, *, growing: bool) -> Range:
    """Range along x for data in [low, high]; with ``growing`` data it leaves room and stays until that is used up."""
    low, high = _widened(low, high)
    width = high - low
    margin = MARGIN_X * width
    if not growing:
        return low - margin, high + margin
    if old is not None:
        room = old[1] - old[0]
        if 0 <= low - old[0] <= 0.05 * room and high <= old[1] and width >= SHRINK_BELOW * room:
            return old
    return low - margin, high + HEADROOM * width


def follow_y(old: Range | None, low: float, high: float, *, least: float = LEAST_WIDTH) -> Range:
    """Range along y for data in [low, high], with a margin; it stays while the data fit it and fill enough of it.

    It is at least ``least`` times as wide as the largest value is far from zero: in a closer view noise looks like a trend.
    """
    low, high = _widened(low, high)
    short = least * max(abs(low), abs(high)) - (high - low)
    if short > 0:
        low, high = low - short / 2, high + short / 2
    width = high - low
    if old is not None and old[0] <= low and high <= old[1] and width >= SHRINK_BELOW * (old[1] - old[0]):
        return old
    return low - 0.08 * width, high + 0.08 * width


def _widened(low: float, high: float) -> Range:
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if high > low and high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    half = 0.5 * abs(low) or 0.5
    return low - half, high + half
