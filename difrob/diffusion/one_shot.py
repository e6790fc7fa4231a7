"""One-shot denoising in front of a classifier (Carlini et al. 2023, algorithm 1).

A denoiser takes the noise level itself, so no time step has to be searched for, and the level is met exactly; one on a
discrete schedule asks its network between two time steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from difrob.diffusion.denoiser import Denoiser, check_sigma


def one_shot_denoise(denoiser: Denoiser, x_noisy: Tensor, sigma: float) -> Tensor:
    """Estimate clean images from Gaussian noise of a known level with one call of the denoiser.

    The class is never given: a certificate must not know the label. Differentiable with respect to ``x_noisy``.

    Args:
        denoiser: any denoiser.
        x_noisy: x + sigma n with x in [0,1], float [B,C,H,W]; not clipped.
        sigma: standard deviation of the noise in [0,1] units, at least 0; it doubles in the diffusion range.

    Returns:
        Estimates in [0,1], [B,C,H,W].

    Raises:
        UserError: when the denoiser's schedule ends below this noise.
    """
    if sigma < 0:
        raise ValueError(f"sigma = {sigma} is negative")
    check_sigma(denoiser, 2 * sigma, f"lower sigma, which is {sigma:g} for images in [0,1]")
    levels = torch.full((len(x_noisy),), 2 * sigma, dtype=x_noisy.dtype, device=x_noisy.device)
    u = denoiser.denoise(2 * x_noisy - 1, levels, None)
    return (u.clamp(-1, 1) + 1) / 2
