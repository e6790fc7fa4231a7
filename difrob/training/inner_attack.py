"""The inner maximisation of every adversarial objective: one ball, one way to start, one policy for batch normalisation.

Arms of a comparison differ in their loss, not in how their adversary sees the network (Wang et al. 2023 attack in training
mode, Zhang et al. 2019 in evaluation mode; comparing the one with the other compares two things at once).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from difrob.attacks.modes import evaluation_mode, frozen_statistics
from difrob.attacks.pgd import maximise
from difrob.attacks.projections import Ball
from difrob.attacks.starts import tiny_gaussian_start
from difrob.specs.parts import AttackSpec
from difrob.training.objectives import Terms, classes_of, count_flips

Statistics = Literal["batch", "running"]


def draw_start_noise(attack: AttackSpec, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """The random numbers that an attack of this kind starts from, float32 of ``shape`` on the CPU."""
    if _starts_uniformly(attack):
        return torch.rand(shape, generator=source)
    return torch.randn(shape, generator=source)


@dataclass
class InnerAttack:
    """PGD on a batch of images, with whatever loss an objective climbs.

    Every module is put back into the mode it was in, so that frozen submodules stay frozen; running statistics and the
    gradients of the parameters are never touched.

    Args:
        network: [0,1] images to logits, in training mode.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B] or float [B, K]; only for counting what was misclassified.
        attack: ball, number and length of the steps.
        start_noise: from :func:`draw_start_noise`, on the device.
        statistics: ``"batch"``: batch normalisation as in training, without noting what it sees; ``"running"``: as in
            evaluation.
        counts: whether to count misclassified images at every step.
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    attack: AttackSpec
    start_noise: Tensor
    statistics: Statistics = "batch"
    counts: bool = False
    _wrong: list[Tensor] = field(default_factory=list, init=False)
    _adversarial: Tensor | None = field(default=None, init=False)

    def mode(self) -> AbstractContextManager[None]:
        """The mode in which the adversary sees the network."""
        return frozen_statistics(self.network) if self.statistics == "batch" else evaluation_mode(self.network)

    def climb(self, loss: Callable[[Tensor], Tensor], *, from_image: bool = False) -> Tensor:
        """Where the attack ends, [B, C, H, W], detached. K forward passes and K backward passes to the input per image.

        An linf attack starts uniformly in its box, an l2 attack at x + 0.001 n.

        Args:
            loss: logits [B, K] to one value per image, to be called in :meth:`mode`.
            from_image: without a random start, begin at the image itself. For losses whose gradient vanishes there (a
                divergence from the clean prediction) it must be x + 0.001 n.
        """
        ball = Ball(self.images, norm=self.attack.norm, eps=self.attack.eps)
        if _starts_uniformly(self.attack):
            start = ball.random_points(self.start_noise)
        elif from_image and not self.attack.random_start:
            start = self.images
        else:
            start = tiny_gaussian_start(ball, self.start_noise)
        steps, step_size = self.attack.steps, self.attack.resolved_step_size
        watched = self._counting(loss) if self.counts else loss
        self._adversarial = maximise(self.network, ball, start, watched, steps=steps, step_size=step_size)
        return self._adversarial

    def terms(
        self,
        loss: Tensor,
        *,
        clean: Tensor | None,
        robust: Tensor,
        clean_logits: Tensor | None,
        adversarial_logits: Tensor,
    ) -> Terms:
        """The answer of an objective, with all but the loss detached.

        Args:
            loss: what is minimised, [].
            clean, robust: its parts, [].
            clean_logits: of the outer clean pass, [B, K]; None where there was none.
            adversarial_logits: of the outer attacked pass, [B, K], which normalises as training does.
        """
        flips = None if clean_logits is None else count_flips(clean_logits, adversarial_logits, self.labels)
        if self.counts:
            self._count(adversarial_logits)
        return Terms(
            loss,
            None if clean is None else clean.detach(),
            robust.detach(),
            flips,
            adversarial=self._adversarial,
            wrong_by_step=torch.stack(self._wrong) if self.counts else None,
        )

    def _counting(self, loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def counted(logits: Tensor) -> Tensor:
            self._count(logits)
            return loss(logits)

        return counted

    def _count(self, logits: Tensor) -> None:
        wrong = logits.detach().argmax(1) != classes_of(self.labels)
        self._wrong.append(wrong.float().mean())


def _starts_uniformly(attack: AttackSpec) -> bool:
    return attack.norm == "linf" and attack.random_start
