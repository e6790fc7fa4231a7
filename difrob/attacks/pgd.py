"""Projected gradient ascent (Madry et al. 2018) in the two forms that are needed.

:func:`maximise` carries every image through all steps and returns where it ends: the inner maximisation of adversarial
training. :func:`search` asks whether an image can be broken at all: it drops an image at its first success, so that an
evaluation is paid for by the images that hold out.

Both take the gradient with respect to the input alone; the gradients of the parameters are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from difrob.attacks.losses import AttackLoss
from difrob.attacks.projections import Ball


@dataclass(frozen=True)
class Verdict:
    """What :func:`search` found.

    Attributes:
        broken: bool [B], whether some iterate was misclassified.
        adversarial: [B, C, H, W], the first misclassified iterate, or the last iterate of an image that held out.
        steps_needed: int64 [B], gradient steps before the first success; -1 for an image that held out.
        forward, backward: int64 [B], passes through the network and backward passes to the input that it cost.
    """

    broken: Tensor
    adversarial: Tensor
    steps_needed: Tensor
    forward: Tensor
    backward: Tensor


def maximise(
    classifier: nn.Module, ball: Ball, start: Tensor, loss: Callable[[Tensor], Tensor], *, steps: int, step_size: float
) -> Tensor:
    """Climb a loss for a fixed number of steps; costs ``steps`` forward and as many backward passes per image.

    The mode of the network is the caller's choice.

    Args:
        classifier: [0,1] images to logits.
        ball: where the adversary may go, [B].
        start: starting points inside the ball, [B, C, H, W].
        loss: logits [B, K] to one value per image [B].
        steps, step_size: number and length of the steps, in [0,1] intensity units.

    Returns:
        The last iterate, [B, C, H, W], detached.
    """
    candidates = start.detach()
    for _ in range(steps):
        candidates.requires_grad_()
        with torch.enable_grad():
            total = loss(classifier(candidates)).sum()
        (gradients,) = torch.autograd.grad(total, candidates)
        candidates = ball.ascend(candidates.detach(), gradients, step_size)
    return candidates


def search(
    classifier: nn.Module,
    ball: Ball,
    start: Tensor,
    labels: Tensor,
    loss: AttackLoss,
    *,
    steps: int,
    step_size: float,
) -> Verdict:
    """Look for a misclassified point of each ball; an image counts as broken if any iterate is misclassified.

    The updates of different images do not depend on each other, so dropping an image at its first success changes no
    verdict. An image that holds out costs ``steps + 1`` forward and ``steps`` backward passes.

    Args:
        classifier: [0,1] images to logits, in evaluation mode.
        ball: where the adversary may go, [B].
        start: starting points inside the ball, [B, C, H, W].
        labels: int64 [B].
        loss: (logits, labels) to one value per image.
        steps, step_size: number and length of the steps, in [0,1] intensity units.
    """
    candidates = start.detach()
    adversarial = candidates.clone()
    steps_needed = torch.full_like(labels, -1)
    forward, backward = torch.zeros_like(labels), torch.zeros_like(labels)
    rows = torch.arange(len(labels), device=labels.device)  # the images still attacked

    for step in range(steps + 1):
        is_last = step == steps
        candidates.requires_grad_(not is_last)
        with torch.set_grad_enabled(not is_last):
            logits = classifier(candidates)
        forward[rows] += 1

        fooled = is_misclassified(logits, labels)
        open_rows = ~fooled
        adversarial[rows] = candidates.detach()
        steps_needed[rows[fooled]] = step
        number_open = int(open_rows.sum())
        if is_last or number_open == 0:
            break

        with torch.enable_grad():
            total = loss(logits, labels).sum()
        (gradients,) = torch.autograd.grad(total, candidates)
        backward[rows] += 1
        candidates = ball.ascend(candidates.detach(), gradients, step_size)
        if number_open < len(rows):
            ball, candidates = ball.take(open_rows), candidates[open_rows]
            labels, rows = labels[open_rows], rows[open_rows]

    return Verdict(steps_needed >= 0, adversarial, steps_needed, forward, backward)


def is_misclassified(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the largest logit is not the label's, bool [B]; false where the logits are not finite.

    Were NaN counted as a success, a network that overflows would look broken although nothing was shown.
    """
    return (logits.argmax(1) != labels) & logits.sum(1).isfinite()
