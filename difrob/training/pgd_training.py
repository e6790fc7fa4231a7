"""PGD adversarial training (Madry et al. 2018, equation 2.1).

    L = CE_ls(f(x'), y),   x' = argmax of CE(f(.), y) in the ball, by K steps.

Cost per image: (K + 1) forward passes, K backward passes to the input and 1 full backward pass.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from difrob.specs.parts import AttackSpec
from difrob.training.inner_attack import InnerAttack, Statistics
from difrob.training.objectives import Terms


def pgd_training_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackSpec,
    label_smoothing: float,
    start_noise: Tensor,
    statistics: Statistics = "batch",
    counts: bool = False,
) -> Terms:
    """The cross-entropy of attacked images. No clean pass is made, so there is no clean term and no attack success.

    Args:
        network: [0,1] images to logits, in training mode.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B], or float [B, K].
        attack: ball, number and length of the steps.
        label_smoothing: l in the target (1 - l) y + l / K of the outer loss; the adversary climbs the plain one.
        start_noise: from :func:`~difrob.training.inner_attack.draw_start_noise`, on the device.
        statistics, counts: see :class:`~difrob.training.inner_attack.InnerAttack`.
    """
    inner = InnerAttack(network, images, labels, attack, start_noise, statistics, counts)
    with inner.mode():
        adversarial = inner.climb(
            lambda logits: functional.cross_entropy(logits, labels, reduction="none"), from_image=True
        )
    adversarial_logits = network(adversarial)
    loss = functional.cross_entropy(adversarial_logits, labels, label_smoothing=label_smoothing)
    return inner.terms(loss, clean=None, robust=loss, clean_logits=None, adversarial_logits=adversarial_logits)
