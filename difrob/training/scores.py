"""SCORE (Pang et al. 2022): TRADES with squared errors between softmax vectors instead of divergences ("LSE").

    L = |p(x) - y_ls|^2 + beta max(|p(x') - p(x)|^2 - c, 0),   x' = argmax of |p(.) - p(x)|^2 in the ball, by K steps.

Unlike a divergence, the squared error is a metric's square and bounded by 2, so a robust network can fit the data and be
invariant at once, and no image can dominate a batch. Cost as TRADES: (K + 3) forward passes, K backward passes to the input and
2 full backward passes; one forward pass less with mixed labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.specs.parts import AttackSpec
from difrob.training.inner_attack import InnerAttack, Statistics
from difrob.training.objectives import Terms, as_distribution


def score_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackSpec,
    beta: float,
    robust_clip: float,
    label_smoothing: float,
    start_noise: Tensor,
    statistics: Statistics = "batch",
    counts: bool = False,
) -> Terms:
    """The SCORE objective on one batch. Gradients flow through p(x) in both terms; x' is a constant.

    Args:
        network: [0,1] images to logits, in training mode.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B], or float [B, K].
        attack: ball, number and length of the steps.
        beta: weight of the robust term, at least 0.
        robust_clip: c >= 0; only what exceeds it is minimised, image by image.
        label_smoothing: l in the target (1 - l) y + l / K.
        start_noise: from :func:`~difrob.training.inner_attack.draw_start_noise`, on the device.
        statistics, counts: see :class:`~difrob.training.inner_attack.InnerAttack`.
    """
    inner = InnerAttack(network, images, labels, attack, start_noise, statistics, counts)
    with inner.mode():
        if labels.dim() == 2:
            anchor = labels
        else:
            with torch.no_grad():
                anchor = functional.softmax(network(images), dim=1)
        adversarial = inner.climb(lambda logits: squared_error(functional.softmax(logits, dim=1), anchor))

    clean_logits = network(images)
    adversarial_logits = network(adversarial)
    probabilities = functional.softmax(clean_logits, dim=1)
    target = as_distribution(labels, probabilities.shape[1], label_smoothing, probabilities.dtype)
    clean = squared_error(probabilities, target).mean()
    change = squared_error(functional.softmax(adversarial_logits, dim=1), probabilities)
    robust = functional.relu(change - robust_clip).mean()
    return inner.terms(
        clean + beta * robust,
        clean=clean,
        robust=robust,
        clean_logits=clean_logits,
        adversarial_logits=adversarial_logits,
    )


def squared_error(first: Tensor, second: Tensor) -> Tensor:
    """Squared l2 distance of distributions [B, K], [B]; between 0 and 2."""
    return (first - second).square().sum(dim=1)
