"""Nearest training images, memories and duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from difrob.metrics.distances import pixel_points
from difrob.metrics.memorisation import (
    Nearest,
    closeness_ratio_measure,
    copying_measure,
    exact_copy_measure,
    memorised_measure,
    near_copy_measure,
    nearest_copy,
    nearest_neighbours,
)


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
    assert exact_copy_measure(images, nearest).value == pytest.approx(2 / 5)
    assert exact_copy_measure(images[[0, 1, 4]], nearest_neighbours(images[[0, 1, 4]], reference)).value == 0


def test_two_references_are_needed() -> None:
    with pytest.raises(ValueError, match="two reference images"):
        nearest_neighbours(np.zeros((1, 2, 2, 1), np.uint8), np.zeros((1, 2, 2, 1), np.uint8))


def test_near_copies_are_judged_by_the_root_mean_square() -> None:
    reference = np.array([[100] * 4, [200] * 4], np.uint8).reshape(2, 2, 2, 1)
    images = np.array([[100] * 4, [110] * 4, [110, 100, 110, 100], [111] * 4], np.uint8).reshape(4, 2, 2, 1)
    distance = nearest_neighbours(images, reference).distance
    measure = near_copy_measure(distance, 4, 10 / 255, "a training image", training="2 images")
    assert measure.value == 3 / 4 and measure.n == 4 and measure.interval == "Wilson 95 %"
    assert measure.sentence == (
        "images that differ from a training image by at most 0.0392157, root mean square over the pixels; training: 2 images"
    )
    assert near_copy_measure(distance, 4, 0, "a training image").value == 1 / 4


def test_copies_within_a_set_point_to_the_earlier_image() -> None:
    images = np.array([[0, 0], [50, 0], [0, 0], [51, 0], [50, 0]], np.uint8).reshape(5, 1, 2, 1)
    rows, distance = nearest_copy(pixel_points(images), slice(0, 5))
    assert rows.tolist() == [-1, 0, 0, 1, 1]
    np.testing.assert_allclose(distance, np.array([np.inf, 50, 0, 1, 0]) / 255)


def test_distance_to_training_against_held_out_images() -> None:
    """Generated from the same distribution as both sets: as near to either. Copies with a little noise: not."""
    random = np.random.default_rng(0)
    training, held_out, fresh = random.integers(0, 256, (3, 300, 3, 3, 1), dtype=np.uint8)
    noise = random.integers(-4, 5, training.shape)
    copies = np.clip(training.astype(int) + noise, 0, 255).astype(np.uint8)
    to_training, to_held_out = (nearest_neighbours(fresh, part) for part in (training, held_out))
    baseline = nearest_neighbours(held_out, training).distance
    ratio = closeness_ratio_measure(to_training, to_held_out, training="300 images")
    assert ratio.low is not None and ratio.high is not None and ratio.low < 1 < ratio.high
    assert ratio.n == 300 and ratio.sentence.endswith("; training: 300 images")
    probability = copying_measure(to_training.distance, baseline, "test", training="300 images")
    assert probability.low < 0.5 < probability.high and 0.4 < probability.value < 0.6
    assert probability.sentence.endswith("; training: 300 images; held out: 300 test images")

    near = nearest_neighbours(copies, training)
    ratio = closeness_ratio_measure(near, nearest_neighbours(copies, held_out))
    assert ratio.high < 0.2
    assert copying_measure(near.distance, baseline, "test").value > 0.99


def test_without_memory_the_interval_of_the_ratio_holds_one() -> None:
    """What is drawn anew in each of 100 repetitions is all three sets, 40 + 40 + 200 images of 12 pixels."""
    random = np.random.default_rng(1)
    held, centre = 0, []
    for _ in range(100):
        training, held_out, fresh = (
            random.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8) for count in (40, 40, 200)
        )
        ratio = closeness_ratio_measure(*(nearest_neighbours(fresh, part) for part in (training, held_out)))
        assert ratio.low is not None and ratio.high is not None and ratio.low <= ratio.value <= ratio.high
        held += ratio.low <= 1 <= ratio.high
        centre.append(ratio.value)
    assert held >= 95
    assert np.mean(centre) == pytest.approx(1, abs=0.02)


def test_ratios_of_images_that_equal_real_ones() -> None:
    def nearest(distance: float, count: int) -> Nearest:
        return Nearest(np.arange(count), np.full(count, distance), np.full(count, distance + 1))

    assert closeness_ratio_measure(nearest(0, 90), nearest(0, 90)).value == 1
    assert closeness_ratio_measure(nearest(0, 90), nearest(1, 90)).value == 0
    few = closeness_ratio_measure(nearest(1, 3), nearest(1, 3))
    assert few.value == 1 and few.low is None and few.high is None and few.interval == ""


def test_columns_of_a_table_come_back() -> None:
    found = Nearest(np.array([3]), np.array([0.5]), np.array([0.75]))
    back = Nearest.from_columns(found.columns("training"), "training")
    assert (back.index, back.distance, back.second_distance) == (found.index, found.distance, found.second_distance)
    assert list(found.columns("training")) == ["training_row", "training_distance", "training_second"]
