"""MART, misclassification-aware adversarial training (Wang et al. 2020, equation 11).

    L = BCE(p(x'), y) + beta mean[ KL(p(x) || p(x')) (1 - p_y(x)) ],   x' = argmax of CE(f(.), y) in the ball, by K steps,
    BCE(p, y) = -log p_y - log(1 - max over k != y of p_k).

Cost per image: (K + 2) forward passes, K backward passes to the input and 2 full backward passes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.attacks.losses import kl_divergence
from difrob.specs.parts import AttackSpec
from difrob.training.inner_attack import InnerAttack, Statistics
from difrob.training.objectives import Terms


def mart_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AttackSpec,
    beta: float,
    start_noise: Tensor,
    statistics: Statistics = "batch",
    counts: bool = False,
) -> Terms:
    """The MART objective on one batch. Gradients flow through p(x) in both of its places, as in the released code.

    Args:
        network: [0,1] images to logits, in training mode.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B].
        attack: ball, number and length of the steps.
        beta: weight of the robust term, at least 0 (lambda in the paper).
        start_noise: from :func:`~difrob.training.inner_attack.draw_start_noise`, on the device.
        statistics, counts: see :class:`~difrob.training.inner_attack.InnerAttack`.

    Returns:
        Terms whose ``clean`` is None: the first term is about attacked images, too. ``robust`` is the weighted divergence.
    """
    if labels.dim() != 1:
        raise ValueError("MART compares one class with the others; mixed labels have none")
    inner = InnerAttack(network, images, labels, attack, start_noise, statistics, counts)
    with inner.mode():
        adversarial = inner.climb(
            lambda logits: functional.cross_entropy(logits, labels, reduction="none"), from_image=True
        )
    clean_logits = network(images)
    adversarial_logits = network(adversarial)
    clean_log = functional.log_softmax(clean_logits, dim=1)
    doubt = -torch.expm1(clean_log.gather(1, labels[:, None]).squeeze(1))
    robust = (kl_divergence(adversarial_logits, clean_log) * doubt).mean()
    boosted = boosted_cross_entropy(adversarial_logits, labels).mean()
    return inner.terms(
        boosted + beta * robust,
        clean=None,
        robust=robust,
        clean_logits=clean_logits,
        adversarial_logits=adversarial_logits,
    )


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p_y - log(1 - p_k), k the likeliest wrong class, [B].

    1 - p_k is summed from the other probabilities in logarithms. The released code adds 1e-4 inside the logarithm instead,
    because 1 - p_k is 0 in float32 where the network is certain of the wrong class.

    Args:
        logits: [B, K].
        labels: int64 [B].
    """
    log_probabilities = functional.log_softmax(logits, dim=1)
    right = log_probabilities.gather(1, labels[:, None]).squeeze(1)
    wrong = log_probabilities.detach().scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    others = log_probabilities.scatter(1, wrong[:, None], -torch.inf)
    return -right - torch.logsumexp(others, dim=1)
