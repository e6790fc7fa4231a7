"""The moving average against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob_gui.charts.smoothing import MovingAverage


def by_definition(values: np.ndarray, weight: float) -> np.ndarray:
    """Sum of w^(age) v over sum of w^(age), one value at a time; non-finite values count for nothing."""
    result, total, mass = [], 0.0, 0.0
    for value in values:
        if np.isfinite(value):
            total, mass = weight * total + value, weight * mass + 1
            result.append(total / mass)
        else:
            result.append(np.nan)
    return np.array(result)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(np.nan)), max_size=50), max_size=6),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 0.999]),
)
def test_it_is_what_it_is_defined_to_be_whatever_the_pieces(pieces: list[list[float]], weight: float) -> None:
    average = MovingAverage(weight)
    for piece in pieces:
        average.append(np.array(piece))
    values = np.array([value for piece in pieces for value in piece])
    np.testing.assert_allclose(average.values, by_definition(values, weight), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weight", [0.3, 0.9, 0.999])
def test_long_series_stay_exact(weight: float) -> None:
    values = np.random.default_rng(1).normal(size=20_000) + 5
    average = MovingAverage(weight)
    average.append(values)
    np.testing.assert_allclose(average.values, by_definition(values, weight), rtol=1e-10)


def test_a_constant_stays_a_constant_from_the_first_value_on() -> None:
    average = MovingAverage(0.99)
    average.append(np.full(500, 7.0))
    np.testing.assert_allclose(average.values, 7.0, rtol=1e-12)


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_an_impossible_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        MovingAverage(weight)
