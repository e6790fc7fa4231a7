"""Preconditioning and loss against the paper's formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.published_losses import edm_loss

from difrob.diffusion.edm import EDMDenoiser, draw_sigma, preconditioning
from difrob.nets.residual_mlp import ResidualMLP


class Recorded(torch.nn.Module):
    """A raw network that keeps what it was given."""

    num_classes, image_shape = 3, (1, 2, 2)

    def forward(self, x: torch.Tensor, c_noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.given = (x, c_noise, labels)
        return 0.5 * x + 0.25


@given(sigma=st.floats(1e-3, 100), sigma_data=st.floats(0.1, 2))
def test_coefficients_keep_input_and_target_at_unit_variance(sigma: float, sigma_data: float) -> None:
    c = preconditioning(torch.tensor([sigma], dtype=torch.float64), sigma_data)
    skip, out, into, noise = (float(part) for part in c)
    assert into**2 * (sigma_data**2 + sigma**2) == pytest.approx(1)
    # The target of F is (u - c_skip (u + sigma n)) / c_out: variance (1 - skip)^2 sd^2 + skip^2 sigma^2, over out^2.
    assert ((1 - skip) ** 2 * sigma_data**2 + skip**2 * sigma**2) / out**2 == pytest.approx(1)
    assert noise == pytest.approx(math.log(sigma) / 4)


def test_denoise_is_the_preconditioned_network() -> None:
    denoiser = EDMDenoiser(Recorded(), sigma_data=0.5)  # type: ignore[arg-type]
    v = torch.randn(4, 1, 2, 2, dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.3, 2.0, 80.0], dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3])
    result = denoiser.denoise(v, sigma, labels)
    s = sigma.reshape(-1, 1, 1, 1)
    total = s**2 + 0.25
    x = v / total.sqrt()
    expected = 0.25 / total * v + s * 0.5 / total.sqrt() * (0.5 * x + 0.25)
    assert result.dtype == torch.float64 and torch.allclose(result, expected, atol=1e-5)
    given_x, c_noise, given_labels = denoiser.network.given  # type: ignore[union-attr]
    assert given_x.dtype == torch.float32 and torch.allclose(given_x.double(), x, atol=1e-6)
    assert torch.allclose(c_noise.double(), sigma.log() / 4) and torch.equal(given_labels, labels)


def test_labels_default_to_the_null_class_and_need_classes() -> None:
    denoiser = EDMDenoiser(Recorded(), 0.5)  # type: ignore[arg-type]
    denoiser.denoise(torch.zeros(2, 1, 2, 2), torch.ones(2))
    assert denoiser.network.given[2].tolist() == [3, 3]  # type: ignore[union-attr]
    classless = EDMDenoiser(ResidualMLP((1, 2, 2), 0, 8, 1), 0.5)
    assert classless.denoise(torch.zeros(2, 1, 2, 2), torch.ones(2)).shape == (2, 1, 2, 2)
    with pytest.raises(ValueError, match="without classes"):
        classless.denoise(torch.zeros(2, 1, 2, 2), torch.ones(2), torch.zeros(2, dtype=torch.int64))


def test_without_noise_the_denoiser_is_the_identity() -> None:
    denoiser = EDMDenoiser(Recorded(), 0.5)  # type: ignore[arg-type]
    v = torch.randn(3, 1, 2, 2)
    assert torch.equal(denoiser.denoise(v, torch.zeros(3)), v)


def test_loss_is_the_weighted_error_of_each_image() -> None:
    denoiser = EDMDenoiser(Recorded(), 0.5)  # type: ignore[arg-type]
    u, noise = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2)
    sigma = torch.tensor([0.01, 0.1, 0.5, 2.0, 50.0])
    losses = edm_loss(denoiser, u, None, sigma, noise)
    for row in range(5):
        s = float(sigma[row])
        v = u[row] + s * noise[row]
        error = denoiser.denoise(v[None], sigma[row : row + 1])[0] - u[row]
        weight = (s**2 + 0.25) / (s * 0.5) ** 2
        assert losses[row].item() == pytest.approx(weight * error.double().square().mean().item(), rel=2e-3)


def test_an_untrained_network_has_loss_one_at_every_noise_level() -> None:
    """With F = 0 and data of variance sigma_data^2 the expected loss is exactly 1: nothing dominates at the start."""
    denoiser = EDMDenoiser(ResidualMLP((1, 8, 8), 0, 8, 1), sigma_data=0.5)
    random = torch.Generator().manual_seed(0)
    u = 0.5 * torch.randn(2000, 1, 8, 8, generator=random)
    noise = torch.randn(2000, 1, 8, 8, generator=random)
    for level in (0.01, 0.1, 1.0, 10.0):
        loss = edm_loss(denoiser, u, None, torch.full((2000,), level), noise).mean().item()
        assert loss == pytest.approx(1, abs=0.02)


def test_noise_levels_of_training_are_log_normal() -> None:
    log_sigma = draw_sigma(20_000, -1.2, 1.2, torch.Generator().manual_seed(0)).log()
    assert log_sigma.mean().item() == pytest.approx(-1.2, abs=0.03)
    assert log_sigma.std().item() == pytest.approx(1.2, abs=0.03)
