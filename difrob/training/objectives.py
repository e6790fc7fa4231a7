"""What one training step minimises, when no adversary is involved, and the form in which all objectives answer.

Labels are either classes, int64 [B], or distributions over the classes, float [B, K], as CutMix makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.ranks.shares import ALONE, Ranks


@dataclass(frozen=True)
class Terms:
    """The value of an objective on one batch; all are on the device, so nothing is waited for.

    Attributes:
        loss: what is minimised, with its graph, [].
        clean: part that clean images contribute, detached, []; None where they contribute none.
        robust: part of the attacked images before its weight, detached, []; None where the objective has none.
        flips: how many images were classified rightly without an attack, and how many of them the attack flipped, float32
            [2]; None without an attack, or where no clean pass was needed.
        alignment: 1 - cosine to a teacher's features before its weight, detached, []; None without a teacher.
        adversarial: what the attack, or the noise, made of the images, [B,C,H,W], a constant; None where neither is, and
            for a whole batch of pieces.
        wrong_by_step: share of the batch that is misclassified after 0, 1, ..., K steps of the attack, [K + 1]; None unless
            it was asked for.
    """

    loss: Tensor
    clean: Tensor | None = None
    robust: Tensor | None = None
    flips: Tensor | None = None
    alignment: Tensor | None = None
    adversarial: Tensor | None = None
    wrong_by_step: Tensor | None = None


def weighted_terms(parts: list[tuple[float, Terms]], ranks: Ranks = ALONE) -> Terms:
    """The terms of a whole batch from those of its pieces, given as (share of the batch, terms), here and on other ranks.

    Counts are added up; all else is a mean over the images.
    """
    if len(parts) == 1 and ranks.world == 1:
        return parts[0][1]

    def whole(name: str) -> Tensor | None:
        found = [(share, value) for share, terms in parts if (value := getattr(terms, name)) is not None]
        values = [value if name == "flips" else share * value for share, value in found]
        return torch.stack(values).sum(dim=0) if values else None

    names = ("loss", "clean", "robust", "flips", "alignment", "wrong_by_step")
    sums = {name: value.detach() for name in names if (value := whole(name)) is not None}
    ranks.add_up(list(sums.values()))
    return Terms(**sums)


def classes_of(labels: Tensor) -> Tensor:
    """The class of each image, int64 [B]: of a mixed label the one with the largest share."""
    return labels if labels.dim() == 1 else labels.argmax(dim=1)


def as_distribution(
    labels: Tensor, num_classes: int, label_smoothing: float = 0.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Labels as distributions, [B, K]: (1 - l) y + l / K."""
    target = (functional.one_hot(labels, num_classes) if labels.dim() == 1 else labels).to(dtype)
    return target * (1 - label_smoothing) + label_smoothing / num_classes


def count_flips(clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor) -> Tensor:
    """How many images are classified rightly without an attack, and how many of these not so under it, float32 [2]."""
    with torch.no_grad():
        classes = classes_of(labels)
        right = clean_logits.argmax(1) == classes
        flipped = right & (adversarial_logits.argmax(1) != classes)
        return torch.stack([right.sum(), flipped.sum()]).float()


def standard_loss(network: nn.Module, images: Tensor, labels: Tensor, *, label_smoothing: float) -> Terms:
    """Cross-entropy with the target (1 - l) y + l / K. One forward and one full backward pass.

    Args:
        network: [0,1] images to logits.
        images: [B, C, H, W] in [0,1].
        labels: int64 [B], or float [B, K].
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
        labels: int64 [B], or float [B, K].
        noise: standard normal draws [B, C, H, W].
        sigma: standard deviation in [0,1] intensity units.
        label_smoothing: l in [0, 1).
    """
    noisy = torch.add(images, noise, alpha=sigma)
    return replace(standard_loss(network, noisy, labels, label_smoothing=label_smoothing), adversarial=noisy)
