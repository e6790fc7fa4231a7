"""The pyramid against plain minima and maxima."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob_gui.charts.growing import GrowingArray
from difrob_gui.charts.pyramid import FACTOR, Pyramid

finite_or_not = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf])
)  # fmt: skip
pieces = st.lists(st.lists(finite_or_not, max_size=90), min_size=1, max_size=12)


def brute(values: np.ndarray, first: int, last: int) -> tuple[float, float]:
    part = values[first:last]
    part = part[np.isfinite(part)]
    return (float(part.min()), float(part.max())) if len(part) else (np.nan, np.nan)


def built(appended: list[list[float]], *, ask_between: bool) -> tuple[Pyramid, np.ndarray]:
    pyramid = Pyramid()
    for piece in appended:
        pyramid.append(np.array(piece))
        if ask_between:
            pyramid.extremes(0, len(pyramid))
    return pyramid, np.array([value for piece in appended for value in piece])


@settings(max_examples=150, deadline=None)
@given(pieces, st.booleans(), st.data())
def test_extremes_of_any_stretch_are_those_of_its_values(appended, ask_between, data) -> None:
    pyramid, values = built(appended, ask_between=ask_between)
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(first, len(values)))
    np.testing.assert_array_equal(pyramid.extremes(first, last), brute(values, first, last))


@settings(max_examples=150, deadline=None)
@given(pieces, st.booleans(), st.data())
def test_an_envelope_is_a_partition_with_the_extremes_of_each_part(appended, ask_between, data) -> None:
    pyramid, values = built(appended, ask_between=ask_between)
    first = data.draw(st.integers(0, len(values)))
    last = data.draw(st.integers(first, len(values)))
    most = data.draw(st.integers(4, 40))
    envelope = pyramid.envelope(first, last, most)
    if first == last:
        assert len(envelope.starts) == 0
        return
    assert len(envelope.starts) <= most
    assert envelope.starts[0] == first
    assert (np.diff(envelope.starts) > 0).all()
    ends = np.append(envelope.starts[1:], last)
    for start, end, low, high in zip(envelope.starts, ends, envelope.lows, envelope.highs, strict=True):
        np.testing.assert_array_equal((low, high), brute(values, int(start), int(end)))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 63, 64, 65, 4095, 4096, 4097])
def test_an_envelope_is_no_coarser_than_it_must_be(count: int) -> None:
    pyramid = Pyramid(np.arange(count, dtype=float))
    for most in (4, 50, 1000):
        envelope = pyramid.envelope(0, count, most)
        assert len(envelope.starts) >= min(count, most // FACTOR)
        assert envelope.is_exact == (count <= most)


def test_few_samples_come_back_as_they_are() -> None:
    values = np.array([3.0, np.nan, 1.0, np.inf, 2.0])
    envelope = Pyramid(values).envelope(0, 5, 100)
    np.testing.assert_array_equal(envelope.lows, [3, np.nan, 1, np.nan, 2])
    np.testing.assert_array_equal(envelope.highs, envelope.lows)
    np.testing.assert_array_equal(Pyramid(values).values, values)


def test_asking_does_not_grow_with_the_length() -> None:
    """A million times more values must not cost a hundred times more; the bound is loose for busy machines."""

    def seconds(count: int) -> float:
        pyramid = Pyramid(np.random.default_rng(0).normal(size=count))
        pyramid.envelope(0, count, 1000)
        best = np.inf
        for _ in range(20):
            started = time.perf_counter()
            pyramid.envelope(1, count - 1, 1000)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(2_000_000) < 20 * seconds(2_000)


def test_a_view_of_a_growing_array_stays_as_it_was() -> None:
    array = GrowingArray(np.arange(10.0))
    before = array.view
    for _ in range(20):
        array.extend(np.full(100, -1.0))
    np.testing.assert_array_equal(before, np.arange(10.0))
    assert len(array) == 2010
