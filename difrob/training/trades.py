"""TRADES (Zhang et al. 2019, equation 3) in the form of Gowal et al. 2021 that Wang et al. 2023 train with.

    L = CE_ls(f(x), y) + beta KL(p(x) || p(x')),   x' = argmax of KL(p(x) || p(.)) in the ball, by K steps.

Cost per image: (K + 3) forward passes, K backward passes to the input and 2 full backward passes. The released scripts
of Zhang et al. need 2 K + 3 forward and 3 full backward ones for the same loss. With mixed labels the label itself takes the
place of the clean prediction in the attack, as released by Wang et al., which saves one forward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.attacks.losses import kl_divergence
from difrob.specs.parts import AttackSpec
from difrob.training.inner_attack import InnerAttack, Statistics, draw_start_noise
from difrob.training.objectives import Terms

__all__ = ["draw_start_noise", "trades_loss"]


def trades_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackSpec,
    beta: float,
    label_smoothing: float,
    start_noise: Tensor,
    statistics: Statistics = "batch",
    counts: bool = False,
) -> Terms:
    """The TRADES objective on one batch.

    The two outer passes, clean first, are ordinary training passes. The gradient flows through both of them; x' is a
    constant.

    Args:
        network: [0,1] images to logits, in training mode.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B], or float [B, K].
        attack: ball, number and length of the steps.
        beta: weight of the robust term, at least 0.
        label_smoothing: l in the target (1 - l) y + l / K of the clean term.
        start_noise: from :func:`draw_start_noise`, on the device.
        statistics, counts: see :class:`~difrob.training.inner_attack.InnerAttack`.
    """
    inner = InnerAttack(network, images, labels, attack, start_noise, statistics, counts)
    with inner.mode():
        if labels.dim() == 2:
            # KL(y || p) up to the entropy of y, which no x' changes; y has zeros, whose logarithm must not be taken.
            adversarial = inner.climb(lambda logits: functional.cross_entropy(logits, labels, reduction="none"))
        else:
            with torch.no_grad():
                target = functional.log_softmax(network(images), dim=1)
            adversarial = inner.climb(lambda logits: kl_divergence(logits, target))

    clean_logits = network(images)
    adversarial_logits = network(adversarial)
    clean = functional.cross_entropy(clean_logits, labels, label_smoothing=label_smoothing)
    robust = kl_divergence(adversarial_logits, functional.log_softmax(clean_logits, dim=1)).mean()
    return inner.terms(
        clean + beta * robust,
        clean=clean,
        robust=robust,
        clean_logits=clean_logits,
        adversarial_logits=adversarial_logits,
    )
