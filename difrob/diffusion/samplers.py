"""Drawing images: the deterministic Heun sampler of EDM, with classifier-free guidance.

The loop never waits for the device: the noise grid is plain numbers on the host, and nothing is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from difrob.diffusion.edm import Denoiser
from difrob.randomness import normal_per_sample

SamplerCallback = Callable[[int, float, Tensor], None]


def sigma_grid(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> list[float]:
    """Noise levels s_0 > ... > s_{N-1} > s_N = 0 (Karras et al. 2022, equation 5).

    s_i = (s_max^(1/rho) + i/(N-1) (s_min^(1/rho) - s_max^(1/rho)))^rho.

    Args:
        steps: N, at least 2.
        sigma_min, sigma_max: ends of the grid in the diffusion range.
        rho: curvature; larger means more steps at low noise.

    Returns:
        N + 1 numbers, exact to double precision.
    """
    if steps < 2 or not 0 < sigma_min < sigma_max or rho <= 0:
        raise ValueError(f"no noise grid with steps = {steps}, {sigma_min} < sigma < {sigma_max}, rho = {rho}")
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    grid = [(top + i / (steps - 1) * (bottom - top)) ** rho for i in range(steps)]
    return [*grid, 0.0]


def network_calls(steps: int, guidance_scale: float = 1.0) -> int:
    """How often the network sees each image: 2N - 1, and twice that when guidance needs both predictions."""
    return (2 * steps - 1) * (1 if guidance_scale in (0.0, 1.0) else 2)


def starting_noise(
    seed: int,
    indices: Sequence[int] | np.ndarray | Tensor,
    image_shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise [n,C,H,W] of the images with these indices, whatever their class and their batch."""
    return normal_per_sample(seed, "starting_noise", indices, image_shape).to(device)


def heun_sample(
    denoiser: Denoiser,
    noise: Tensor,
    labels: Tensor | None,
    sigmas: Sequence[float],
    *,
    guidance_scale: float = 1.0,
    callback: SamplerCallback | None = None,
) -> Tensor:
    """Draw images with Heun's method, without churn (Karras et al. 2022, algorithm 1).

    The state is float64 and the network float32; on devices without float64 (Apple's) the state is float32.

    Args:
        denoiser: any denoiser.
        noise: standard normal starting noise, [B,C,H,W]; it sets the device.
        labels: int64 [B] in 0..K, or None for the null class.
        sigmas: the noise grid of :func:`sigma_grid`, ending with 0.
        guidance_scale: w in D_null + w (D_class - D_null). 1 is plain conditional sampling, 0 unconditional
            (Ho & Salimans 2022, equation 6, whose w is ours minus 1).
        callback: called after each step with its number (from 0), the noise level reached and the state; whatever it
            raises ends the sampling.

    Returns:
        The images in the diffusion range, float32 [B,C,H,W]; not clipped.
    """
    double = torch.float32 if noise.device.type == "mps" else torch.float64
    with torch.no_grad():
        v = noise.to(double) * sigmas[0]
        for step, (here, there) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
            slope = (v - guided(denoiser, v, here, labels, guidance_scale)) / here
            predicted = v + (there - here) * slope
            if there > 0:
                slope_there = (predicted - guided(denoiser, predicted, there, labels, guidance_scale)) / there
                predicted = v + (there - here) * (slope + slope_there) / 2
            v = predicted
            if callback is not None:
                callback(step, there, v)
    return v.float()


def guided(denoiser: Denoiser, v: Tensor, sigma: float, labels: Tensor | None, guidance_scale: float) -> Tensor:
    """The denoised estimate at one noise level under classifier-free guidance; both predictions in one network call."""
    levels = torch.full((len(v),), sigma, dtype=v.dtype, device=v.device)
    if labels is None or guidance_scale == 0:
        return denoiser.denoise(v, levels, None)
    if guidance_scale == 1:
        return denoiser.denoise(v, levels, labels)
    both_labels = torch.cat([labels, torch.full_like(labels, denoiser.num_classes)])
    both = denoiser.denoise(torch.cat([v, v]), torch.cat([levels, levels]), both_labels)
    with_class, without = both.chunk(2)
    return without + guidance_scale * (with_class - without)
