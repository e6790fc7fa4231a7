"""What every classifier is: [0,1] images to logits, standardised inside, with penultimate features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Pixels in [0,1] become numbers in [-1,1].
PIXEL_MEAN = 0.5
PIXEL_STD = 0.5


class Classifier(nn.Module):
    """The interface of all classifiers. A subclass gives :meth:`features` and a linear ``head`` on top of them.

    Standardisation belongs to the network, so that noise and radii are always in [0,1] units. Its two buffers are part of
    the weights: whoever loads them standardises alike.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes K, at least 2.

    Attributes:
        head: the last layer, features to logits.
    """

    mean: Tensor
    std: Tensor
    head: nn.Linear

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, not {num_classes}")
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.register_buffer("mean", torch.full((image_shape[0], 1, 1), PIXEL_MEAN))
        self.register_buffer("std", torch.full((image_shape[0], 1, 1), PIXEL_STD))

    @torch.no_grad()
    def standardise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Standardise each colour by its own mean and standard deviation, [C] in [0,1] intensity units.

        Raises:
            ValueError: for other than C numbers, or a standard deviation that is not positive.
        """
        colours = self.image_shape[0]
        if len(mean) != colours or len(std) != colours or not min(std) > 0:
            raise ValueError(f"mean = {mean} and std = {std} must be {colours} numbers, the latter positive")
        self.mean.copy_(torch.tensor(mean).reshape(-1, 1, 1))
        self.std.copy_(torch.tensor(std).reshape(-1, 1, 1))

    def standardised(self, x: Tensor) -> Tensor:
        """(x - mean) / std, [B, C, H, W]."""
        return (x - self.mean) / self.std

    def features(self, x: Tensor) -> Tensor:
        """Penultimate activations [B, F] of images [B, C, H, W] in [0,1]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W] in [0,1]."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def start_undecided(self) -> None:
        """Give the head weights under which no class is preferred by much."""
        nn.init.normal_(self.head.weight, std=self.head.in_features**-0.5)
        nn.init.zeros_(self.head.bias)
