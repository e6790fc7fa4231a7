"""Measuring a classifier on fixed images with a fixed attack, so that the points of a curve are comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.losses import margin
from difrob.attacks.modes import evaluation_mode
from difrob.attacks.pgd import search
from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points
from difrob.data import ImageSet, as_float
from difrob.memory import MicroBatches
from difrob.randomness import normal_per_sample, numpy_generator
from difrob.ranks.shares import ALONE, Ranks
from difrob.specs.parts import AttackSpec

# Curves of different runs are about the same noise and the same attack starts, whatever the runs' seeds.
VALIDATION_SEED = 0


@dataclass(frozen=True)
class Scores:
    """What one measurement found, one entry per image.

    Attributes:
        clean: bool [N], right without an attack.
        robust: bool [N], right without an attack and at every iterate of it.
        adversarial: [N, C, H, W], a misclassified point or the last iterate; the clean image where it was wrong anyway.
    """

    clean: np.ndarray
    robust: np.ndarray
    adversarial: Tensor


class FixedImages:
    """Images that are measured again and again, on the device, with noise that never changes.

    Args:
        images: the set.
        device: where the measurement runs.
        pieces: how many images go through the network at once, fewer when memory runs out; None for all.
        ranks: the processes that share the work; each gets to know what all have found.
    """

    def __init__(
        self, images: ImageSet, device: torch.device, *, pieces: MicroBatches | None = None, ranks: Ranks = ALONE
    ) -> None:
        self.ranks = ranks
        self.pieces = pieces or MicroBatches(max(len(images), 1), may_shrink=False, tell=lambda size, sentence: None)
        self.images = as_float(images.images, device)
        self.labels = torch.from_numpy(np.array(images.labels)).to(device)
        self.indices = images.indices

    def __len__(self) -> int:
        return len(self.labels)

    def measure(self, network: nn.Module, attack: AttackSpec) -> Scores:
        """Clean accuracy, and robust accuracy under PGD with the margin loss from one fixed start per image."""
        clean = self._right(network, self.images)
        broken, adversarial = torch.zeros_like(clean, dtype=torch.uint8), torch.zeros_like(self.images)
        right = clean.nonzero().squeeze(1)
        own = right[self.ranks.share(len(right))]

        def attack_own() -> None:
            for rows in own.split(self.pieces.size):
                ball = Ball(self.images[rows], norm=attack.norm, eps=attack.eps)
                start = starting_points(
                    ball,
                    random_start=attack.random_start,
                    seed=VALIDATION_SEED,
                    stream=("validation attack",),
                    indices=self.indices[rows.cpu().numpy()],
                )
                verdict = search(
                    network,
                    ball,
                    start,
                    self.labels[rows],
                    margin,
                    steps=attack.steps,
                    step_size=attack.resolved_step_size,
                )
                broken[rows] = verdict.broken.to(torch.uint8)
                adversarial[rows] = verdict.adversarial

        with evaluation_mode(network):
            self.pieces.attempt(attack_own)
        self.ranks.add_up([broken, adversarial])
        adversarial = torch.where(clean[:, None, None, None], adversarial, self.images)
        return Scores(clean.cpu().numpy(), (clean & (broken == 0)).cpu().numpy(), adversarial)

    def right_under_noise(self, network: nn.Module, sigma: float) -> np.ndarray:
        """Which images are right under one fixed draw of Gaussian noise each, bool [N]."""
        noise = normal_per_sample(VALIDATION_SEED, "validation noise", self.indices, self.images.shape[1:])
        noisy = torch.add(self.images, noise.to(self.images.device), alpha=sigma)
        right: np.ndarray = self._right(network, noisy).cpu().numpy()
        return right

    def _right(self, network: nn.Module, images: Tensor) -> Tensor:
        """Which of these versions of the images are classified rightly, bool [N]."""
        own = self.ranks.share(len(images))
        right = torch.zeros(len(images), dtype=torch.uint8, device=images.device)

        def predict_own() -> Tensor:
            return torch.cat([network(part).argmax(1) for part in images[own].split(self.pieces.size)])

        with evaluation_mode(network), torch.no_grad():
            right[own] = (self.pieces.attempt(predict_own) == self.labels[own]).to(torch.uint8)
        self.ranks.add_up([right])
        return right.bool()


def training_probe(train: ImageSet, size: int) -> ImageSet:
    """A fixed random choice of training images, as many as there are validation images (or all, if fewer)."""
    rows = numpy_generator(VALIDATION_SEED, "training probe").permutation(len(train))[:size]
    return train.take(np.sort(rows))
