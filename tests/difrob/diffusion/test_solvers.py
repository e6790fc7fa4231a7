"""The solvers against the exact flow of Gaussians, the published algorithms written out, and another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from support.ideal_denoisers import GaussianDenoiser

from difrob.diffusion.noise_schedules import cosine_schedule, linear_schedule
from difrob.diffusion.samplers import SamplerOptions, sample, sigma_grid
from difrob.diffusion.sigma_grids import schedule_grid, schedule_times
from difrob.randomness import normal_per_sample

SPREAD, MEAN = 0.4, 0.3


class TwoPoints:
    """The ideal denoiser of data that is +0.7 or -0.7 in each pixel: far from linear."""

    num_classes, image_shape = 0, (1, 2, 2)

    def denoise(self, v: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return 0.7 * (0.7 * v / sigma.reshape(-1, 1, 1, 1) ** 2).tanh()


def seeded_noise(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm_solver_2m", 2)])
def test_errors_fall_with_the_order_of_the_solver(sampler: str, order: int, to_zero: bool) -> None:
    denoiser, noise = GaussianDenoiser([MEAN, -0.2], SPREAD), seeded_noise(6)
    labels, errors = torch.zeros(6, dtype=torch.int64), []
    for steps in (32, 64, 128):
        grid = sigma_grid(steps) if to_zero else sigma_grid(steps + 1, 0.05, 10)[:-1]
        exact = denoiser.flow(noise.double() * grid[0], grid[0], 0, grid[-1])
        drawn = sample(denoiser, noise, labels, grid, sampler=sampler)
        errors.append((drawn.double() - exact).abs().max().item())
    measured = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert errors[-1] < (0.03 if order == 1 else 1e-3)
    assert all(abs(found - order) < 0.2 for found in measured)


def test_heun_equals_the_algorithm_written_out() -> None:
    denoiser = GaussianDenoiser([0.3, -0.2], spread=0.4)
    noise = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    grid = sigma_grid(7)
    v = noise.double().numpy() * grid[0]

    def ideal(state: np.ndarray, s: float) -> np.ndarray:
        return (0.16 * state + s**2 * 0.3) / (0.16 + s**2)

    for i in range(7):
        d = (v - ideal(v, grid[i])) / grid[i]
        ahead = v + (grid[i + 1] - grid[i]) * d
        if i < 6:
            d_ahead = (ahead - ideal(ahead, grid[i + 1])) / grid[i + 1]
            ahead = v + (grid[i + 1] - grid[i]) * (d + d_ahead) / 2
        v = ahead
    result = sample(denoiser, noise, torch.zeros(3, dtype=torch.int64), grid)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), v, rtol=1e-6)


def test_churned_heun_equals_the_algorithm_written_out() -> None:
    noise, index, steps = seeded_noise(3), [4, 0, 9], 7
    options = SamplerOptions(churn=2.0, churn_from=0.05, churn_to=50, churn_noise=1.007)
    grid = sigma_grid(steps)
    v = noise.double().numpy() * grid[0]

    def slope(state: np.ndarray, s: float) -> np.ndarray:
        return (state - (SPREAD**2 * state + s**2 * MEAN) / (SPREAD**2 + s**2)) / s

    for i in range(steps):
        gamma = min(2.0 / steps, 2**0.5 - 1) if 0.05 <= grid[i] <= 50 else 0.0
        lifted = grid[i] * (1 + gamma)
        fresh = normal_per_sample(8, ("sampler_noise", i), index, (1, 2, 2)).double().numpy()
        v = v + (lifted**2 - grid[i] ** 2) ** 0.5 * 1.007 * fresh
        d = slope(v, lifted)
        ahead = v + (grid[i + 1] - lifted) * d
        v = v + (grid[i + 1] - lifted) * (d + slope(ahead, grid[i + 1])) / 2 if i < steps - 1 else ahead
    result = sample(GaussianDenoiser([MEAN], SPREAD), noise, None, grid, options=options, index=index, seed=8)
    np.testing.assert_allclose(result.numpy(), v, rtol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_equals_the_update_of_the_variance_preserving_state(eta: float) -> None:
    """Song et al. 2021, equations 12 and 16, in the state x_t = sqrt(abar_t) u + sqrt(1 - abar_t) n."""
    schedule, noise, index = linear_schedule(50), seeded_noise(3), [4, 0, 9]
    times, abar = schedule_times(schedule, 6), np.exp(schedule.log_alpha_bar)
    x = noise.double().numpy() * math.sqrt(1 - abar[times[0]])
    for i, t in enumerate(times):
        left, before = abar[t], abar[times[i + 1]] if i + 1 < len(times) else 1.0
        variance = (1 - left) / left
        v = x / math.sqrt(left)
        u = (SPREAD**2 * v + variance * MEAN) / (SPREAD**2 + variance)
        e = (x - math.sqrt(left) * u) / math.sqrt(1 - left)
        random = eta * math.sqrt((1 - before) / (1 - left)) * math.sqrt(1 - left / before)
        fresh = normal_per_sample(2, ("sampler_noise", i), index, (1, 2, 2)).double().numpy()
        x = math.sqrt(before) * u + math.sqrt(1 - before - random**2) * e + random * fresh
    result = sample(
        GaussianDenoiser([MEAN], SPREAD),
        noise,
        None,
        schedule_grid(schedule, 6),
        sampler="ddim",
        options=SamplerOptions(eta=eta),
        index=index,
        seed=2,
    )
    np.testing.assert_allclose(result.numpy(), x, rtol=1e-6)


def test_ancestral_sampling_draws_from_the_published_posterior() -> None:
    """Ho et al. 2020, equations 6 and 7, over the whole chain."""
    schedule, noise, index = cosine_schedule(12), seeded_noise(3), [4, 0, 9]
    abar, betas = np.exp(schedule.log_alpha_bar), schedule.betas
    x = noise.double().numpy() * math.sqrt(1 - abar[-1])
    for i, t in enumerate(reversed(range(12))):
        before = abar[t - 1] if t else 1.0
        variance = (1 - abar[t]) / abar[t]
        u = (SPREAD**2 * x / math.sqrt(abar[t]) + variance * MEAN) / (SPREAD**2 + variance)
        of_u = math.sqrt(before) * betas[t] / (1 - abar[t])
        of_x = math.sqrt(1 - betas[t]) * (1 - before) / (1 - abar[t])
        std = math.sqrt((1 - before) / (1 - abar[t]) * betas[t])
        fresh = normal_per_sample(2, ("sampler_noise", i), index, (1, 2, 2)).double().numpy()
        x = of_u * u + of_x * x + std * fresh
    denoiser = GaussianDenoiser([MEAN], SPREAD)
    result = sample(denoiser, noise, None, schedule_grid(schedule, 12), sampler="ddpm", index=index, seed=2)
    np.testing.assert_allclose(result.numpy(), x, rtol=1e-6)


@pytest.mark.parametrize("denoiser", [GaussianDenoiser([MEAN], SPREAD), TwoPoints()])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 25])
def test_dpm_solver_equals_that_of_diffusers(denoiser: GaussianDenoiser | TwoPoints, steps: int) -> None:
    schedule, noise = linear_schedule(1000), seeded_noise(4)
    times, grid = schedule_times(schedule, steps), schedule_grid(schedule, steps)
    other = DPMSolverMultistepScheduler(
        trained_betas=schedule.betas.tolist(),
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        prediction_type="epsilon",
        final_sigmas_type="zero",
    )
    other.set_timesteps(timesteps=times)
    v = noise.double() * grid[0]
    x = v / math.sqrt(1 + grid[0] ** 2)
    for time, sigma in zip(other.timesteps, grid, strict=False):
        v = x * math.sqrt(1 + sigma**2)
        clean = denoiser.denoise(v, torch.full((4,), sigma, dtype=torch.float64))
        x = other.step((v - clean) / sigma, time, x).prev_sample
    result = sample(denoiser, noise, None, grid, sampler="dpm_solver_2m")
    assert torch.allclose(result.double(), x.double(), rtol=0, atol=2e-4)  # diffusers keeps its levels in float32


def test_euler_is_ddim_without_noise() -> None:
    denoiser, noise, grid = TwoPoints(), seeded_noise(4), sigma_grid(6)
    assert torch.equal(
        sample(denoiser, noise, None, grid, sampler="euler"), sample(denoiser, noise, None, grid, sampler="ddim")
    )
