"""A union of attacks: several losses, several random starts each, with a flag per image for what broke it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.losses import LABEL_LOSSES
from difrob.attacks.pgd import search
from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points
from difrob.specs.parts import AttackSpec

SURVIVED = -1
WRONG_UNATTACKED = -2


@dataclass(frozen=True)
class UnionVerdict:
    """What a union of attacks found.

    Attributes:
        broken: bool [L, B], whether a loss broke an image with any of its restarts.
        broken_by: int8 [B], number of the first loss that broke the image, or ``SURVIVED`` (-1).
        adversarial: [B, C, H, W], a misclassified point, or the last iterate of an image that held out.
        broken_at: int64 [L, R], how many images each restart of each loss broke that earlier restarts had not.
        forward, backward: int64 [B], passes through the network and backward passes to the input that it cost.
    """

    broken: np.ndarray
    broken_by: np.ndarray
    adversarial: Tensor
    broken_at: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @property
    def held_out(self) -> np.ndarray:
        """Images that no loss broke, bool [B]."""
        return np.logical_not(np.any(self.broken, axis=0))


def attack_union(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    indices: np.ndarray,
    *,
    attack: AttackSpec,
    losses: Sequence[str],
    restarts: int,
    seed: int,
    between: Callable[[], None] = lambda: None,
) -> UnionVerdict:
    """Attack every image with each loss; restarts go on with the images that this loss has not broken yet.

    Each loss sees all images, so that its own accuracy does not depend on the order of the losses. An image that breaks
    is cheap in any case: it stops at its first success.

    Args:
        classifier: [0,1] images to logits, in evaluation mode.
        images: [B, C, H, W] in [0,1], classified rightly before the attack.
        labels: int64 [B].
        indices: number of each image in its data set, [B]; its random starts depend on (seed, loss, restart, number).
        attack: ball, number and length of the steps.
        losses: names of ``LABEL_LOSSES``.
        restarts: starts per loss; without a random start all of them would be the same, so one is made.
        seed: seed of the run.
        between: called before each restart, e.g. to ask whether to stop.
    """
    count = len(images)
    restarts = restarts if attack.random_start else 1
    broken = np.zeros((len(losses), count), dtype=bool)
    broken_at = np.zeros((len(losses), restarts), dtype=np.int64)
    broken_by = np.full(count, SURVIVED, dtype=np.int8)
    adversarial = images.clone()
    forward, backward = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)

    for number, name in enumerate(losses):
        for restart in range(restarts):
            rows = np.flatnonzero(~broken[number])
            if len(rows) == 0:
                break
            between()
            on_device = torch.from_numpy(rows).to(images.device)
            ball = Ball(images[on_device], norm=attack.norm, eps=attack.eps)
            start = starting_points(
                ball,
                random_start=attack.random_start,
                seed=seed,
                stream=("attack", name, restart),
                indices=indices[rows],
            )
            verdict = search(
                classifier,
                ball,
                start,
                labels[on_device],
                LABEL_LOSSES[name],
                steps=attack.steps,
                step_size=attack.resolved_step_size,
            )
            forward[rows] += verdict.forward.cpu().numpy()
            backward[rows] += verdict.backward.cpu().numpy()
            success = verdict.broken.cpu().numpy()
            # What an earlier attack broke keeps the point that broke it.
            undecided = torch.from_numpy(broken_by[rows] == SURVIVED).to(images.device)
            adversarial[on_device[undecided]] = verdict.adversarial[undecided]
            broken_by[rows[success & (broken_by[rows] == SURVIVED)]] = number
            broken[number, rows] = success
            broken_at[number, restart] = int(success.sum())
    return UnionVerdict(broken, broken_by, adversarial, broken_at, forward, backward)
