"""What a picture needs of a series, against the whole series."""

from __future__ import annotations

import numpy as np
import pytest

from difrob_gui.charts.series_data import SeriesData, XAxis


def noisy(count: int, *, band: float | None = None, start: float = 1000.0) -> SeriesData:
    random = np.random.default_rng(0)
    step = np.arange(count) * 10
    value = random.normal(size=count) + 5
    data = SeriesData()
    for first in range(0, count, 997):
        part = slice(first, first + 997)
        low = None if band is None else value[part] - band
        high = None if band is None else value[part] + band
        data.extend(step[part], start + 0.5 * step[part], value[part], low, high)
    return data


def test_a_line_keeps_the_envelope_of_every_pixel() -> None:
    data = noisy(50_000)
    line = data.line(XAxis.STEP, 100_000, 300_000, 400)
    assert not line.is_exact
    assert len(line.x) <= 2 * 2 * 400
    inside = (data.positions(XAxis.STEP) >= 100_000) & (data.positions(XAxis.STEP) <= 300_000)
    assert np.nanmin(line.y) <= data.value[inside].min()
    assert np.nanmax(line.y) >= data.value[inside].max()
    # Column by column of a plot 400 pixels wide: nothing of the series sticks out of the drawn line by more than a column.
    edges = np.linspace(100_000, 300_000, 101)
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        part = data.value[(data.positions(XAxis.STEP) >= left) & (data.positions(XAxis.STEP) < right)]
        width = right - left
        drawn = line.y[(line.x >= left - width) & (line.x < right + width)]
        assert drawn.min() <= part.min() and drawn.max() >= part.max()


def test_a_short_line_is_drawn_sample_by_sample_with_gaps_where_it_is_not_finite() -> None:
    data = SeriesData()
    data.extend(np.arange(5), np.arange(5.0), np.array([1, np.nan, 3, np.inf, 5]))
    line = data.line(XAxis.STEP, 0, 4, 300)
    np.testing.assert_array_equal(line.x, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(line.y, [1, np.nan, 3, np.nan, 5])
    assert line.is_exact
    assert data.not_finite == 2


def test_one_sample_beyond_each_edge_is_drawn_so_that_lines_reach_the_frame() -> None:
    data = SeriesData()
    data.extend(np.arange(100), np.arange(100.0), np.arange(100.0))
    line = data.line(XAxis.STEP, 40.5, 42.5, 300)
    np.testing.assert_array_equal(line.x, [40, 41, 42, 43])


def test_time_counts_from_the_first_sample() -> None:
    data = noisy(100)
    assert data.span(XAxis.ELAPSED) == (0.0, 0.5 * 990)
    assert data.started == 1000.0
    reading = data.reading(XAxis.ELAPSED, 251.0)
    assert reading is not None and reading.x == 250.0 and reading.value == data.value[50]


def test_the_logarithm_leaves_out_what_is_not_positive() -> None:
    data = SeriesData()
    data.extend(np.arange(4), np.arange(4.0), np.array([10.0, 0.0, -1.0, 0.1]))
    np.testing.assert_allclose(data.line(XAxis.STEP, 0, 3, 100, log=True).y, [1, np.nan, np.nan, -1])
    assert data.extremes(XAxis.STEP, 0, 3, positive=True) == (0.1, 10.0)
    nothing = SeriesData()
    nothing.extend(np.arange(2), np.arange(2.0), np.array([-1.0, 0.0]))
    assert np.isnan(nothing.extremes(XAxis.STEP, 0, 3, positive=True)).all()


def test_a_thinned_band_is_the_widest_of_each_bin() -> None:
    data = noisy(50_000, band=0.5)
    band = data.band(XAxis.STEP, 0, 500_000, 200)
    assert band is not None and len(band.x) <= 200
    starts = np.searchsorted(data.positions(XAxis.STEP), band.x)
    for first, last, low, high in zip(starts, [*starts[1:], 50_000], band.low, band.high, strict=True):
        assert low == data.low[first:last].min()
        assert high == data.high[first:last].max()


def test_an_interval_that_begins_late_leaves_the_beginning_open() -> None:
    data = SeriesData()
    data.extend(np.arange(3), np.arange(3.0), np.ones(3))
    assert not data.has_band and data.band(XAxis.STEP, 0, 9, 100) is None
    data.extend(np.arange(3, 5), np.arange(3.0, 5), np.ones(2), np.full(2, 0.5), np.full(2, 1.5))
    assert data.has_band
    np.testing.assert_array_equal(data.low, [np.nan, np.nan, np.nan, 0.5, 0.5])
    data.extend(np.array([5]), np.array([5.0]), np.ones(1))
    assert np.isnan(data.high[-1])
    assert data.extremes(XAxis.STEP, 0, 9) == (0.5, 1.5)


def test_a_series_that_goes_back_is_drawn_whole() -> None:
    data = SeriesData()
    data.extend(np.array([0, 1, 2, 1, 2, 3]), np.arange(6.0), np.arange(6.0))
    assert data.span(XAxis.STEP) == (0.0, 3.0)
    np.testing.assert_array_equal(data.line(XAxis.STEP, 1.9, 2.1, 100).x, [0, 1, 2, 1, 2, 3])
    assert data.reading(XAxis.STEP, 2.9).value == 5.0
    np.testing.assert_array_equal(data.line(XAxis.ELAPSED, 3.9, 4.1, 100).y, [3, 4, 5])


def test_smoothing_takes_at_most_a_sample_per_pixel_and_ends_at_the_last() -> None:
    data = noisy(10_000)
    line = data.smoothed(XAxis.STEP, 0, 100_000, 300, 0.9)
    assert len(line.x) <= 302
    assert line.x[-1] == 99_990
    assert np.std(np.diff(line.y)) < 0.6 * np.std(np.diff(data.value))
    again = data.smoothed(XAxis.STEP, 0, 100_000, 300, 0.9)
    np.testing.assert_array_equal(line.y, again.y)
    data.extend(np.array([100_000]), np.array([5e4]), np.array([5.0]))
    grown = data.smoothed(XAxis.STEP, 0, 100_000, 300, 0.9)
    np.testing.assert_array_equal(grown.x[:-1], line.x[:-1])


@pytest.mark.parametrize(
    ("x", "direction", "expected"), [(5.0, 1, 10.0), (5.0, -1, 0.0), (10.0, 1, 20.0), (20.0, 1, None)]
)
def test_the_read_out_moves_from_sample_to_sample(x: float, direction: int, expected: float | None) -> None:
    data = SeriesData()
    data.extend(np.array([0, 10, 20]), np.arange(3.0), np.arange(3.0))
    assert data.neighbour(XAxis.STEP, x, direction) == expected


def test_nothing_is_read_from_nothing() -> None:
    data = SeriesData()
    assert data.span(XAxis.STEP) is None
    assert data.reading(XAxis.STEP, 1.0) is None
    assert data.last() is None
    assert len(data.line(XAxis.STEP, 0, 1, 100).x) == 0
    assert len(data.smoothed(XAxis.STEP, 0, 1, 100, 0.5).x) == 0
