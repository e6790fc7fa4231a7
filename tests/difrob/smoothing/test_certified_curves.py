"""Certified accuracy over radius: the definition, its edges and its band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.metrics.intervals import clopper_pearson
from difrob.smoothing.curves import certified_accuracy, radius_contributions, radius_grid, table_radii
from difrob.smoothing.statistics import largest_certifiable_radius

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 2), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7])),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS)
def test_the_curve_is_its_definition(rows: list[tuple[int, int, float]]) -> None:
    labels, predictions, radii = (np.array(column) for column in zip(*rows, strict=True))
    grid = np.array([0.0, 0.1, 0.2, 0.25, 0.5, 0.9])
    curve = certified_accuracy(labels, predictions, radii, grid)
    by_hand = [np.mean([p == y and r >= radius for y, p, r in rows]) for radius in grid]
    assert curve.accuracy == pytest.approx(by_hand)
    assert (np.diff(curve.accuracy) <= 0).all()
    band = clopper_pearson(np.round(curve.accuracy * len(rows)), len(rows))
    assert curve.low == pytest.approx(band.low) and curve.high == pytest.approx(band.high)


def test_abstentions_are_wrong_even_at_radius_zero() -> None:
    labels, predictions, radii = np.array([0, 1, 1]), np.array([-1, 1, 0]), np.array([0.0, 0.0, 0.4])
    assert certified_accuracy(labels, predictions, radii, np.array([0.0])).accuracy[0] == pytest.approx(1 / 3)
    # A label of -1 in a foreign log is no abstention that happens to be right.
    assert certified_accuracy(np.array([-1]), np.array([-1]), np.array([0.0]), np.array([0.0])).accuracy[0] == 0


def test_wrong_certificates_do_not_count_towards_the_average_radius() -> None:
    labels, predictions, radii = np.array([0, 1, 2]), np.array([0, 0, -1]), np.array([0.5, 0.9, 0.0])
    assert radius_contributions(labels, predictions, radii).tolist() == [0.5, 0.0, 0.0]


def test_the_grid_reaches_the_largest_radius_exactly() -> None:
    """An image certified at the very end of the axis must be counted there."""
    largest = largest_certifiable_radius(1000, sigma=0.25, alpha=0.001)
    curve = certified_accuracy(np.array([1]), np.array([1]), np.array([largest]), radius_grid(largest))
    assert len(curve.radii) == 51 and curve.radii[0] == 0 and curve.radii[-1] == largest
    assert (curve.accuracy == 1).all()


def test_tabulated_radii_fit_what_can_be_certified() -> None:
    assert table_radii(0.5, 1.23).tolist() == [0, 0.125, 0.25, 0.5, 0.75, 1.0]
    assert table_radii(0.25, 0.01).tolist() == [0]
