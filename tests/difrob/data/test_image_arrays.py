"""Conversions between bytes and tensors, and the order of visiting images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.data import EpochOrder, ImageSet, as_float, as_uint8
from difrob.data.splitting import stratified_parts


def test_bytes_survive_the_round_trip_and_axes_are_swapped() -> None:
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    x = as_float(images)
    assert x.shape == (2, 3, 4, 5) and x.dtype == torch.float32 and x.is_contiguous()
    assert x[1, 2, 3, 4] == images[1, 3, 4, 2] / np.float32(255)
    assert np.array_equal(as_uint8(x), images)
    assert as_float(images[:0]).shape == (0, 3, 4, 5)


def test_rounding_and_clipping() -> None:
    x = torch.tensor([-0.5, 0.0, 0.499 / 255, 0.501 / 255, 254.6 / 255, 1.0, 7.0]).reshape(1, 1, 1, 7)
    assert as_uint8(x).ravel().tolist() == [0, 0, 0, 1, 255, 255, 255]
    with pytest.raises(ValueError, match="uint8"):
        as_float(np.zeros((1, 8, 8, 1)))


def test_image_set_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="length"):
        ImageSet(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(3, np.int64), 10, "x", "train", np.arange(2))


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 50), batch=st.integers(1, 120), seed=st.integers(0, 3))
def test_every_pass_visits_every_image_once(size: int, batch: int, seed: int) -> None:
    order = EpochOrder(size, batch, seed)
    steps = 3 * size // batch + 3
    sequence = np.concatenate([order.batch(step) for step in range(steps)])
    for start in range(0, len(sequence) - size + 1, size):
        assert np.array_equal(np.sort(sequence[start : start + size]), np.arange(size))
    middle = steps // 2
    assert np.array_equal(EpochOrder(size, batch, seed).batch(middle), sequence[middle * batch : (middle + 1) * batch])


def test_passes_and_seeds_differ() -> None:
    order = EpochOrder(100, 100, 0)
    assert not np.array_equal(order.batch(0), order.batch(1))
    assert not np.array_equal(order.batch(0), EpochOrder(100, 100, 1).batch(0))


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(3, 60), min_size=1, max_size=6), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_stratified_parts_divide_every_class_alike(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    first = int(share * len(labels))
    parts = stratified_parts(labels, {"a": first, "b": len(labels) - first}, seed)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(labels)))
    assert len(parts["a"]) == first
    got = np.bincount(labels[parts["a"]], minlength=len(counts))
    assert np.abs(got - np.array(counts) * first / len(labels)).max() <= 2


def test_stratified_parts_must_use_every_row() -> None:
    with pytest.raises(ValueError, match="add up"):
        stratified_parts(np.zeros(5, np.int64), {"a": 2}, 0)
