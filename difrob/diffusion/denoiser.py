"""What every denoiser offers, whatever its network predicts, and the few rules that all of them share."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from difrob.errors import UserError


class Denoiser(Protocol):
    """Anything that estimates the clean image from a noisy one.

    A denoiser may also have ``sigma_max``, the largest noise level it knows (:func:`largest_sigma`), and
    ``has_null_class``, false where it cannot work without a class.

    Attributes:
        num_classes: K, which is also the label of the null class; 0 for a denoiser without classes.
        image_shape: (C, H, W).
    """

    num_classes: int
    image_shape: tuple[int, int, int]

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """Estimate u from v = u + sigma n.

        Args:
            v: noisy images in the diffusion range, [B,C,H,W].
            sigma: noise levels in the diffusion range, [B].
            labels: int64 [B] in 0..K, K for the null class; None for the null class throughout.

        Returns:
            The estimate, [B,C,H,W], of v's type; not clipped.
        """
        ...


def largest_sigma(denoiser: Denoiser) -> float:
    """The largest noise level that the denoiser has an answer for, in the diffusion range; infinite for an EDM."""
    return float(getattr(denoiser, "sigma_max", math.inf))


def check_sigma(denoiser: Denoiser, sigma: float, mend: str) -> None:
    """Refuse a noise level that lies beyond the denoiser's schedule.

    The level is a plain number, so that nothing has to be read back from the device.

    Args:
        denoiser: any denoiser.
        sigma: noise level in the diffusion range.
        mend: what to lower, as it stands at the end of the message.

    Raises:
        UserError: naming both levels and the mend.
    """
    limit = largest_sigma(denoiser)
    # The schedule's own last level comes back from a grid with a rounding error or two.
    if sigma > limit * (1 + 1e-9):
        raise UserError(
            f"noise of standard deviation {sigma:.4g} in the range [-1,1] is beyond this denoiser, whose schedule ends "
            f"at {limit:.4g}; {mend}"
        )


def network_type(network: Any) -> torch.dtype:
    """The floating-point type of a raw network's weights, in which it computes; float32 for one without weights."""
    if isinstance(network, nn.Module):
        for tensor in network.parameters():
            if tensor.is_floating_point():
                return tensor.dtype
    return torch.float32


def class_labels(network: Any, v: Tensor, labels: Tensor | None) -> Tensor:
    """The labels that the raw network sees: those given, or the null class for every row of v.

    Raises:
        ValueError: for labels when the network knows no classes.
        UserError: without labels when the network was never taught to do without.
    """
    if labels is None:
        if not getattr(network, "has_null_class", True):
            raise UserError(
                "this network was trained with a class for every image and has no null class; give classes, and leave "
                "the guidance scale at 1"
            )
        return torch.full((len(v),), network.num_classes, dtype=torch.int64, device=v.device)
    if network.num_classes == 0:
        raise ValueError("this denoiser was trained without classes and takes no labels")
    return labels
