"""What an attack is to those that use it: a question asked of a network about each image, and the answer.

Whatever answers it (gradients, random search, a fixed pattern) can join a union of attacks. All that a union asks is that
the answer for an image be a function of the image: its randomness comes from :class:`Draws`, which belong to the image's
number in its data set, and images of one batch must not influence each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from difrob.randomness import normal_per_sample, uniform_per_sample

HELD_OUT = -1


@dataclass(frozen=True)
class Draws:
    """Random numbers for a batch of images, each image's own whatever batch it comes in.

    Attributes:
        seed: seed of the run.
        indices: number of each image in its data set, int64 [N].
    """

    seed: int
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, rows: np.ndarray) -> Draws:
        """Those of some of the images."""
        return Draws(self.seed, self.indices[rows])

    def uniform(self, stream: tuple[int | str, ...], shape: Sequence[int]) -> Tensor:
        """Uniform numbers in [0, 1), float32 [N, *shape] on the CPU; another stream gives others."""
        return uniform_per_sample(self.seed, stream, self.indices, shape)

    def normal(self, stream: tuple[int | str, ...], shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32 [N, *shape] on the CPU; another stream gives others."""
        return normal_per_sample(self.seed, stream, self.indices, shape)


@dataclass(frozen=True)
class AttackVerdict:
    """What an attack found, image by image.

    Attributes:
        held_out: bool [N], images that are still classified rightly at every point that was tried.
        adversarial: [N, C, H, W] in [0, 1], a misclassified point, or the last point tried of an image that held out.
        broken_in: int64 [N], number of the restart that broke the image, from 0; -1 for an image that held out. An attack
            without restarts has the one restart 0.
        broken_at: int64 [N], number of the step of that restart, in the attack's own steps from 0 for its starting point;
            -1 for an image that held out.
        forward, backward: int64 [N], passes of the image through the network, and backward passes to it, that were spent.
    """

    held_out: np.ndarray
    adversarial: Tensor
    broken_in: np.ndarray
    broken_at: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


class Attack(Protocol):
    """Looks for a misclassified point near each image."""

    @property
    def name(self) -> str:
        """What tells it from the other attacks of a union, fit for the name of a column, e.g. ``cross_entropy``."""
        ...

    @property
    def restarts(self) -> int:
        """How often it begins at most, at least 1."""
        ...

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> AttackVerdict:
        """Attack every image.

        Args:
            model: [0, 1] images to logits, in evaluation mode.
            images: [N >= 1, C, H, W] in [0, 1], classified rightly before the attack.
            labels: int64 [N].
            draws: random numbers of the images.
        """
        ...
