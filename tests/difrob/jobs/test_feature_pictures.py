"""Pictures of measurements on features: the map of accuracies with its numbers, and the plane with its classes."""

from __future__ import annotations

import numpy as np
import pytest

from difrob.jobs.feature_pictures import CELL, DARKEST, accuracy_map, class_colours, map_range, scatter

NAN = float("nan")


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.62, 0.68], (60, 70)),
        ([0.6, 0.65], (60, 65)),
        ([0.651, NAN, 0.652], (65, 70)),
        ([0.0, 0.0], (0, 5)),
        ([1.0], (95, 100)),
        ([0.7], (70, 75)),
        ([0.35 * 1.0, 0.29999999999999999], (30, 35)),
        ([NAN, NAN], (0, 100)),
        ([0.0, 1.0], (0, 100)),
    ],
)
def test_the_scale_spans_what_was_found_in_whole_fives(shares: list[float], expected: tuple[int, int]) -> None:
    assert map_range(np.array(shares)) == expected


def cell(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    return picture[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1), 0]


def test_a_few_points_of_difference_are_seen_and_read() -> None:
    picture = accuracy_map(np.array([[0.62, 0.68, NAN], [0.65, 0.7, 0.6]]))
    assert picture.shape == (2 * CELL, 3 * CELL, 1) and picture.dtype == np.uint8
    background = np.array([[cell(picture, row, column)[0, 0] for column in range(3)] for row in range(2)])
    assert background.tolist() == [[89, 214, 0], [152, 255, DARKEST]]
    assert not cell(picture, 0, 2).any()
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)):
        inks = set(np.unique(cell(picture, row, column))) - {background[row, column]}
        assert inks == ({0} if background[row, column] > 127 else {255})


def test_numbers_in_cells_are_the_rounded_per_cent() -> None:
    picture = accuracy_map(np.array([[0.714, 1.0]]))
    seven_one = cell(picture, 0, 0) == 255
    assert ["".join(".#"[int(mark)] for mark in line[4:11]) for line in seven_one[5:10]] == [
        "###..#.", "..#.##.", "..#..#.", "..#..#.", "..#.###",
    ]  # fmt: skip
    hundred = cell(picture, 0, 1) == 0
    assert hundred.sum() == 8 + 12 + 12 and hundred[:, 2:13].sum() == hundred.sum()


def test_the_plane_names_its_classes_where_they_have_room() -> None:
    corners, limits = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    picture, colours = scatter(corners, np.array([0, 1]), 2, limits, 40), class_colours(2)
    assert picture.shape == (40, 40, 3)
    assert tuple(picture[31, 8]) == tuple(colours[0]) and tuple(picture[8, 31]) == tuple(colours[1])
    strip = picture[:6]
    assert (strip[1:6, 3:6] == colours[0]).all(axis=2).sum() == 12  # a nought
    assert (strip[1:6, 9:12] == colours[1]).all(axis=2).sum() == 8  # a one
    crowded = scatter(corners, np.array([0, 99]), 100, limits, 40)
    assert not crowded[:6].any()
