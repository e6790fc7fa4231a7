"""Labelled images, and the two conversions between stored bytes and the [0,1] tensors that networks see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """A labelled set of images held in memory; the arrays are read-only.

    Attributes:
        images: uint8 [N,H,W,C].
        labels: int64 [N] in 0..num_classes-1.
        num_classes: number of classes K.
        name: name of the data set, e.g. ``"digits"``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        indices: int64 [N], the position of each image in the original data set.
    """

    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    name: str
    split: str
    indices: np.ndarray

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N,H,W,C], not {self.images.dtype} {self.images.shape}")
        if not len(self.images) == len(self.labels) == len(self.indices):
            raise ValueError("images, labels and indices differ in length")
        for array in (self.images, self.labels, self.indices):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), as networks count."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def take(self, rows: np.ndarray) -> ImageSet:
        """The images at these rows, in their order."""
        return ImageSet(
            self.images[rows], self.labels[rows], self.num_classes, self.name, self.split, self.indices[rows]
        )


def as_float(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [N,H,W,C] -> float32 [N,C,H,W] in [0,1] on the device; bytes are moved, then converted."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images must be uint8 [N,H,W,C], not {images.dtype} {images.shape}")
    on_device = torch.from_numpy(np.array(images)).to(device)
    return (on_device.permute(0, 3, 1, 2).to(torch.float32) / 255).contiguous()


def as_uint8(x: Tensor) -> np.ndarray:
    """float [N,C,H,W] -> uint8 [N,H,W,C]; clipped to [0,1] and rounded to the nearest of 256 levels."""
    levels = (x.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
