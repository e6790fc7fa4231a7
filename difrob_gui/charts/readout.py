"""What a chart says in words: the value of each curve at the pointer or at its end, and what the bands are."""

from __future__ import annotations

import math
from collections.abc import Iterable

from difrob_gui.charts.curve import Curve
from difrob_gui.charts.legend import Entry
from difrob_gui.charts.ranges import Range
from difrob_gui.charts.series_data import Reading, XAxis
from difrob_gui.charts.ticks import POINTS_UNIT, Scale, value_text
from difrob_gui.themes import Theme

PENDING = "…"
NOTHING = "–"


def entry_of(curve: Curve, value: str, theme: Theme) -> Entry:
    """The legend's entry of a curve."""
    colour, dash = theme.series_style(curve.style)
    return Entry(curve.key, curve.label, colour, dash, value, curve.shown, curve.hint)


def newest(curve: Curve, scale: Scale, smoothing: float) -> str:
    """The last value."""
    return reading_text(curve.data.last(curve.weight(smoothing)), scale, with_interval=False)


def at(curve: Curve, axis: XAxis, x: float, view: Range, scale: Scale, smoothing: float) -> str:
    """The value nearest to ``x``, with its interval; a dash where the curve does not reach."""
    span = curve.data.span(axis)
    slack = 0.02 * (view[1] - view[0])
    if span is None or not span[0] - slack <= x <= span[1] + slack:
        return NOTHING
    return reading_text(curve.data.reading(axis, x, curve.weight(smoothing)), scale, with_interval=True)


def reading_text(reading: Reading | None, scale: Scale, *, with_interval: bool) -> str:
    """A value, and its interval in brackets."""
    if reading is None:
        return ""
    text = value_text(scale, reading.value)
    if with_interval and math.isfinite(reading.low) and math.isfinite(reading.high):
        low, high = (
            value_text(scale, end).removesuffix(" %").removesuffix(POINTS_UNIT) for end in (reading.low, reading.high)
        )
        text += f" [{low}, {high}]"
    return text


def note(curves: Iterable[Curve], smoothing: float) -> str:
    """Which intervals the bands are, whether curves are smoothed, how many values are missing."""
    shown = [curve for curve in curves if curve.shown]
    notes = []
    bands = list(dict.fromkeys(curve.interval or "recorded interval" for curve in shown if curve.data.has_band))
    if bands:
        notes.append("band: " + ", ".join(bands))
    if smoothing > 0 and any(not curve.data.has_band for curve in shown):
        notes.append(f"smoothed {smoothing:g}")
    not_finite = sum(curve.data.not_finite for curve in shown)
    if not_finite:
        notes.append(f"{not_finite:,} not finite")
    return "  ·  ".join(notes)


def sample_beside(curves: Iterable[Curve], axis: XAxis, cursor: float | None, direction: int) -> float | None:
    """Position of the nearest sample to the left (-1) or right (1) of the cursor; None where there is none.

    Without a cursor it is the last one or the first one.
    """
    shown = [curve.data for curve in curves if curve.shown and len(curve.data)]
    if cursor is None:
        ends = [span for data in shown if (span := data.span(axis)) is not None]
        if not ends:
            return None
        return max(end[1] for end in ends) if direction < 0 else min(end[0] for end in ends)
    found = [beside for data in shown if (beside := data.neighbour(axis, cursor, direction)) is not None]
    return min(found, key=lambda position: abs(position - cursor), default=None)


def nearest_sample(curves: Iterable[Curve], axis: XAxis, x: float) -> float:
    """The sample position nearest to ``x`` among the shown curves; ``x`` itself where there is none."""
    readings = [curve.data.reading(axis, x) for curve in curves if curve.shown]
    return min((r.x for r in readings if r is not None), key=lambda position: abs(position - x), default=x)
