"""Distances block by block: against every distance computed, exactly, for any block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.metrics.distances import (
    Points,
    grid_points,
    nearest_earlier,
    nearest_two,
    neighbour_radii,
    pixel_points,
    squared_blocks,
)

BLOCKS = [(1, 1), (3, 5), (7, 64), (1000, 1000)]


def every_square(a: Points, b: Points) -> np.ndarray:
    """All squared distances by differences, in whole numbers."""
    left, right = a.values.numpy().astype(np.int64), b.values.numpy().astype(np.int64)
    return np.square(left[:, None] - right[None]).sum(axis=2)


def two_sets(seed: int = 0, features: int = 6) -> tuple[Points, Points]:
    random = np.random.default_rng(seed)
    first, second = random.normal(3, 2, (40, features)), random.normal(2, 1, (57, features))
    second[10:13] = first[4]  # ties, and distance zero
    one, other = grid_points(first, second)
    return one, other


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_exact_and_cover_everything(block: tuple[int, int]) -> None:
    a, b = two_sets()
    whole = np.full((40, 57), np.nan)
    for rows, columns, squares in squared_blocks(a, b, block=block):
        assert squares.dtype == torch.float64
        assert np.isnan(whole[rows, columns]).all()
        whole[rows, columns] = squares.numpy()
    np.testing.assert_array_equal(whole, every_square(a, b))


@pytest.mark.parametrize("block", BLOCKS)
def test_nearest_and_second_nearest(block: tuple[int, int]) -> None:
    a, b = two_sets()
    index, squares = nearest_two(a, b, block=block)
    every = every_square(a, b)
    np.testing.assert_array_equal(index, every.argmin(axis=1))  # the first of several
    np.testing.assert_array_equal(squares, np.sort(every, axis=1)[:, :2])
    assert index[4] == 10 and squares[4].tolist() == [0, 0]
    index, squares = nearest_two(a, b.take(slice(0, 1)), block=block)
    assert not index.any() and np.isinf(squares[:, 1]).all()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rows", [slice(0, 57), slice(11, 30), slice(56, 57), slice(0, 1)])
def test_nearest_earlier_point(block: tuple[int, int], rows: slice) -> None:
    _, b = two_sets()
    index, squares = nearest_earlier(b, rows, block=block)
    every = every_square(b, b).astype(float)
    every[np.triu_indices(57)] = np.inf
    expected = np.where(np.isinf(every.min(axis=1)), -1, every.argmin(axis=1))
    np.testing.assert_array_equal(index, expected[rows])
    np.testing.assert_array_equal(squares, every.min(axis=1)[rows])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("k", [1, 3, 56])
def test_radii_leave_the_point_itself_out(block: tuple[int, int], k: int) -> None:
    _, b = two_sets()
    every = every_square(b, b).astype(float)
    np.fill_diagonal(every, np.inf)
    expected = np.sort(every, axis=1)[:, k - 1]
    np.testing.assert_array_equal(neighbour_radii(b, k, block=block), expected)
    np.testing.assert_array_equal(neighbour_radii(b, k, slice(9, 21), block=block), expected[9:21])
    if k == 1:
        assert not expected[10:13].any()  # equal points are neighbours


def test_too_few_points_have_no_radii() -> None:
    _, b = two_sets()
    for k in (0, 57):
        with pytest.raises(ValueError, match="57 points have no"):
            neighbour_radii(b, k)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    features=st.sampled_from([1, 2, 31, 700, 2048]),
    scale=st.sampled_from([1e-30, 1.0, 1e20]),
)
def test_the_grid_is_fine_and_exact(seed: int, features: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    first, second = (scale * random.standard_t(2, (5, features)) + scale for _ in range(2))
    a, b = grid_points(first, second)
    assert np.log2(a.unit) == int(np.log2(a.unit)) and a.unit == b.unit
    centre = first.mean(axis=0)
    largest = max(np.abs(first - centre).max(), np.abs(second - centre).max())
    for points, exact in ((a, first), (b, second)):
        error = np.abs(points.values.numpy() * points.unit - (exact - centre)).max()
        assert error <= largest * np.sqrt(features) * 2.0**-24 * (1 + 1e-6)
    (_, _, squares), *_ = squared_blocks(a, b)
    np.testing.assert_array_equal(squares.numpy(), every_square(a, b))
    expected = np.linalg.norm(first[:, None] - second[None], axis=2)
    np.testing.assert_allclose(np.sqrt(squares.numpy()) * a.unit, expected, rtol=0, atol=largest * features * 2.0**-22)


def test_the_worst_case_for_exactness_is_exact() -> None:
    features = 2048
    a, b = grid_points(np.stack([np.ones(features), -np.ones(features)]), np.full((1, features), -1.0))
    (_, _, squares), *_ = squared_blocks(a, b)
    assert squares[0, 0].item() * a.unit**2 == 4 * features and squares[1, 0].item() == 0


def test_equal_points_and_points_that_are_not_numbers() -> None:
    flat = np.full((3, 4), 7.0)
    a, b = grid_points(flat, flat[:2])
    assert not every_square(a, b).any()
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            grid_points(flat, np.full((1, 4), wrong))


def test_pixels_are_exact_and_grids_are_not_mixed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 3, 3), dtype=np.uint8)
    points = pixel_points(images)
    assert points.values.dtype == torch.uint8
    for _, _, squares in squared_blocks(points, points):
        np.testing.assert_array_equal(squares.numpy(), every_square(points, points))
    with pytest.raises(ValueError, match="different grids"):
        next(squared_blocks(points, grid_points(np.ones((2, 27)))[0]))


def test_somebody_is_asked_before_each_block() -> None:
    a, b = two_sets()
    asked: list[None] = []
    for _ in squared_blocks(a, b, between=lambda: asked.append(None), block=(20, 20)):
        pass
    assert len(asked) == 2 * 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 3000, 200))
    found = []
    for device in ("cpu", "cuda"):
        a, b = grid_points(first, second, device=device)
        found.append([*nearest_two(a, b), *nearest_earlier(b, slice(5, 2000)), neighbour_radii(b, 7)])
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(here, there)
