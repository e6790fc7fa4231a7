"""Losses that an adversary climbs. Each takes logits and returns one value per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

AttackLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, [B]. Its gradient vanishes where the network is certain; :func:`margin` has no such blind spot.

    Args:
        logits: [B, K].
        labels: int64 [B].
    """
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest wrong logit minus the right one, [B]; positive exactly where the image is misclassified.

    The margin loss of Carlini & Wagner 2017 (their f_6 with the sign turned, so that the adversary ascends).

    Args:
        logits: [B, K], K >= 2.
        labels: int64 [B].
    """
    right = logits.gather(1, labels[:, None]).squeeze(1)
    is_label = torch.zeros_like(logits, dtype=torch.bool).scatter(1, labels[:, None], True)
    return logits.masked_fill(is_label, -torch.inf).amax(1) - right


def kl_divergence(logits: Tensor, target_log_probabilities: Tensor) -> Tensor:
    """KL(q || p) with q given by its logarithm and p = softmax(logits), [B], in nats.

    The target enters as log q: where a probability underflows to 0, the form with q itself multiplies 0 by infinity in
    its gradient, while exp(log q) * (log q - log p) stays finite.

    Args:
        logits: [B, K].
        target_log_probabilities: log q, [B, K]; a gradient flows through it unless it is detached.
    """
    log_probabilities = functional.log_softmax(logits, dim=1)
    return functional.kl_div(log_probabilities, target_log_probabilities, reduction="none", log_target=True).sum(1)


LABEL_LOSSES: Mapping[str, AttackLoss] = {"cross_entropy": cross_entropy, "margin": margin}
