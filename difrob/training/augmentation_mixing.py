"""CutMix (Yun et al. 2019) with mixed labels, for whole batches on the device.

As Wang et al. 2023 use it: the same images are mixed several times over, each time with a fresh order, a fresh box and the
share that the box really covers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from difrob.randomness import generator
from difrob.training.objectives import as_distribution


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return (self.bottom - self.top) * (self.right - self.left)


def cutmix(
    images: Tensor, labels: Tensor, num_classes: int, *, draws: int, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """A batch ``draws`` times as large, in which every image has a box of another one.

    One box is shared by a draw: lambda ~ Beta(1, 1) sets its area 1 - lambda, a uniformly random pixel its middle; what lies
    outside is cut off, and lambda is worked out anew.

    Args:
        images: [b, C, H, W] on any device.
        labels: int64 [b].
        num_classes: number of classes K.
        draws: how often the images are mixed, at least 1.
        seed, step: of the run; they fix what is drawn.

    Returns:
        [draws b, C, H, W], and label distributions float32 [draws b, K].
    """
    random = generator(seed, "cutmix", step)
    target = as_distribution(labels, num_classes)
    height, width = images.shape[2:]
    mixed, mixed_labels = [], []
    for _ in range(draws):
        box = draw_box(height, width, random)
        partners = torch.randperm(len(images), generator=random).to(images.device)
        kept = 1 - box.area / (height * width)
        batch = images.clone()
        batch[:, :, box.top : box.bottom, box.left : box.right] = images[
            partners, :, box.top : box.bottom, box.left : box.right
        ]
        mixed.append(batch)
        mixed_labels.append(target * kept + target[partners] * (1 - kept))
    return torch.cat(mixed), torch.cat(mixed_labels)


def draw_box(height: int, width: int, random: torch.Generator) -> Box:
    """The box of one draw, clipped to the image; it may be empty."""
    share = math.sqrt(1 - float(torch.rand((), generator=random)))  # Beta(1, 1) is the uniform distribution
    tall, wide = int(height * share), int(width * share)
    row = int(torch.randint(height, (), generator=random))
    column = int(torch.randint(width, (), generator=random))
    return Box(
        max(row - tall // 2, 0),
        min(row + tall // 2, height),
        max(column - wide // 2, 0),
        min(column + wide // 2, width),
    )
