"""Features of the Inception network as an extractor: those in which Fréchet Inception distances are measured."""

from __future__ import annotations

import numpy as np
import torch

from difrob.data import as_float
from difrob.errors import UserError
from difrob.memory import MicroBatches
from difrob.metrics.extractors import digest_of
from difrob.nets.inception import FEATURES, Inception, prepared
from difrob.nets.inception_weights import WeightsFile

# Images in the network at once: an image of 299x299 pixels takes some 15 MB on its way through the first layers.
AT_ONCE = 32

# How many digits of the SHA-256 descriptions show; the file's name on the web shows eight.
SHOWN_DIGITS = 16

# Fewer images make a distance in 2,048 dimensions mostly a matter of their number.
USUAL_LEAST = 10_000


class InceptionFeatures:
    """The 2,048 numbers in front of the head of the Inception network.

    Args:
        network: in evaluation mode, on its device.
        weights: which file its weights come from; part of the digest, whatever the file is called.
        pieces: how many images go through it at once.
    """

    name = "inception"
    features = FEATURES

    def __init__(self, network: Inception, weights: WeightsFile, pieces: MicroBatches) -> None:
        self.origin = f"the weights with SHA-256 {weights.sha256[:SHOWN_DIGITS]}"
        self.digest = digest_of(self.name, weights.sha256)
        self.weights = weights
        self._network = network
        self._pieces = pieces

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n,H,W,1 or 3] -> float32 [n, 2048]."""
        device = self._network.fc.weight.device

        def in_pieces() -> np.ndarray:
            with torch.inference_mode():
                slices = self._pieces.slices(len(images))
                return np.concatenate(
                    [self._network(prepared(as_float(images[part], device))).cpu().numpy() for part in slices]
                )

        return self._pieces.attempt(in_pieces)


def require_channels(channels: int) -> None:
    """Refuse images that are neither grey nor coloured.

    Raises:
        UserError: naming the extractors that take them.
    """
    if channels not in (1, 3):
        raise UserError(
            f"extractor = inception takes grey or coloured images, not such of {channels} channels; choose pixels or pca"
        )


def warning_of_few(**counts: int) -> str:
    """What to know about a Fréchet distance of so few images; "" where there are enough.

    Args:
        counts: images by set, e.g. ``generated=5000``.
    """
    name, count = min(counts.items(), key=lambda item: item[1])
    if count >= USUAL_LEAST:
        return ""
    return (
        f"a Fréchet distance in {FEATURES:,} Inception features wants {USUAL_LEAST:,} images or more of each set (published "
        f"ones mostly take 50,000), and there are {count:,} {name} ones: it is too large by much, and compares only with "
        "those of as many images; the kernel distance has no such bias"
    )
