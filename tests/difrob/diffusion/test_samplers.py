"""The sampler against the exact flow of Gaussians, and against the algorithm written out in NumPy."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ideal_denoisers import GaussianDenoiser

from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.samplers import guided, heun_sample, network_calls, sigma_grid, starting_noise
from difrob.errors import Stopped
from difrob.nets.denoisers import ResidualMLP


def test_the_grid_is_the_published_one() -> None:
    """Equation 5 with 40 digits, and two values known from the released code (57.586, 1.923)."""
    grid, root = sigma_grid(18), Decimal(1) / 7
    getcontext().prec = 40
    top, bottom = Decimal(80) ** root, Decimal("0.002") ** root
    exact = [(top + Decimal(i) / 17 * (bottom - top)) ** 7 for i in range(18)]
    assert grid == pytest.approx([*map(float, exact), 0.0], rel=1e-13)
    assert (round(grid[1], 3), round(grid[9], 3)) == (57.586, 1.923)


@given(steps=st.integers(2, 200), low=st.floats(1e-4, 0.1), span=st.floats(1.5, 1e5), rho=st.floats(1, 20))
def test_the_grid_falls_from_end_to_end(steps: int, low: float, span: float, rho: float) -> None:
    grid = sigma_grid(steps, low, low * span, rho)
    assert len(grid) == steps + 1 and grid[-1] == 0
    assert grid[0] == pytest.approx(low * span) and grid[-2] == pytest.approx(low)
    assert all(a > b for a, b in zip(grid, grid[1:], strict=False))


@pytest.mark.parametrize("bad", [(1, 0.1, 1.0, 7.0), (5, 1.0, 0.5, 7.0), (5, 0.0, 1.0, 7.0), (5, 0.1, 1.0, 0.0)])
def test_bad_grids_are_refused(bad: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no noise grid"):
        sigma_grid(*bad)


def test_heun_follows_the_exact_flow_with_second_order() -> None:
    denoiser = GaussianDenoiser([0.3, -0.2], spread=0.4)
    noise = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(6, dtype=torch.int64)
    exact = denoiser.flow(noise.double() * 80, 80, 0)
    errors = [
        (heun_sample(denoiser, noise, labels, sigma_grid(steps)).double() - exact).abs().max().item()
        for steps in (32, 64, 128)
    ]
    assert errors[2] < 1e-3
    assert 4 < errors[0] / errors[1] < 4.6 and 4 < errors[1] / errors[2] < 4.4


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
    result = heun_sample(denoiser, noise, torch.zeros(3, dtype=torch.int64), grid)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), v, rtol=1e-6)


def test_network_calls_are_counted_right() -> None:
    noise, labels = torch.randn(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    for scale in (0.0, 1.0, 1.5):
        denoiser = GaussianDenoiser([0.3, -0.2], 0.4)
        heun_sample(denoiser, noise, labels, sigma_grid(5), guidance_scale=scale)
        assert denoiser.calls == 9
        assert denoiser.rows == 4 * network_calls(5, scale)
    assert (network_calls(18), network_calls(18, 0.0), network_calls(18, 2.0)) == (35, 35, 70)


@given(scale=st.floats(0, 10))
def test_guidance_extrapolates_from_the_null_class(scale: float) -> None:
    denoiser = GaussianDenoiser([0.3, -0.5, 0.1], spread=0.4)
    v, labels = torch.randn(2, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1])
    levels = torch.full((2,), 0.7, dtype=torch.float64)
    with_class, without = denoiser.denoise(v, levels, labels), denoiser.denoise(v, levels, None)
    expected = (1 - scale) * without + scale * with_class
    assert torch.allclose(guided(denoiser, v, 0.7, labels, scale), expected, atol=1e-12)


def test_without_labels_the_null_class_is_sampled() -> None:
    denoiser = GaussianDenoiser([5.0, -0.2], spread=0.01)
    images = heun_sample(denoiser, torch.randn(8, 1, 2, 2), None, sigma_grid(40))
    assert (images + 0.2).abs().max() < 0.1


def test_callback_sees_every_step_and_can_stop() -> None:
    denoiser = GaussianDenoiser([0.3, -0.2], 0.4)
    noise, grid, seen = torch.randn(2, 1, 2, 2), sigma_grid(4), []
    final = heun_sample(denoiser, noise, None, grid, callback=lambda step, sigma, v: seen.append((step, sigma, v)))
    assert [(step, sigma) for step, sigma, _ in seen] == list(enumerate(grid[1:]))
    assert torch.equal(seen[-1][2].float(), final)

    def stop(step: int, sigma: float, state: torch.Tensor) -> None:
        raise Stopped("abort")

    denoiser.calls = 0
    with pytest.raises(Stopped):
        heun_sample(denoiser, noise, None, grid, callback=stop)
    assert denoiser.calls == 2


def test_starting_noise_belongs_to_the_image() -> None:
    whole = starting_noise(4, range(10), (1, 3, 3))
    assert torch.equal(starting_noise(4, [7, 2], (1, 3, 3)), whole[[7, 2]])
    assert not torch.equal(starting_noise(5, range(10), (1, 3, 3)), whole)


def test_images_of_a_network_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    denoiser = EDMDenoiser(ResidualMLP((1, 4, 4), 3, 32, 2), 0.5).eval()
    torch.nn.init.normal_(denoiser.network.output.weight, std=0.1)  # type: ignore[union-attr]
    noise, labels = starting_noise(0, range(33), (1, 4, 4)), torch.arange(33) % 3
    whole = heun_sample(denoiser, noise, labels, sigma_grid(8))
    pieces = [heun_sample(denoiser, n, y, sigma_grid(8)) for n, y in zip(noise.split(5), labels.split(5), strict=True)]
    assert torch.allclose(torch.cat(pieces), whole, atol=2e-5)
    assert whole.std() > 0.05 and not whole.requires_grad
