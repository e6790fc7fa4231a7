"""Classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from difrob.diffusion.denoiser import Denoiser
from difrob.errors import UserError


def guided(denoiser: Denoiser, v: Tensor, sigma: float, labels: Tensor | None, guidance_scale: float) -> Tensor:
    """The denoised estimate at one noise level under classifier-free guidance; both predictions in one network call.

    Args:
        denoiser: any denoiser.
        v: noisy images in the diffusion range, [B,C,H,W].
        sigma: their noise level.
        labels: int64 [B] in 0..K, or None for the null class.
        guidance_scale: w in D_null + w (D_class - D_null). 1 is plain conditional sampling, 0 unconditional
            (Ho & Salimans 2022, equation 6, whose w is ours minus 1).

    Raises:
        UserError: when the null class is needed and the denoiser has none.
    """
    levels = torch.full((len(v),), sigma, dtype=v.dtype, device=v.device)
    if labels is None or guidance_scale == 0:
        return denoiser.denoise(v, levels, None)
    if guidance_scale == 1:
        return denoiser.denoise(v, levels, labels)
    if not getattr(denoiser, "has_null_class", True):
        raise UserError(
            f"guidance_scale = {guidance_scale:g} needs a denoiser that also works without a class, and this one has no "
            "null class; leave the guidance scale at 1"
        )
    both_labels = torch.cat([labels, torch.full_like(labels, denoiser.num_classes)])
    both = denoiser.denoise(torch.cat([v, v]), torch.cat([levels, levels]), both_labels)
    with_class, without = both.chunk(2)
    return without + guidance_scale * (with_class - without)


def predictions_per_estimate(guidance_scale: float) -> int:
    """How often the network sees each image for one guided estimate of labelled images."""
    return 1 if guidance_scale in (0.0, 1.0) else 2
