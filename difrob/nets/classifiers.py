"""Classifiers: images in [0,1] to logits, standardised inside the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from difrob.specs.train_classifier import ClassifierNetworkSpec

# Pixels in [0,1] become numbers in [-1,1].
PIXEL_MEAN = 0.5
PIXEL_STD = 0.5


class Classifier(nn.Module):
    """SiLU convolutions, one hidden layer of features and a linear head, without batch normalisation.

    The first convolution keeps the image size and each further one halves it. Without batch statistics, one image's
    logits do not depend on the others of its batch, in training as in evaluation.

    Args:
        channels: output channels of the convolutions.
        features: width of the penultimate layer.
        image_shape: (C, H, W).
        num_classes: number of classes K.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, channels: tuple[int, ...], features: int, image_shape: tuple[int, int, int], num_classes: int
    ) -> None:
        super().__init__()
        colours, height, width = image_shape
        self.image_shape = image_shape
        self.num_classes = num_classes
        # Standardisation belongs to the network, so that noise and radii are always in [0,1] units.
        self.register_buffer("mean", torch.full((colours, 1, 1), PIXEL_MEAN))
        self.register_buffer("std", torch.full((colours, 1, 1), PIXEL_STD))

        layers: list[nn.Module] = []
        incoming = colours
        for position, outgoing in enumerate(channels):
            stride = 1 if position == 0 else 2
            layers += [nn.Conv2d(incoming, outgoing, 3, stride=stride, padding=1), nn.SiLU()]
            height, width = -(-height // stride), -(-width // stride)
            incoming = outgoing
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(incoming * height * width, features), nn.SiLU())
        self.head = nn.Linear(features, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Weights that keep the size of the activations through SiLU (He et al. 2015); the head starts undecided.

        With torch's own smaller weights the signal fades from layer to layer, and the first fifty or so steps of
        adversarial training are lost on a plateau.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=self.head.in_features**-0.5)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate activations [B, features] of images [B, C, H, W] in [0,1]."""
        hidden: Tensor = self.hidden(self.convolutions((x - self.mean) / self.std))
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W] in [0,1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def build_classifier(spec: ClassifierNetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> Classifier:
    """A freshly initialised classifier; its weights come from torch's global generator, which the caller seeds.

    Args:
        spec: architecture and widths.
        image_shape: (C, H, W).
        num_classes: number of classes K, at least 2.
    """
    if num_classes < 2:
        raise ValueError(f"a classifier needs at least 2 classes, not {num_classes}")
    return Classifier(channels=spec.channels, features=spec.features, image_shape=image_shape, num_classes=num_classes)
