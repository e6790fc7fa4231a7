"""Mixed batches: sizes, coverage, statelessness; and generated sets that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryInputRun

from difrob.data import Augmentation, ImageSet
from difrob.errors import UserError
from difrob.specs import GenerateSpec
from difrob.training.mixing import MixedBatches, read_generated_set


def real_set(count: int = 50, shape: tuple[int, int, int] = (4, 4, 1)) -> ImageSet:
    images = np.zeros((count, *shape), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return ImageSet(images, np.arange(count) % 10, 10, "digits", "train", np.arange(count))


def generated_set(count: int = 200, level: int = 255) -> ImageSet:
    images = np.full((count, 4, 4, 1), level, dtype=np.uint8)
    return ImageSet(images, np.arange(count) % 10, 10, "made", "train", np.arange(count))


def mixed(fraction: float, batch_size: int = 10, seed: int = 0, generated: ImageSet | None = None) -> MixedBatches:
    return MixedBatches(
        real_set(), [generated or generated_set()], batch_size=batch_size, generated_fraction=fraction, seed=seed
    )


@pytest.mark.parametrize(
    ("batch_size", "fraction", "expected"),
    [(512, 0.7, 358), (96, 0.7, 67), (10, 0.0, 0), (10, 1.0, 10), (10, 0.99, 9), (100, 0.29, 29), (3, 0.5, 1)],
)
def test_the_generated_share_is_rounded_down(batch_size: int, fraction: float, expected: int) -> None:
    batches = mixed(fraction, batch_size)
    assert batches.generated_per_batch == expected
    real_rows, generated_rows = batches.rows(0)
    assert (len(real_rows), len(generated_rows)) == (batch_size - expected, expected)
    images, labels = batches.batch(0)
    assert images.shape == (batch_size, 1, 4, 4) and labels.shape == (batch_size,)
    assert int((images[:, 0, 1, 1] == 1).sum()) == expected


def test_without_a_generated_set_the_fraction_does_not_matter() -> None:
    batches = MixedBatches(real_set(), batch_size=10, generated_fraction=0.7, seed=0)
    assert (batches.real_per_batch, batches.generated_per_batch) == (10, 0)
    assert len(batches.rows(3)[0]) == 10


def test_every_real_image_is_seen_once_per_pass() -> None:
    batches = mixed(0.5)  # 5 real images per batch, 50 in all: a pass is 10 steps
    for first in (0, 10, 20):
        seen = np.concatenate([batches.rows(step)[0] for step in range(first, first + 10)])
        assert sorted(seen) == list(range(50))
    assert not np.array_equal(batches.rows(0)[0], batches.rows(10)[0])


def test_generated_images_are_drawn_uniformly_with_replacement() -> None:
    batches = mixed(0.9, batch_size=100, generated=generated_set(20))
    drawn = np.concatenate([batches.rows(step)[1] for step in range(100)])
    counts = np.bincount(drawn, minlength=20)
    expected = len(drawn) / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi-square with 19 degrees of freedom, p < 0.001
    assert any(len(np.unique(batches.rows(step)[1])) < 90 for step in range(3))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    forwards, fresh = mixed(0.5), mixed(0.5)
    for step in range(30):
        forwards.rows(step)
    for step in (29, 3, 17):
        for left, right in zip(forwards.rows(step), fresh.rows(step), strict=True):
            assert np.array_equal(left, right)
    assert not np.array_equal(mixed(0.5, seed=1).rows(3)[1], fresh.rows(3)[1])


def test_a_batch_may_be_larger_than_the_real_set() -> None:
    batches = MixedBatches(real_set(10), batch_size=25, generated_fraction=0, seed=0)
    rows = np.concatenate([batches.rows(0)[0], batches.rows(1)[0]])
    assert np.bincount(rows, minlength=10).tolist() == [5] * 10


def as_run(images: np.ndarray, labels: np.ndarray) -> MemoryInputRun:
    arrays = {"samples/images": images, "samples/label": labels}
    return MemoryInputRun("set-1", GenerateSpec(denoiser="d"), arrays=arrays)


def test_a_fitting_set_is_read() -> None:
    fitting = generated_set()
    found = read_generated_set(as_run(fitting.images, fitting.labels.astype(np.int32)), real_set())
    assert np.array_equal(found.images, fitting.images) and found.labels.dtype == np.int64 and len(found) == 200


LABELS = np.arange(20) % 10


@pytest.mark.parametrize(
    ("images", "labels", "named"),
    [
        (np.zeros((20, 8, 8, 1), np.uint8), LABELS, "8 x 8 x 1"),
        (np.zeros((20, 4, 4, 3), np.uint8), LABELS, "4 x 4 x 3"),
        (np.zeros((20, 4, 4, 1), np.float32), LABELS, "float32"),
        (np.zeros((20, 4, 4), np.uint8), LABELS, r"\[20, 4, 4\]"),
        (np.zeros((19, 4, 4, 1), np.uint8), LABELS, "20 labels"),
        (np.zeros((0, 4, 4, 1), np.uint8), LABELS[:0], "0 labels"),
        (np.zeros((20, 4, 4, 1), np.uint8), LABELS + 1, r"1\.\.10"),
        (np.zeros((20, 4, 4, 1), np.uint8), LABELS - 1, r"-1\.\.8"),
        (np.zeros((20, 4, 4, 1), np.uint8), LABELS.astype(np.float64), "float64"),
        (np.zeros((20, 4, 4, 1), np.uint8), LABELS // 2, "5 of the 10 classes"),
    ],
)
def test_a_set_that_does_not_fit_is_refused_by_name(images: np.ndarray, labels: np.ndarray, named: str) -> None:
    with pytest.raises(UserError, match=named) as raised:
        read_generated_set(as_run(images, labels), real_set())
    assert "set-1" in str(raised.value)


def test_several_sets_are_one_pool() -> None:
    sets = [generated_set(30, 100), generated_set(70, 200)]
    batches = MixedBatches(real_set(), sets, batch_size=100, generated_fraction=0.9, seed=0)
    drawn = np.concatenate([batches.rows(step)[1] for step in range(40)])
    assert abs((drawn < 30).mean() - 0.3) < 0.03 and drawn.min() == 0 and drawn.max() == 99
    images, labels = batches.batch(3)
    real_rows, pool_rows = batches.rows(3)
    assert np.array_equal((images[10:, 0, 0, 0] * 255).round().numpy(), np.where(pool_rows < 30, 100, 200))
    wanted = np.where(pool_rows < 30, pool_rows, pool_rows - 30) % 10
    assert np.array_equal(labels.numpy(), np.concatenate([real_rows % 10, wanted]))


def test_balanced_drawing_gives_every_class_its_share() -> None:
    skewed = ImageSet(
        np.zeros((130, 4, 4, 1), np.uint8), np.repeat(np.arange(10), [90, 20, 5, 5, 2, 2, 2, 2, 1, 1]), 10, "made", "train",
        np.arange(130),
    )  # fmt: skip
    plain, even = (
        MixedBatches(real_set(), [skewed], batch_size=50, generated_fraction=0.5, seed=1, balanced=balanced)
        for balanced in (False, True)
    )
    odd = np.zeros(10)
    for step in range(60):
        counts = np.bincount(skewed.labels[even.rows(step)[1]], minlength=10)
        assert counts.sum() == 25 and set(counts) == {2, 3}
        odd += counts == 3
    assert odd.min() > 15  # which classes get the odd ones changes
    assert np.bincount(skewed.labels[plain.rows(0)[1]], minlength=10)[0] > 10
    rows = np.concatenate([even.rows(step)[1] for step in range(60)])
    assert len(np.unique(rows[rows < 90])) > 60  # within a class, all images come up
    fresh = MixedBatches(real_set(), [skewed], batch_size=50, generated_fraction=0.5, seed=1, balanced=True)
    assert np.array_equal(fresh.rows(17)[1], even.rows(17)[1])


def noisy_set(count: int, seed: int) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return ImageSet(images, np.arange(count) % 10, 10, "noise", "train", np.arange(count))


def test_real_and_generated_images_are_varied_by_streams_of_their_own() -> None:
    both, varied = noisy_set(40, 0), Augmentation(padding=2, flips=True)
    batches = MixedBatches(both, [both], batch_size=20, generated_fraction=0.5, seed=0, augmentation=varied)
    images, _ = batches.batch(5)
    plain, _ = MixedBatches(both, [both], batch_size=20, generated_fraction=0.5, seed=0).batch(5)
    assert images.shape == plain.shape and not torch.equal(images, plain)
    real_only = MixedBatches(both, batch_size=10, generated_fraction=0, seed=0, augmentation=varied)
    assert torch.equal(real_only.batch(5)[0], images[:10])  # the real part does not depend on what is mixed in
    assert torch.equal(batches.batch(5)[0], images) and not torch.equal(batches.batch(6)[0], images)


def test_cutmix_fills_the_batch_with_draws_of_the_same_images() -> None:
    batches = MixedBatches(noisy_set(40, 0), batch_size=24, generated_fraction=0, seed=0, draws=4)
    assert batches.real_per_batch == 6
    images, labels = batches.batch(2)
    assert images.shape == (24, 1, 8, 8) and labels.shape == (24, 10)
    assert torch.allclose(labels.sum(1), torch.ones(24))
    again = batches.batch(2)
    assert torch.equal(again[0], images) and torch.equal(again[1], labels)
