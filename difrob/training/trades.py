"""TRADES (Zhang et al. 2019, equation 3) in the form of Gowal et al. 2021 that Wang et al. 2023 train with.

    L = CE_ls(f(x), y) + beta KL(p(x) || p(x')),   x' = argmax of KL(p(x) || p(.)) in the ball, by K steps.

Cost per image: (K + 3) forward passes, K backward passes to the input and 2 full backward passes. The released scripts
of Zhang et al. need 2 K + 3 forward and 3 full backward ones for the same loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.attacks.losses import kl_divergence
from difrob.attacks.modes import frozen_statistics
from difrob.attacks.pgd import maximise
from difrob.attacks.projections import Ball
from difrob.attacks.starts import tiny_gaussian_start
from difrob.specs.parts import AttackSpec
from difrob.training.objectives import Terms


def draw_start_noise(attack: AttackSpec, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """The random numbers that :func:`trades_loss` starts its attack from, float32 of ``shape`` on the CPU."""
    if _starts_uniformly(attack):
        return torch.rand(shape, generator=source)
    return torch.randn(shape, generator=source)


def trades_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackSpec,
    beta: float,
    label_smoothing: float,
    start_noise: Tensor,
) -> Terms:
    """The TRADES objective on one batch.

    The attack sees the network in the mode it is in, with running statistics frozen; the two outer passes, clean first,
    are ordinary training passes. The gradient flows through both of them; x' is a constant.

    Args:
        network: [0,1] images to logits.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B].
        attack: ball, number and length of the steps.
        beta: weight of the robust term, at least 0.
        label_smoothing: l in the target (1 - l) onehot + l / K of the clean term.
        start_noise: from :func:`draw_start_noise`, on the device.
    """
    ball = Ball(images, norm=attack.norm, eps=attack.eps)
    start = ball.random_points(start_noise) if _starts_uniformly(attack) else tiny_gaussian_start(ball, start_noise)

    with frozen_statistics(network):
        with torch.no_grad():
            target = functional.log_softmax(network(images), dim=1)
        adversarial = maximise(
            network,
            ball,
            start,
            lambda logits: kl_divergence(logits, target),
            steps=attack.steps,
            step_size=attack.resolved_step_size,
        )

    clean_logits = network(images)
    adversarial_logits = network(adversarial)
    clean = functional.cross_entropy(clean_logits, labels, label_smoothing=label_smoothing)
    robust = kl_divergence(adversarial_logits, functional.log_softmax(clean_logits, dim=1)).mean()

    with torch.no_grad():
        right = clean_logits.argmax(1) == labels
        flipped = right & (adversarial_logits.argmax(1) != labels)
        attack_success = flipped.sum() / right.sum().clamp_min(1)
    return Terms(
        clean + beta * robust, clean.detach(), robust.detach(), attack_success, adversarial=adversarial.detach()
    )


def _starts_uniformly(attack: AttackSpec) -> bool:
    """An linf attack starts uniformly in its box; otherwise TRADES starts at x + 0.001 n, where KL has a gradient."""
    return attack.norm == "linf" and attack.random_start
