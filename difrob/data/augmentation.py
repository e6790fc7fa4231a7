"""Random shifts, mirror images and blanked squares, for whole batches on the device.

What is drawn depends on (seed, step, place in the batch) only; it is drawn on the CPU, so that all devices see the same
images. All is done on bytes, before they become numbers: a quarter of the memory to move.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from difrob.inputs.misfits import mirrored, refuse, shifted
from difrob.randomness import generator
from difrob.runs.datasets import DataSetRecord


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied; the usual one for CIFAR is padding 4 and flips.

    Attributes:
        padding: images are shifted by up to this many pixels each way; what comes in from outside is 0.
        flips: mirror every other image left to right.
        cutout: side in pixels of a square that is set to 0 around a random pixel of every image, as far as it lies inside
            (DeVries & Taylor 2017); 0 for none.
    """

    padding: int = 0
    flips: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.padding < 0 or self.cutout < 0:
            raise ValueError(f"padding = {self.padding} and cutout = {self.cutout} must be at least 0")

    def __bool__(self) -> bool:
        """Whether anything changes at all."""
        return self.padding > 0 or self.flips or self.cutout > 0

    def check_fit(self, record: DataSetRecord) -> None:
        """Raise UserError where this would change what the images of a data set mean."""
        refuse(mirrored(record, self.flips), shifted(record.image_shape, self.padding, self.cutout))


def augment(images: Tensor, augmentation: Augmentation, seed: int, step: int) -> Tensor:
    """A varied copy of a batch: shifted, then mirrored, then blanked.

    Args:
        images: uint8 [B,C,H,W] on any device.
        augmentation: what to do.
        seed, step: of the run; they fix what is drawn.

    Returns:
        uint8 [B,C,H,W] on the same device.
    """
    if not augmentation or len(images) == 0:
        return images
    top, left, mirrored, row, column = _draw(augmentation, images.shape, seed, step).to(images.device)
    if augmentation.padding or augmentation.flips:
        images = _moved(images, top, left, mirrored)
    if augmentation.cutout:
        images = _blanked(images, row, column, augmentation.cutout)
    return images


def _draw(augmentation: Augmentation, shape: torch.Size, seed: int, step: int) -> Tensor:
    """int64 [5,B]: the shift down and right, whether to mirror, and the pixel around which is blanked."""
    count, _, height, width = shape
    random = generator(seed, "augmentation", step)
    reach = augmentation.padding
    shifts = torch.randint(-reach, reach + 1, (2, count), generator=random)
    mirrored = torch.randint(0, 2, (1, count), generator=random) * int(augmentation.flips)
    rows = torch.randint(0, height, (1, count), generator=random)
    columns = torch.randint(0, width, (1, count), generator=random)
    return torch.cat([shifts, mirrored, rows, columns])


def _moved(images: Tensor, down: Tensor, right: Tensor, mirrored: Tensor) -> Tensor:
    """Every image shifted by its own (down, right), then mirrored where ``mirrored`` is 1; all [B].

    One gather: each pixel of the result looks up where it comes from.
    """
    count, channels, height, width = images.shape
    y = torch.arange(height, device=images.device) - down[:, None]
    x = torch.arange(width, device=images.device)
    x = torch.where(mirrored[:, None] == 1, width - 1 - x, x) - right[:, None]
    places = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    flat = places.reshape(count, 1, -1).expand(count, channels, -1)
    moved = images.reshape(count, channels, -1).gather(2, flat).reshape(images.shape)
    return moved * inside[:, None]


def _blanked(images: Tensor, row: Tensor, column: Tensor, side: int) -> Tensor:
    """Rows ``row - side // 2`` up to ``side`` further, columns alike, set to 0; row and column are [B]."""
    _, _, height, width = images.shape
    y = torch.arange(height, device=images.device) - row[:, None] + side // 2
    x = torch.arange(width, device=images.device) - column[:, None] + side // 2
    hit = ((y >= 0) & (y < side))[:, :, None] & ((x >= 0) & (x < side))[:, None, :]
    return images * ~hit[:, None]
