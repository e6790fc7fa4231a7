"""Batches on the device: resident and collected alike; augmentation against a slow reference, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_files import some_images

from difrob.data import Augmentation, DeviceImages, ImageSet, as_float
from difrob.data.augmentation import _draw, augment
from difrob.errors import UserError
from difrob.randomness import numpy_generator
from difrob.runs.datasets import DIGITS


def image_set(count: int = 40, shape: tuple[int, ...] = (6, 9, 3)) -> ImageSet:
    images, labels = some_images(count, shape)
    return ImageSet(images, labels, 10, "some", "train", np.arange(count))


@pytest.mark.parametrize("resident", [True, False])
def test_a_batch_is_what_the_rows_say(resident: bool) -> None:
    data = image_set()
    images = DeviceImages(data, "cpu", resident=resident)
    rows = np.array([3, 39, 0, 3])
    x, labels = images.batch(rows)
    assert torch.equal(x, as_float(data.images[rows])) and x.is_contiguous()
    assert labels.tolist() == data.labels[rows].tolist() and len(images) == 40
    empty, none = images.batch(rows[:0])
    assert empty.shape == (0, 3, 6, 9) and none.shape == (0,)
    for wrong in ([40], [-1]):
        with pytest.raises(IndexError, match="of a set of 40 images"):
            images.batch(np.array(wrong))


def test_resident_and_collected_batches_are_the_same_also_when_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.data.device_images._COPY_ROWS", 7)
    varied = Augmentation(padding=2, flips=True, cutout=3)
    rows = numpy_generator(0, "rows").permutation(40)[:16]
    results = [
        DeviceImages(image_set(), "cpu", resident=resident).batch(rows, varied, seed=1, step=5)[0]
        for resident in (True, False)
    ]
    assert torch.equal(*results)


def test_large_sets_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DeviceImages(image_set(), "cpu").resident
    monkeypatch.setattr("difrob.data.device_images.RESIDENT_BYTES", 40 * 6 * 9 * 3 - 1)
    assert not DeviceImages(image_set(), "cpu").resident


def slow_augment(images: np.ndarray, augmentation: Augmentation, drawn: np.ndarray) -> np.ndarray:
    """The same by the book: pad, cut out, reverse, blank; one image after the other, [B,C,H,W]."""
    result = []
    pad, side = augmentation.padding, augmentation.cutout
    for image, (down, right, mirrored, row, column) in zip(images, drawn.T, strict=True):
        channels, height, width = image.shape
        padded = np.zeros((channels, height + 2 * pad, width + 2 * pad), np.uint8)
        padded[:, pad : pad + height, pad : pad + width] = image
        changed = padded[:, pad - down : pad - down + height, pad - right : pad - right + width].copy()
        if mirrored:
            changed = changed[:, :, ::-1].copy()
        for y in range(height):
            for x in range(width):
                if side and 0 <= y - (row - side // 2) < side and 0 <= x - (column - side // 2) < side:
                    changed[:, y, x] = 0
        result.append(changed)
    return np.stack(result)


@settings(max_examples=60, deadline=None)
@given(
    padding=st.integers(0, 5), flips=st.booleans(), cutout=st.integers(0, 6), step=st.integers(0, 99),
    height=st.integers(1, 7), width=st.integers(1, 7),
)  # fmt: skip
def test_augmentation_does_what_the_slow_reference_does(
    padding: int, flips: bool, cutout: int, step: int, height: int, width: int
) -> None:
    augmentation = Augmentation(padding, flips, cutout)
    images = torch.from_numpy(some_images(5, (3, height, width), seed=step)[0])
    drawn = _draw(augmentation, images.shape, 7, step).numpy()
    result = augment(images, augmentation, 7, step)
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), slow_augment(images.numpy(), augmentation, drawn))


def test_what_is_drawn_is_uniform_and_a_function_of_seed_and_step() -> None:
    augmentation = Augmentation(padding=4, flips=True, cutout=8)
    shape = torch.Size([9000, 3, 32, 32])
    drawn = _draw(augmentation, shape, 0, 0)
    assert torch.equal(drawn, _draw(augmentation, shape, 0, 0))
    assert not torch.equal(drawn, _draw(augmentation, shape, 0, 1))
    assert not torch.equal(drawn, _draw(augmentation, shape, 1, 0))
    for values, levels in ((drawn[0] + 4, 9), (drawn[1] + 4, 9), (drawn[2], 2), (drawn[3], 32), (drawn[4], 32)):
        counts = torch.bincount(values, minlength=levels)
        expected = 9000 / levels
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert len(counts) == levels and chi_square < levels - 1 + 5 * np.sqrt(2 * (levels - 1))
    assert not _draw(replace(augmentation, flips=False), shape, 0, 0)[2].any()
    assert torch.equal(_draw(replace(augmentation, cutout=0), shape, 0, 0), drawn)


def test_no_augmentation_changes_nothing() -> None:
    images = torch.from_numpy(some_images(5, (3, 4, 4))[0])
    assert not Augmentation() and augment(images, Augmentation(), 0, 0) is images
    with pytest.raises(ValueError, match="at least 0"):
        Augmentation(padding=-1)


def test_digits_do_not_flip() -> None:
    with pytest.raises(UserError, match="'digits' says that its mirror images do not show the same"):
        Augmentation(flips=True).check_fit(DIGITS)
    with pytest.raises(UserError, match="8x8 pixels cannot be shifted by 8"):
        Augmentation(padding=8).check_fit(DIGITS)
    Augmentation(flips=True, padding=2, cutout=4).check_fit(replace(DIGITS, flips=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_same_batches() -> None:
    data = image_set(200)
    varied = Augmentation(padding=2, flips=True, cutout=3)
    devices = [("cpu", True), ("cuda", True), ("cuda", False)]
    stores = [DeviceImages(data, device, resident=resident) for device, resident in devices]
    for step in range(6):
        rows = numpy_generator(0, "rows", step).integers(0, 200, 32)
        first, *others = [store.batch(rows, varied, 3, step)[0].cpu() for store in stores]
        for other in others:
            assert torch.allclose(first, other, atol=1e-7)
