"""Axes that follow their data: never so close that noise looks like a trend, and differences of shares in points."""

from __future__ import annotations

import pytest

from difrob.quantities import quantity_of
from difrob_gui.charts.ranges import follow_y
from difrob_gui.charts.ticks import Scale, ticks, value_text
from difrob_gui.models.chart_plans import scale_of


def test_the_range_is_never_narrower_than_a_share_of_the_values() -> None:
    low, high = follow_y(None, 0.11055, 0.11080)
    width = 0.02 * 0.11080
    assert high - low == pytest.approx(1.16 * width)
    assert (low + high) / 2 == pytest.approx((0.11055 + 0.11080) / 2)
    assert follow_y(None, -1.0, 1.0) == pytest.approx((-1.16, 1.16))
    assert follow_y(None, 0.11055, 0.11080, least=0.0)[1] < 0.1109  # logarithms: their size says nothing


def test_differences_of_accuracies_are_percentage_points() -> None:
    assert scale_of(quantity_of("robust_generalisation_gap")) is Scale.POINTS
    assert value_text(Scale.POINTS, 0.1015) == "10.2 points"
    assert value_text(Scale.POINTS, -0.05) == "−5.0 points"
    assert [text for _, text in ticks(Scale.POINTS, -0.1, 0.1, 4)] == ["−10 %", "−5 %", "0 %", "5 %", "10 %"]
