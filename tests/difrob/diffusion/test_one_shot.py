"""One-shot denoising: units, clipping, the null class, gradients."""

from __future__ import annotations

import pytest
import torch
from support.ideal_denoisers import GaussianDenoiser

from difrob.diffusion.one_shot import one_shot_denoise


def test_noise_of_unit_intensity_is_twice_as_large_in_the_diffusion_range() -> None:
    """Closed form for x ~ N(0.6, 0.15^2): u ~ N(0.2, 0.3^2), and the posterior mean is the same in either range."""
    denoiser = GaussianDenoiser([-9.0, 0.2], spread=0.3)
    x_noisy = torch.rand(5, 1, 2, 2, dtype=torch.float64)
    sigma = 0.25
    expected = (0.15**2 * x_noisy + sigma**2 * 0.6) / (0.15**2 + sigma**2)
    assert torch.allclose(one_shot_denoise(denoiser, x_noisy, sigma), expected, atol=1e-12)


def test_estimates_stay_in_the_unit_interval() -> None:
    denoiser = GaussianDenoiser([0.0, 0.0], spread=100.0)
    x_noisy = torch.tensor([-3.0, 0.25, 0.5, 4.0]).reshape(1, 1, 2, 2)
    assert torch.allclose(
        one_shot_denoise(denoiser, x_noisy, 0.01).flatten(), torch.tensor([0, 0.25, 0.5, 1]), atol=1e-3
    )


def test_zero_noise_and_negative_noise() -> None:
    denoiser = GaussianDenoiser([0.0, 0.5], spread=0.3)
    x = torch.rand(3, 1, 2, 2)
    assert torch.allclose(one_shot_denoise(denoiser, x, 0.0), x, atol=1e-6)
    with pytest.raises(ValueError, match="negative"):
        one_shot_denoise(denoiser, x, -0.1)


def test_gradients_reach_the_noisy_image() -> None:
    denoiser = GaussianDenoiser([0.0, 0.0], spread=0.5)
    x_noisy = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64, requires_grad=True)
    one_shot_denoise(denoiser, x_noisy, 0.25).sum().backward()
    assert torch.allclose(x_noisy.grad, torch.full_like(x_noisy, 0.5))  # 0.5^2 / (0.5^2 + (2 * 0.25)^2)
