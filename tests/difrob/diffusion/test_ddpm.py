"""The noise-predicting parameterisation against the ideal denoiser, and against EDM around the same ideal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.ideal_denoisers import GaussianDenoiser
from support.published_losses import ddpm_loss, edm_loss
from torch import Tensor, nn

from difrob.diffusion.ddpm import DDPMDenoiser, draw_step_sigma
from difrob.diffusion.edm import EDMDenoiser, draw_sigma
from difrob.diffusion.noise_schedules import NoiseSchedule, cosine_schedule, linear_schedule
from difrob.diffusion.one_shot import one_shot_denoise
from difrob.diffusion.samplers import sample, sigma_grid
from difrob.errors import UserError
from difrob.nets.residual_mlp import ResidualMLP, StraightMLP

SCHEDULE = linear_schedule(1000)
IDEAL = GaussianDenoiser([0.3, -0.6, 0.1], spread=0.4)


class IdealNetwork(nn.Module):
    """The raw network, in float64, whose denoiser is the ideal one; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.num_classes, self.image_shape = IDEAL.num_classes, IDEAL.image_shape

    def sigma(self, condition: Tensor) -> Tensor:
        return (4 * condition).exp()

    def forward(self, x: Tensor, condition: Tensor, labels: Tensor) -> Tensor:
        self.given = (x, condition, labels)
        return self.raw(x, self.sigma(condition).reshape(-1, 1, 1, 1), labels)

    def raw(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError

    def feature_modules(self) -> dict[str, nn.Module]:
        return {}


class IdealNoise(IdealNetwork):
    def raw(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        v = x * (1 + sigma**2).sqrt()
        return (v - IDEAL.denoise(v, sigma, labels)) / sigma


class IdealNoiseAtTimeSteps(IdealNoise):
    """Knows the time step only, like the networks of the first DDPMs."""

    takes_time_steps = True

    def sigma(self, condition: Tensor) -> Tensor:
        steps = np.arange(len(SCHEDULE))
        return torch.from_numpy(np.exp(np.interp(condition.numpy(), steps, np.log(SCHEDULE.sigmas))))


class IdealEDM(IdealNetwork):
    def raw(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        total = sigma**2 + 0.25
        v = x * total.sqrt()
        return (IDEAL.denoise(v, sigma, labels) - 0.25 / total * v) / (sigma * 0.5 / total.sqrt())


def noisy(levels: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    sigma = torch.tensor(levels, dtype=torch.float64)
    noise = torch.randn(len(levels), 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return 0.2 + sigma.reshape(-1, 1, 1, 1) * noise, sigma, torch.arange(len(levels)) % 3


def test_both_parameterisations_of_an_ideal_are_the_same_denoiser() -> None:
    v, sigma, labels = noisy([0.011, 0.05, 0.3, 1.0, 7.7, 80.0, 150.0])
    exact = IDEAL.denoise(v, sigma, labels)
    for denoiser in (
        EDMDenoiser(IdealEDM(), 0.5),
        DDPMDenoiser(IdealNoise(), SCHEDULE),
        DDPMDenoiser(IdealNoiseAtTimeSteps(), SCHEDULE),
    ):
        assert torch.allclose(denoiser.denoise(v, sigma, labels), exact, rtol=0, atol=1e-12)
        null = IDEAL.denoise(v, sigma, None)
        assert torch.allclose(denoiser.denoise(v, sigma), null, rtol=0, atol=1e-12)


def test_samplers_and_one_shot_denoising_take_either() -> None:
    edm, ddpm = EDMDenoiser(IdealEDM(), 0.5), DDPMDenoiser(IdealNoise(), SCHEDULE)
    noise, labels = torch.randn(5, 1, 2, 2), torch.arange(5) % 2
    grid = sigma_grid(9, 0.02, 80)
    images = [sample(denoiser, noise, labels, grid, guidance_scale=1.5) for denoiser in (edm, ddpm)]
    assert torch.allclose(*images, rtol=0, atol=1e-6)
    x_noisy = torch.rand(5, 1, 2, 2, dtype=torch.float64)
    once = [one_shot_denoise(denoiser, x_noisy, 0.25) for denoiser in (edm, ddpm)]
    assert torch.allclose(*once, rtol=0, atol=1e-12)


def test_what_the_network_is_given() -> None:
    network = IdealNoise()
    v, sigma, labels = noisy([0.02, 1.0, 50.0])
    DDPMDenoiser(network, SCHEDULE).denoise(v, sigma, labels)
    x, condition, given_labels = network.given
    assert torch.allclose(x, v / (1 + sigma.reshape(-1, 1, 1, 1) ** 2).sqrt()) and torch.equal(given_labels, labels)
    assert torch.allclose(condition, sigma.log() / 4)
    small = ResidualMLP((1, 2, 2), 2, 8, 1)
    assert DDPMDenoiser(small, SCHEDULE).denoise(v, sigma, labels).dtype == torch.float64
    assert DDPMDenoiser(small, SCHEDULE).denoise(v.float(), sigma, labels).dtype == torch.float32


@pytest.mark.parametrize("network", [IdealNoise(), IdealNoiseAtTimeSteps()])
def test_whole_steps_are_the_nearest_in_the_logarithm(network: IdealNetwork) -> None:
    steps = torch.tensor([0, 3, 500, 999])
    sigma = torch.from_numpy(SCHEDULE.sigmas)[steps]
    denoiser = DDPMDenoiser(network, SCHEDULE, whole_steps=True)
    for moved in (sigma, sigma * 1.0005, sigma / 1.0005):
        denoiser.denoise(torch.zeros(4, 1, 2, 2, dtype=torch.float64), moved)
        assert torch.allclose(network.sigma(network.given[1]), sigma, rtol=1e-10)


def test_outside_the_schedule_the_network_is_asked_at_its_end() -> None:
    network = IdealNoiseAtTimeSteps()
    denoiser = DDPMDenoiser(network, SCHEDULE)
    v = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    result = denoiser.denoise(v, torch.tensor([0.0, 1e-4, 1000.0], dtype=torch.float64))
    assert network.given[1].tolist() == [0, 0, 999]
    assert torch.equal(result[0], v[0]) and torch.allclose(result[1], v[1], atol=1e-3) and bool(result.isfinite().all())


def test_noise_beyond_the_schedule_is_refused_where_it_is_a_plain_number() -> None:
    denoiser = DDPMDenoiser(IdealNoise(), cosine_schedule(4))
    limit = denoiser.sigma_max
    with pytest.raises(UserError, match=r"beyond this denoiser, whose schedule ends at .*; lower sigma, which is"):
        one_shot_denoise(denoiser, torch.rand(1, 1, 2, 2), limit)
    assert one_shot_denoise(denoiser, torch.rand(1, 1, 2, 2), limit / 2).shape == (1, 1, 2, 2)


class TwiceTheChannels(IdealNoise):
    def forward(self, x: Tensor, condition: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([super().forward(x, condition, labels), torch.full_like(x, torch.nan)], dim=1)


def test_a_learned_variance_is_cut_off() -> None:
    v, sigma, labels = noisy([0.1, 1.0])
    result = DDPMDenoiser(TwiceTheChannels(), SCHEDULE).denoise(v, sigma, labels)
    assert torch.allclose(result, IDEAL.denoise(v, sigma, labels), atol=1e-12)


class WithoutNullClass(IdealNoise):
    has_null_class = False


def test_a_network_without_a_null_class_is_not_asked_for_it() -> None:
    v, sigma, labels = noisy([0.1, 1.0])
    denoiser = DDPMDenoiser(WithoutNullClass(), SCHEDULE)
    assert torch.allclose(denoiser.denoise(v, sigma, labels), IDEAL.denoise(v, sigma, labels))
    with pytest.raises(UserError, match="has no null class; give classes"):
        denoiser.denoise(v, sigma)
    with pytest.raises(UserError, match="guidance_scale = 2 needs a denoiser that also works without a class"):
        sample(denoiser, v, labels, sigma_grid(2), guidance_scale=2.0)


def test_labels_need_classes() -> None:
    denoiser = DDPMDenoiser(ResidualMLP((1, 2, 2), 0, 8, 1), SCHEDULE)
    with pytest.raises(ValueError, match="without classes"):
        denoiser.denoise(torch.zeros(1, 1, 2, 2), torch.ones(1), torch.zeros(1, dtype=torch.int64))


def test_the_loss_is_the_denoising_error_with_weight_one_over_variance() -> None:
    network = ResidualMLP((1, 2, 2), 0, 16, 1).double()
    nn.init.normal_(network.output.weight, std=0.3)
    denoiser = DDPMDenoiser(network, SCHEDULE)
    u, noise = torch.randn(2, 5, 1, 2, 2, dtype=torch.float64)
    sigma = torch.tensor([0.02, 0.1, 0.5, 2.0, 50.0], dtype=torch.float64)
    losses = ddpm_loss(denoiser, u, None, sigma, noise)
    error = (denoiser.denoise(u + sigma.reshape(-1, 1, 1, 1) * noise, sigma) - u).square().mean(dim=(1, 2, 3))
    assert torch.allclose(losses, error / sigma**2, rtol=1e-9)
    # The same denoising error weighs 1 + sigma^2 / sigma_data^2 times as much in the loss of EDM.
    edm = EDMDenoiser(network, 0.5)
    edm_error = (edm.denoise(u + sigma.reshape(-1, 1, 1, 1) * noise, sigma) - u).square().mean(dim=(1, 2, 3))
    ratio = edm_loss(edm, u, None, sigma, noise) / (edm_error / sigma**2)
    assert torch.allclose(ratio, 1 + sigma**2 / 0.25, rtol=1e-9)


def test_time_steps_of_training_are_uniform() -> None:
    schedule = cosine_schedule(20)
    sigma = draw_step_sigma(20_000, schedule, torch.Generator().manual_seed(0))
    counts = np.bincount(schedule.time_of(sigma).round().int().numpy(), minlength=20)
    assert sigma.dtype == torch.float32 and ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared, 19 d.f., 0.1 %
    assert torch.equal(sigma, draw_step_sigma(20_000, schedule, torch.Generator().manual_seed(0)))


def learnt(denoiser: EDMDenoiser | DDPMDenoiser, schedule: NoiseSchedule) -> float:
    """Root mean squared difference to the ideal denoiser of N(0.3, 0.4^2), relative to the ideal's own error."""
    ideal = GaussianDenoiser([0.3], 0.4, (2, 1, 1))
    random = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=1e-2)
    for step in range(200):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 + math.cos(math.pi * step / 200)) / 2
        u, noise = 0.3 + 0.4 * torch.randn(256, 2, 1, 1, generator=random), torch.randn(256, 2, 1, 1, generator=random)
        if isinstance(denoiser, EDMDenoiser):
            loss = edm_loss(denoiser, u, None, draw_sigma(256, -1.2, 1.2, random), noise).mean()
        else:
            loss = ddpm_loss(denoiser, u, None, draw_step_sigma(256, schedule, random), noise).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    sigma = torch.full((2000,), 0.4)
    v = 0.3 + (0.4**2 + 0.4**2) ** 0.5 * torch.randn(2000, 2, 1, 1, generator=random)
    with torch.no_grad():
        difference = (denoiser.denoise(v, sigma) - ideal.denoise(v, sigma)).square().mean().sqrt().item()
    return difference / (0.4**2 / 2) ** 0.5


def test_a_straight_network_learns_the_ideal_denoiser_in_either_parameterisation() -> None:
    schedule = linear_schedule(200)
    for wrap in (lambda network: EDMDenoiser(network, 0.5), lambda network: DDPMDenoiser(network, schedule)):
        torch.manual_seed(0)
        error = learnt(wrap(StraightMLP((2, 1, 1), 0, width=32, blocks=2)), schedule)
        assert error < 0.1
