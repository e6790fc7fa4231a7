"""The training losses as their papers state them: references for the one objective that trains every denoiser."""

from __future__ import annotations

from torch import Tensor

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser


def edm_loss(denoiser: EDMDenoiser, u: Tensor, labels: Tensor | None, sigma: Tensor, noise: Tensor) -> Tensor:
    """Weighted squared error of each image (Karras et al. 2022, equation 8), averaged over its pixels.

    The weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 is 1 / c_out^2: every noise level starts at a loss near 1.

    Args:
        denoiser: the denoiser being trained.
        u: clean images in the diffusion range, [B,C,H,W].
        labels: int64 [B] in 0..K, or None.
        sigma: noise levels, [B].
        noise: standard normal, [B,C,H,W].

    Returns:
        [B].
    """
    v = u + sigma.reshape(-1, 1, 1, 1) * noise
    squared_error = (denoiser.denoise(v, sigma, labels) - u).square().flatten(1).mean(dim=1)
    weight = (sigma**2 + denoiser.sigma_data**2) / (sigma * denoiser.sigma_data) ** 2
    return weight * squared_error


def ddpm_loss(denoiser: DDPMDenoiser, u: Tensor, labels: Tensor | None, sigma: Tensor, noise: Tensor) -> Tensor:
    """Squared error of the predicted noise of each image, averaged over its pixels (Ho et al. 2020, equation 14).

    Since D - u = sigma (n - e), this is the squared error of the denoised image with the weight 1 / sigma^2. The weight
    of :func:`difrob.diffusion.edm.edm_loss` is 1 / sigma^2 + 1 / sigma_data^2: the same at small noise, larger from
    sigma_data on.

    Args:
        denoiser: the denoiser being trained.
        u: clean images in the diffusion range, [B,C,H,W].
        labels: int64 [B] in 0..K, or None.
        sigma: noise levels, [B].
        noise: n, standard normal, [B,C,H,W].

    Returns:
        [B].
    """
    v = u + sigma.reshape(-1, 1, 1, 1) * noise
    return (denoiser.predict_noise(v, sigma, labels) - noise).square().flatten(1).mean(dim=1)
