"""Precision, recall, density and coverage against loops over all pairs, and where they are known."""

from __future__ import annotations

import numpy as np
import pytest

from difrob.errors import UserError
from difrob.metrics.distances import grid_points, neighbour_radii
from difrob.metrics.manifolds import (
    Overlap,
    density_and_coverage,
    overlap,
    precision_and_recall,
    require_neighbours,
)

BLOCKS = [(1, 3), (16, 7), (500, 500)]


def overlap_of(generated: np.ndarray, reference: np.ndarray, k: int, block: tuple[int, int] = (500, 500)) -> Overlap:
    points, own = grid_points(reference, generated)
    return overlap(
        own, neighbour_radii(own, k, block=block), points, neighbour_radii(points, k, block=block), block=block
    )


def radius(points: np.ndarray, row: int, k: int) -> float:
    return float(
        np.sort([np.linalg.norm(points[row] - points[other]) for other in range(len(points)) if other != row])[k - 1]
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("k", [1, 3])
def test_they_agree_with_loops_over_all_pairs(block: tuple[int, int], k: int) -> None:
    random = np.random.default_rng(k)
    generated, reference = random.normal(0.7, 0.8, (31, 3)), random.normal(0, 1, (44, 3))
    found = overlap_of(generated, reference, k, block)
    gaps = np.array([[np.linalg.norm(g - r) for r in reference] for g in generated])
    reference_radii = np.array([radius(reference, row, k) for row in range(44)])
    generated_radii = np.array([radius(generated, row, k) for row in range(31)])
    np.testing.assert_array_equal(found.balls, (gaps <= reference_radii).sum(axis=1))
    np.testing.assert_array_equal(found.covered, (gaps <= reference_radii).any(axis=0))
    np.testing.assert_array_equal(found.recalled, (gaps <= generated_radii[:, None]).any(axis=0))
    assert 0 < found.covered.mean() < 1 and 0 < found.recalled.mean() < 1


def test_a_set_overlaps_with_itself_and_not_with_a_distant_one() -> None:
    points = np.random.default_rng(0).standard_normal((80, 5))
    same, other = overlap_of(points, points, 4), overlap_of(points, points + 100, 4)
    results = precision_and_recall(same, 4) | density_and_coverage(same, 4)
    assert {name: results[name].value for name in ("precision", "recall", "coverage")} == dict.fromkeys(
        ("precision", "recall", "coverage"), 1.0
    )
    # Each ball of a distinct set holds its own centre and k others: density is (k + 1) / k.
    assert results["density"].value == pytest.approx(5 / 4)
    far = precision_and_recall(other, 4) | density_and_coverage(other, 4)
    assert all(measure.value == 0 for measure in far.values())


def test_lost_modes_and_strays_are_told_apart() -> None:
    random = np.random.default_rng(1)
    reference = np.concatenate([random.normal(0, 0.1, (50, 2)), random.normal(10, 0.1, (50, 2))])
    half = overlap_of(random.normal(0, 0.1, (100, 2)), reference, 3)
    assert precision_and_recall(half, 3)["precision"].value > 0.9
    assert not half.covered[50:].any() and not half.recalled[50:].any()
    strays = overlap_of(np.concatenate([reference + 0.01, random.normal(5, 0.1, (100, 2))]), reference, 3)
    assert precision_and_recall(strays, 3)["precision"].value == pytest.approx(0.5, abs=0.05)
    assert strays.covered.mean() > 0.95


def test_equal_points_have_balls_without_extent_that_still_hold_each_other() -> None:
    points = np.repeat(np.arange(3.0)[:, None], 4, axis=0)
    found = overlap_of(points[:5], points, 2)
    assert found.balls.tolist() == [4, 4, 4, 4, 4]
    assert found.covered.tolist() == [True] * 8 + [False] * 4


def test_measures_state_their_intervals_and_conditions() -> None:
    found = Overlap(np.array([0, 2, 4, 6]), np.array([True, False]), np.array([True, True]))
    results = precision_and_recall(found, 2, features="pixels") | density_and_coverage(found, 2, features="pixels")
    assert (results["precision"].value, results["precision"].n) == (0.75, 4)
    assert (results["recall"].value, results["recall"].n) == (0.5, 2)
    assert (results["density"].value, results["density"].n) == (1.5, 4)
    assert (results["coverage"].value, results["coverage"].n) == (1.0, 2)
    for name, measure in results.items():
        assert measure.interval == ("Student t 95 %" if name == "density" else "Wilson 95 %")
        assert measure.sentence.endswith("; features: pixels; balls: to the neighbour number 2 of the same set")


def test_too_few_images_are_refused() -> None:
    require_neighbours(5, generated=6)
    with pytest.raises(UserError, match="neighbours = 5 .* 5 reference images can have; lower it below 5"):
        require_neighbours(5, generated=6, reference=5)
