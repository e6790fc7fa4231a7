"""What one training step minimises, when no adversary is involved, and the form in which all objectives answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Terms:
    """The value of an objective on one batch; all are scalars on the device, so nothing is waited for.

    Attributes:
        loss: what is minimised, with its graph.
        clean: cross-entropy part, detached.
        robust: robust part before its weight, detached; None where the objective has none.
        attack_success: share of the rightly classified images that the attack flipped; None without an attack.
        alignment: 1 - cosine to a teacher's features before its weight, detached; None without a teacher.
        adversarial: what the attack found, [B,C,H,W], a constant; None without an attack, and for a whole batch of pieces.
    """

    loss: Tensor
    clean: Tensor
    robust: Tensor | None = None
    attack_success: Tensor | None = None
    alignment: Tensor | None = None
    adversarial: Tensor | None = None


def weighted_terms(parts: list[tuple[float, Terms]]) -> Terms:
    """The terms of a whole batch from those of its pieces, given as (share of the batch, terms).

    The share of attacked images that were flipped is weighted alike, which is exact for one piece only: pieces differ a
    little in how many of their images were right.
    """
    if len(parts) == 1:
        return parts[0][1]

    def mean(name: str) -> Tensor | None:
        values = [share * value for share, terms in parts if (value := getattr(terms, name)) is not None]
        return torch.stack(values).sum() if values else None

    loss, clean = mean("loss"), mean("clean")
    assert loss is not None and clean is not None
    return Terms(loss.detach(), clean, mean("robust"), mean("attack_success"), mean("alignment"))


def standard_loss(network: nn.Module, images: Tensor, labels: Tensor, *, label_smoothing: float) -> Terms:
    """Cross-entropy with the target (1 - l) onehot + l / K.

    Args:
        network: [0,1] images to logits.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B].
        label_smoothing: l in [0, 1).
    """
    loss = functional.cross_entropy(network(images), labels, label_smoothing=label_smoothing)
    return Terms(loss, loss.detach())


def gaussian_loss(
    network: nn.Module, images: Tensor, labels: Tensor, *, noise: Tensor, sigma: float, label_smoothing: float
) -> Terms:
    """Cross-entropy under fresh Gaussian noise: the base classifier of smoothing (Cohen et al. 2019, section 3.3).

    The noise is added in [0,1] space and not clipped, exactly as at certification.

    Args:
        network: [0,1] images to logits.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B].
        noise: standard normal draws [B, C, H, W].
        sigma: standard deviation in [0,1] intensity units.
        label_smoothing: l in [0, 1).
    """
    return standard_loss(network, torch.add(images, noise, alpha=sigma), labels, label_smoothing=label_smoothing)
