"""A union of attacks: an image holds out if it holds out against each of them, with a flag per image for what broke it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.attack import HELD_OUT, Attack, Draws
from difrob.attacks.restarted_pgd import RestartedPGD, nothing
from difrob.specs.parts import AttackSpec

SURVIVED = -1
WRONG_UNATTACKED = -2


@dataclass(frozen=True)
class UnionVerdict:
    """What a union of attacks found.

    Attributes:
        broken: bool [A, B], whether an attack broke an image with any of its restarts.
        broken_by: int8 [B], number of the first attack that broke the image, or ``SURVIVED`` (-1).
        adversarial: [B, C, H, W], a misclassified point, or the last iterate of an image that held out.
        broken_at: int64 [A, R], how many images each restart of each attack broke that earlier restarts had not; R is the
            most restarts that an attack makes.
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
        """Images that no attack broke, bool [B]."""
        return np.logical_not(np.any(self.broken, axis=0))


def attack_with_each(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    draws: Draws,
    attacks: Sequence[Attack],
    between: Callable[[], None] = nothing,
) -> UnionVerdict:
    """Attack every image with each attack.

    Each sees all images, so that its own accuracy does not depend on the order of the attacks. An image that breaks is
    cheap in any case where an attack stops at its first success.

    Args:
        classifier: [0,1] images to logits, in evaluation mode.
        images: [B, C, H, W] in [0,1], classified rightly before the attack.
        labels: int64 [B].
        draws: random numbers of the images, [B].
        attacks: at least one, at most 127.
        between: called before each attack, e.g. to ask whether to stop.
    """
    count = len(images)
    broken = np.zeros((len(attacks), count), dtype=bool)
    broken_at = np.zeros((len(attacks), max(attack.restarts for attack in attacks)), dtype=np.int64)
    broken_by = np.full(count, SURVIVED, dtype=np.int8)
    adversarial = images.clone()
    forward, backward = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)

    for number, attack in enumerate(attacks if count else ()):
        between()
        verdict = attack(classifier, images, labels, draws)
        # What an earlier attack broke keeps the point that broke it.
        undecided = broken_by == SURVIVED
        on_device = torch.from_numpy(undecided).to(images.device)
        adversarial[on_device] = verdict.adversarial[on_device]
        broken[number] = ~verdict.held_out
        broken_by[undecided & broken[number]] = number
        restarts = verdict.broken_in[verdict.broken_in != HELD_OUT]
        broken_at[number] = np.bincount(restarts, minlength=broken_at.shape[1])
        forward += verdict.forward
        backward += verdict.backward
    return UnionVerdict(broken, broken_by, adversarial, broken_at, forward, backward)


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
    between: Callable[[], None] = nothing,
) -> UnionVerdict:
    """The union of projected gradient ascents of several losses.

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
    attacks = pgd_attacks(attack, losses, restarts, between)
    return attack_with_each(classifier, images, labels, Draws(seed, indices), attacks, between)


def pgd_attacks(
    attack: AttackSpec, losses: Sequence[str], restarts: int, between: Callable[[], None] = nothing
) -> list[Attack]:
    """One attack for each loss."""
    return [RestartedPGD(attack, loss, restarts, between) for loss in losses]
