"""Projected gradient ascent of one loss, begun several times, as an attack that can join others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.attack import HELD_OUT, AttackVerdict, Draws
from difrob.attacks.losses import LABEL_LOSSES
from difrob.attacks.pgd import search
from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points
from difrob.specs.parts import AttackSpec


def nothing() -> None:
    """For those whom nobody can ask to stop."""


@dataclass(frozen=True)
class RestartedPGD:
    """Implements :class:`difrob.attacks.attack.Attack`; a restart goes on with the images that held out so far.

    Attributes:
        attack: ball, number and length of the steps.
        loss: name of one of ``LABEL_LOSSES``.
        starts: how often to begin; without a random start all would be the same, so it begins once.
        between: called before each start but the first, e.g. to ask whether to stop.
    """

    attack: AttackSpec
    loss: str
    starts: int = 1
    between: Callable[[], None] = nothing

    @property
    def name(self) -> str:
        return self.loss

    @property
    def restarts(self) -> int:
        return self.starts if self.attack.random_start else 1

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, draws: Draws) -> AttackVerdict:
        """Attack every image; its starting points depend on (seed, loss, restart, number of the image)."""
        count = len(images)
        adversarial = images.clone()
        broken_in, broken_at = (np.full(count, HELD_OUT, dtype=np.int64) for _ in range(2))
        forward, backward = (np.zeros(count, dtype=np.int64) for _ in range(2))
        for restart in range(self.restarts):
            rows = np.flatnonzero(broken_in == HELD_OUT)
            if len(rows) == 0:
                break
            if restart:
                self.between()
            on_device = torch.from_numpy(rows).to(images.device)
            ball = Ball(images[on_device], norm=self.attack.norm, eps=self.attack.eps)
            start = starting_points(
                ball,
                random_start=self.attack.random_start,
                seed=draws.seed,
                stream=("attack", self.loss, restart),
                indices=draws.indices[rows],
            )
            verdict = search(
                model,
                ball,
                start,
                labels[on_device],
                LABEL_LOSSES[self.loss],
                steps=self.attack.steps,
                step_size=self.attack.resolved_step_size,
            )
            adversarial[on_device] = verdict.adversarial
            broken_at[rows] = verdict.steps_needed.cpu().numpy()
            broken_in[rows[verdict.broken.cpu().numpy()]] = restart
            forward[rows] += verdict.forward.cpu().numpy()
            backward[rows] += verdict.backward.cpu().numpy()
        return AttackVerdict(broken_in == HELD_OUT, adversarial, broken_in, broken_at, forward, backward)
