"""Nearest training images, memories and duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from difrob.metrics.memorisation import duplicate_measure, memorised_measure, nearest_neighbours


def test_neighbours_agree_with_every_distance_computed() -> None:
    random = np.random.default_rng(0)
    images, reference = random.integers(0, 256, (2, 1500, 4, 4, 3), dtype=np.uint8)
    reference = reference[:90]
    found = nearest_neighbours(images, reference)
    every = np.linalg.norm((images[:, None].astype(float) - reference[None]).reshape(1500, 90, -1), axis=2) / 255
    np.testing.assert_array_equal(found.index, every.argmin(axis=1))
    np.testing.assert_allclose(found.distance, np.sort(every, axis=1)[:, 0])
    np.testing.assert_allclose(found.second_distance, np.sort(every, axis=1)[:, 1])
    assert found.index.dtype == np.int64


def test_memories_and_duplicates_are_counted() -> None:
    reference = np.array([[0, 0], [200, 0], [0, 200]], np.uint8).reshape(3, 1, 2, 1)
    images = np.array([[10, 0], [90, 0], [200, 0], [90, 0], [0, 145]], np.uint8).reshape(5, 1, 2, 1)
    nearest = nearest_neighbours(images, reference)
    assert nearest.index.tolist() == [0, 0, 1, 0, 2]
    # Distances to nearest and second: 10/190, 90/110, 0/200, 90/110, 55/145: only the first and third are below 1/3.
    memorised = memorised_measure(nearest)
    assert memorised.value == pytest.approx(2 / 5) and memorised.n == 5 and memorised.interval == "Wilson 95 %"
    # One equals a training image, one equals an earlier image.
    assert duplicate_measure(images, nearest).value == pytest.approx(2 / 5)
    assert duplicate_measure(images[[0, 1, 4]], nearest_neighbours(images[[0, 1, 4]], reference)).value == 0


def test_two_references_are_needed() -> None:
    with pytest.raises(ValueError, match="two reference images"):
        nearest_neighbours(np.zeros((1, 2, 2, 1), np.uint8), np.zeros((1, 2, 2, 1), np.uint8))
