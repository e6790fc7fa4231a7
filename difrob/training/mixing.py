"""Batches that mix real and generated images (Wang et al. 2023, released code core/data/semisup.py).

Of a batch of B images, floor(B g) are drawn with replacement from the generated sets and the rest come from random passes over
the real images. All draws are functions of (seed, step), so a resumed run sees the batches that an uninterrupted one would
have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from difrob.data import Augmentation, DeviceImages, EpochOrder, ImageSet
from difrob.inputs import misfits
from difrob.inputs.misfits import generated_per_batch, refuse
from difrob.randomness import numpy_generator, stream_key
from difrob.runs.interface import InputRun
from difrob.training.augmentation_mixing import cutmix


def read_generated_set(run: InputRun, real: ImageSet) -> ImageSet:
    """The images of a ``generate`` run, checked against the real images that they are to be mixed with.

    Raises:
        UserError: when size, channels, type, labels or classes do not fit, naming both sides.
    """
    images, labels = run.array("samples/images"), run.array("samples/label")
    refuse(
        misfits.generated_set(
            run.run_id, images.dtype, images.shape, labels,
            real=real.name, image_shape=real.shape, num_classes=real.num_classes,
        )
    )  # fmt: skip
    name = f"generated set '{run.run_id}'"
    return ImageSet(images, labels.astype(np.int64), real.num_classes, name, "train", np.arange(len(images)))


class MixedBatches:
    """The batch of every step, as a function of (seed, step). Bytes lie on the device, where they fit, and are varied there.

    Args:
        real: real training images.
        generated: generated images, pooled: every image of the pool is as likely as any other.
        batch_size: images per batch B.
        generated_fraction: g in [0, 1]; without a generated set it counts as 0.
        seed: seed of the run.
        device: where batches are wanted.
        augmentation: how images are varied.
        draws: mixtures of CutMix; then a batch holds B / draws images of its own, each mixed so many times. 0 for none.
        balanced: whether generated images are drawn evenly over the classes; B g / K of each, the odd ones at random.

    Attributes:
        generated_per_batch: floor(b g), of the b = B or B / draws images of a batch.
        real_per_batch: the rest.
    """

    def __init__(
        self,
        real: ImageSet,
        generated: Sequence[ImageSet] = (),
        *,
        batch_size: int,
        generated_fraction: float,
        seed: int,
        device: torch.device | str = "cpu",
        augmentation: Augmentation | None = None,
        draws: int = 0,
        balanced: bool = False,
    ) -> None:
        self.real = real
        self.generated = list(generated)
        self.seed = seed
        self.device = torch.device(device)
        self.draws = draws
        self.augmentation = augmentation
        images = batch_size // max(draws, 1)
        self.generated_per_batch = generated_per_batch(images, generated_fraction) if self.generated else 0
        self.real_per_batch = images - self.generated_per_batch
        self._order = EpochOrder(len(real), self.real_per_batch, seed, "real images") if self.real_per_batch else None
        self._sources = [DeviceImages(images, self.device) for images in (real, *self.generated)]
        self._ends = np.cumsum([len(images) for images in self.generated])  # of each set in the pool
        self._by_class = self._sorted_by_class() if balanced and self.generated else None

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the real set, and rows of the pool of generated ones, that form the batch of this step."""
        empty = np.empty(0, dtype=np.int64)
        real_rows = self._order.batch(step) if self._order is not None else empty
        if self.generated_per_batch == 0:
            return real_rows, empty
        source = numpy_generator(self.seed, "generated images", step)
        if self._by_class is not None:
            pool_rows = _evenly(*self._by_class, self.generated_per_batch, source)
        else:
            pool_rows = source.integers(self._ends[-1], size=self.generated_per_batch)
        return real_rows, np.concatenate(self._by_owner(pool_rows))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0,1] and labels of this step: int64 [B], or float [B, K] under CutMix.

        In the order of :meth:`rows`, real ones first; under CutMix once per draw.
        """
        real_rows, pool_rows = self.rows(step)
        rows_of_sets = [real_rows, *self._by_owner(pool_rows)]
        starts = [0, 0, *self._ends[:-1]]
        taken = [
            self._take(number, rows - start, step)
            for number, (rows, start) in enumerate(zip(rows_of_sets, starts, strict=False))
            if len(rows)
        ]
        images, labels = taken[0]
        if len(taken) > 1:
            images, labels = (torch.cat(parts) for parts in zip(*taken, strict=True))
        if self.draws:
            return cutmix(images, labels, self.real.num_classes, draws=self.draws, seed=self.seed, step=step)
        return images, labels

    def _take(self, number: int, rows: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        """Varied images of one set; each set has an augmentation stream of its own, the real images that of the run."""
        seed = self.seed if number == 0 else stream_key(self.seed, "augmentation of generated set", number)
        return self._sources[number].batch(rows, self.augmentation, seed, step)

    def _by_owner(self, pool_rows: np.ndarray) -> list[np.ndarray]:
        """Rows of the pool, by the set that they belong to."""
        owners = np.searchsorted(self._ends, pool_rows, side="right")
        return [pool_rows[owners == number] for number in range(len(self.generated))]

    def _sorted_by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the pool, one class after the other, and how many there are of each."""
        labels = np.concatenate([images.labels for images in self.generated])
        return np.argsort(labels, kind="stable"), np.bincount(labels, minlength=self.real.num_classes)


def _evenly(order: np.ndarray, counts: np.ndarray, number: int, source: np.random.Generator) -> np.ndarray:
    """As many rows of one class as of another, drawn with replacement; which classes give one more is drawn, too.

    Args:
        order: rows, one class after the other, [N].
        counts: how many there are of each class, [K]; none is 0, which was checked when the sets were read.
        number: how many are wanted.
        source: of the draws.
    """
    whole, odd = divmod(number, len(counts))
    classes = np.concatenate([np.tile(np.arange(len(counts)), whole), source.permutation(len(counts))[:odd]])
    places = (source.random(number) * counts[classes]).astype(np.int64)
    first = np.cumsum(counts)[classes] - counts[classes]
    rows: np.ndarray = order[first + places]
    return rows
