"""Batches that mix real and generated images (Wang et al. 2023, released code core/data/semisup.py).

Of a batch of B images, floor(B g) are drawn uniformly with replacement from the generated set and the rest come from
random passes over the real images. Both are functions of (seed, step), so a resumed run sees the batches that an
uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difrob.data import EpochOrder, ImageSet, as_float
from difrob.errors import UserError
from difrob.randomness import numpy_generator
from difrob.runs.interface import InputRun


@dataclass(frozen=True)
class GeneratedSet:
    """Labelled generated images: uint8 [N, H, W, C] and int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def read_generated_set(run: InputRun, real: ImageSet) -> GeneratedSet:
    """The images of a ``generate`` run, checked against the real images that they are to be mixed with.

    Raises:
        UserError: when size, channels, type, labels or classes do not fit, naming both sides.
    """
    images, labels = run.array("samples/images"), run.array("samples/label")
    name = f"generated set '{run.run_id}'"
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels) or len(images) == 0:
        raise UserError(
            f"{name} holds {images.dtype} images of shape {list(images.shape)} and {len(labels)} labels; "
            "uint8 [N, height, width, channels] with one label each is needed: generate it anew"
        )
    if images.shape[1:] != real.images.shape[1:]:
        theirs, ours = (" x ".join(map(str, shape)) for shape in (images.shape[1:], real.images.shape[1:]))
        raise UserError(
            f"{name} has images of {theirs} (height x width x channels), '{real.name}' has {ours}; "
            "choose a set that was generated for this data"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= real.num_classes:
        raise UserError(
            f"{name} has labels {labels.min()}..{labels.max()} of type {labels.dtype}, '{real.name}' has classes "
            f"0..{real.num_classes - 1}; choose a set that was generated for this data"
        )
    absent = np.setdiff1d(np.arange(real.num_classes), labels)
    if len(absent):
        raise UserError(
            f"{name} holds {real.num_classes - len(absent)} of the {real.num_classes} classes of '{real.name}' "
            f"(no image of {', '.join(map(str, absent))}); generate a set with all classes"
        )
    return GeneratedSet(images, labels.astype(np.int64))


class MixedBatches:
    """The batch of every step, as a function of (seed, step).

    Args:
        real: real training images.
        generated: generated images, or None for real ones only.
        batch_size: images per batch B.
        generated_fraction: g in [0, 1]; without a generated set it counts as 0.
        seed: seed of the run.

    Attributes:
        generated_per_batch: floor(B g).
        real_per_batch: the rest.
    """

    def __init__(
        self, real: ImageSet, generated: GeneratedSet | None, *, batch_size: int, generated_fraction: float, seed: int
    ) -> None:
        self.real = real
        self.generated = generated
        self.seed = seed
        # 0.29 * 100 is 28.999999999999996 in binary; such a product means 29.
        share = math.floor(batch_size * generated_fraction + 1e-9)
        self.generated_per_batch = share if generated is not None else 0
        self.real_per_batch = batch_size - self.generated_per_batch
        self._order = EpochOrder(len(real), self.real_per_batch, seed, "real images") if self.real_per_batch else None

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the real and of the generated set that form the batch of this step."""
        empty = np.empty(0, dtype=np.int64)
        real_rows = self._order.batch(step) if self._order is not None else empty
        if self.generated is None or self.generated_per_batch == 0:
            return real_rows, empty
        source = numpy_generator(self.seed, "generated images", step)
        return real_rows, source.integers(len(self.generated), size=self.generated_per_batch)

    def batch(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] in [0,1] and labels int64 [B] of this step, real ones first."""
        real_rows, generated_rows = self.rows(step)
        images, labels = self.real.images[real_rows], self.real.labels[real_rows]
        if self.generated is not None and len(generated_rows):
            images = np.concatenate([images, self.generated.images[generated_rows]])
            labels = np.concatenate([labels, self.generated.labels[generated_rows]])
        return as_float(images, device), torch.from_numpy(labels).to(device)
