"""Where ticks stand and what they say. Pure functions; a tick is (position on the axis, text)."""

from __future__ import annotations

import math
from enum import StrEnum

Tick = tuple[float, str]


class Scale(StrEnum):
    """What the numbers of an axis are.

    ``PART`` are shares of which the range in use is shown, ``POINTS`` differences of shares, which may be negative.
    """

    NUMBER = "number"
    COUNT = "count"
    SHARE = "share"
    PART = "part"
    POINTS = "points"
    SECONDS = "seconds"
    LOG = "log"


_SECOND_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
POINTS_UNIT = " points"
_PER_CENT = (Scale.SHARE, Scale.PART, Scale.POINTS)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def ticks(scale: Scale, low: float, high: float, most: int) -> list[Tick]:
    """At most ``most`` ticks in [low, high]; on a logarithmic axis positions and limits are decadic logarithms."""
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        return []
    most = max(most, 2)
    if scale is Scale.LOG:
        return _log_ticks(low, high, most)
    step = nice_step((high - low) / most, (1, 2, 2.5, 5, 10) if scale in _PER_CENT else (1, 2, 5, 10))
    if scale is Scale.COUNT:
        step = max(1.0, step)
    if scale is Scale.SECONDS:
        step = _seconds_step((high - low) / most)
    slack = 1e-6 * (high - low)
    numbers = range(math.ceil((low - slack) / step), math.floor((high + slack) / step) + 1)
    positions = [float(f"{k * step:.12g}") for k in numbers]
    if scale in _PER_CENT:
        decimals = next(d for d in range(12) if math.isclose(100 * step, round(100 * step, d), rel_tol=1e-6))
        return [(p, f"{100 * p:.{decimals}f} %".replace("-", "−")) for p in positions]
    if scale is Scale.SECONDS:
        return [(p, _clock(p, step)) for p in positions]
    return [(p, text) for p, text in zip(positions, _numbers(positions, step), strict=True)]


def nice_step(least: float, factors: tuple[float, ...] = (1, 2, 5, 10)) -> float:
    """The smallest of these factors (in [1, 10]) times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    for factor in factors:
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10 * power


def value_text(scale: Scale, value: float) -> str:
    """One value in full, for read-outs."""
    if not math.isfinite(value):
        return "not finite"
    if scale is Scale.SHARE:
        return f"{100 * value:.1f} %"
    if scale is Scale.POINTS:
        return f"{100 * value:.1f}{POINTS_UNIT}".replace("-", "−")
    if scale is Scale.SECONDS:
        return clock_text(value)
    if scale is Scale.COUNT:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"
    return _significant(value)


def clock_text(seconds: float) -> str:
    """``4.2 s``, ``3:07 min``, ``2:05:09 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"


def _log_ticks(low: float, high: float, most: int) -> list[Tick]:
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(decades) >= 3:
        step = max(1, math.ceil(len(decades) / most))
        return [(float(d), _power(d)) for d in decades if d % step == 0]
    for factors in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [
            (math.log10(f * 10.0**d), _significant(f * 10.0**d))
            for d in range(math.floor(low), math.floor(high) + 1)
            for f in factors
            if low - 1e-9 <= math.log10(f * 10.0**d) <= high + 1e-9
        ]
        if len(found) >= 3:
            return found if len(found) <= 2 * most else found[::2]
    inside = ticks(Scale.NUMBER, 10**low, 10**high, most)
    return [(math.log10(p), text) for p, text in inside if p > 0]


def _power(decade: int) -> str:
    if -3 <= decade <= 3:
        return f"{10.0**decade:g}"
    return "10" + str(decade).translate(_SUPERSCRIPTS)


def _numbers(positions: list[float], step: float) -> list[str]:
    """Texts with as many decimals as the step needs; thousands and millions by their letters, tiny ones as powers."""
    largest = max((abs(p) for p in positions), default=0.0)
    for limit, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if largest >= limit:
            return [_fixed(p / unit, step / unit) + letter if p else "0" for p in positions]
    if 0 < largest < 1e-3:
        decade = math.floor(math.log10(largest) + 1e-9)
        power = "×10" + str(decade).translate(_SUPERSCRIPTS)
        return [_fixed(p / 10.0**decade, step / 10.0**decade) + power if p else "0" for p in positions]
    return [_fixed(p, step) for p in positions]


def _fixed(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}".replace("-", "−")


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return text.replace("-", "−")
    decade = math.floor(math.log10(abs(value)))
    return f"{value / 10.0**decade:.3g}×10{str(decade).translate(_SUPERSCRIPTS)}".replace("-", "−")


def _seconds_step(least: float) -> float:
    if least <= 1:
        return nice_step(least)
    for step in _SECOND_STEPS:
        if step >= least:
            return float(step)
    return nice_step(least / 86400) * 86400


def _clock(seconds: float, step: float) -> str:
    if seconds == 0:
        return "0"
    if step < 1:
        return f"{_fixed(seconds, step)} s"
    whole = round(abs(seconds))
    sign = "−" if seconds < 0 else ""
    if step >= 86400:
        return f"{sign}{whole // 86400} d"
    if step >= 3600:
        return f"{sign}{whole // 3600} h"
    if whole >= 3600:
        return f"{sign}{whole // 3600}:{whole // 60 % 60:02d} h"
    if step >= 60:
        return f"{sign}{whole // 60} min"
    return f"{sign}{whole // 60}:{whole % 60:02d}" if whole >= 60 else f"{sign}{whole} s"
