"""Ticks and ranges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob_gui.charts.ranges import follow_x, follow_y
from difrob_gui.charts.ticks import Scale, clock_text, nice_step, ticks, value_text


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-9, 1e9),
    st.integers(2, 12),
    st.sampled_from([Scale.NUMBER, Scale.SHARE, Scale.COUNT]),
)
def test_ticks_lie_in_the_range_evenly_and_are_not_too_many(low: float, width: float, most: int, scale: Scale) -> None:
    high = low + width
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-6):
        return
    found = [position for position, _ in ticks(scale, low, high, most)]
    assert len(found) <= most + 1
    slack = 1e-6 * (high - low)
    assert all(low - slack <= position <= high + slack for position in found)
    assert all(b > a for a, b in zip(found, found[1:], strict=False))


@pytest.mark.parametrize(
    ("scale", "low", "high", "expected"),
    [
        (Scale.SHARE, -0.02, 1.02, ["0 %", "25 %", "50 %", "75 %", "100 %"]),
        (Scale.COUNT, 0, 25_000, ["0", "5k", "10k", "15k", "20k", "25k"]),
        (Scale.COUNT, 0, 4_000, ["0", "1000", "2000", "3000", "4000"]),
        (Scale.COUNT, 0, 3, ["0", "1", "2", "3"]),
        (Scale.COUNT, 0, 3e6, ["0", "1M", "2M", "3M"]),
        (Scale.NUMBER, -1, 1, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (Scale.NUMBER, 0, 4e-5, ["0", "1×10⁻⁵", "2×10⁻⁵", "3×10⁻⁵", "4×10⁻⁵"]),
        (Scale.SECONDS, 0, 300, ["0", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (Scale.SECONDS, 0, 50, ["0", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (Scale.SECONDS, 0, 4 * 3600, ["0", "1 h", "2 h", "3 h", "4 h"]),
        (Scale.LOG, -5, -1, ["10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1"]),
        (Scale.LOG, 0, 1, ["1", "2", "5", "10"]),
    ],
)
def test_labels(scale: Scale, low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in ticks(scale, low, high, 5)] == expected


def test_log_ticks_stand_at_logarithms() -> None:
    assert ticks(Scale.LOG, 0, 1, 5)[1] == (pytest.approx(math.log10(2)), "2")


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (0, math.inf)])
def test_an_impossible_range_has_no_ticks(low: float, high: float) -> None:
    for scale in Scale:
        assert ticks(scale, low, high, 5) == []


@pytest.mark.parametrize(("least", "step"), [(0.3, 0.5), (1, 1), (1.01, 2), (6, 10), (0.02, 0.02)])
def test_steps_are_nice(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step)


@pytest.mark.parametrize(
    ("scale", "value", "text"),
    [
        (Scale.SHARE, 0.6532, "65.3 %"),
        (Scale.COUNT, 12345, "12,345"),
        (Scale.NUMBER, 0.386421, "0.3864"),
        (Scale.NUMBER, -2.5, "−2.5"),
        (Scale.NUMBER, 3.2e-7, "3.2×10⁻⁷"),
        (Scale.NUMBER, math.nan, "not finite"),
        (Scale.SECONDS, 187, "3:07 min"),
        (Scale.NUMBER, 0, "0"),
    ],
)
def test_values_in_full(scale: Scale, value: float, text: str) -> None:
    assert value_text(scale, value) == text


def test_clocks() -> None:
    assert [clock_text(s) for s in (4.21, 59.9, 3599, 7509)] == ["4.2 s", "59.9 s", "59:59 min", "2:05:09 h"]


def test_a_growing_axis_moves_seldom() -> None:
    axis, moves = None, 0
    for step in range(1, 20_000, 7):
        new = follow_x(axis, 0.0, float(step), growing=True)
        assert new[0] <= 0 and step <= new[1]
        moves += new != axis
        axis = new
    assert moves < 80


def test_an_ended_run_fills_its_axis() -> None:
    low, high = follow_x((0.0, 1150.0), 0.0, 1000.0, growing=False)
    assert -20 <= low <= 0 and 1000 <= high <= 1020


def test_the_y_axis_stays_until_data_leave_it_or_use_little_of_it() -> None:
    axis = follow_y(None, 0.0, 1.0)
    assert axis[0] < 0 and axis[1] > 1
    assert follow_y(axis, 0.1, 0.9) == axis
    assert follow_y(axis, 0.0, 1.5)[1] > 1.5
    assert follow_y(axis, 0.4, 0.6) != axis


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-9])
def test_a_single_value_gets_room_on_both_sides(value: float) -> None:
    low, high = follow_y(None, value, value)
    assert low < value < high


def test_no_data_still_make_an_axis() -> None:
    low, high = follow_y(None, math.nan, math.nan)
    assert low < high
