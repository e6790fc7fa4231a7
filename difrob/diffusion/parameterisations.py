"""EDM or DDPM, as a specification chooses: what a training must know of either, behind one face.

Both train D(v; sigma) by a weighted squared error at random noise levels; they differ in what is wrapped around the
network, in how often each noise level comes, and in the weight.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from difrob.diffusion.ddpm import DDPMDenoiser, draw_step_sigma, noise_weight
from difrob.diffusion.edm import EDMDenoiser, draw_sigma, edm_weight
from difrob.diffusion.noise_schedules import NoiseSchedule, noise_schedule
from difrob.diffusion.sigma_grids import schedule_grid, sigma_grid
from difrob.nets.denoisers import DenoiserNetwork
from difrob.specs.train_denoiser import TrainDenoiserSpec

TrainedDenoiser = EDMDenoiser | DDPMDenoiser


class Parameterisation(Protocol):
    """What a training must know."""

    def wrap(self, network: DenoiserNetwork) -> TrainedDenoiser:
        """The denoiser around a raw network."""
        ...

    def draw_sigma(self, count: int, source: torch.Generator) -> Tensor:
        """Noise levels of a training batch in the diffusion range, float32 [count] on the CPU."""
        ...

    def sigma_at(self, quantile: Tensor) -> Tensor:
        """The noise level below which this share, in (0, 1), of the training's noise levels lies; of any shape."""
        ...

    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error of D, of sigma's shape."""
        ...

    def grid(self, steps: int) -> list[float]:
        """A noise grid for sampling in so many steps, its own where it has one; ends with 0."""
        ...

    @property
    def loss_name(self) -> str:
        """How results call the loss."""
        ...


class EDM:
    """ln sigma is normal; the weight is 1 / c_out^2 (Karras et al. 2022, table 1)."""

    loss_name = "EDM loss"

    def __init__(self, sigma_data: float, log_sigma_mean: float, log_sigma_std: float) -> None:
        self.sigma_data = sigma_data
        self.log_sigma_mean = log_sigma_mean
        self.log_sigma_std = log_sigma_std

    def wrap(self, network: DenoiserNetwork) -> EDMDenoiser:
        """See :class:`Parameterisation`, also for the other methods."""
        return EDMDenoiser(network, self.sigma_data)

    def draw_sigma(self, count: int, source: torch.Generator) -> Tensor:
        return draw_sigma(count, self.log_sigma_mean, self.log_sigma_std, source)

    def sigma_at(self, quantile: Tensor) -> Tensor:
        return (torch.special.ndtri(quantile) * self.log_sigma_std + self.log_sigma_mean).exp()

    def weight(self, sigma: Tensor) -> Tensor:
        return edm_weight(sigma, self.sigma_data)

    def grid(self, steps: int) -> list[float]:
        return sigma_grid(steps)


class DDPM:
    """Every step of a schedule is as likely; the weight 1 / sigma^2 makes it the error of the predicted noise."""

    loss_name = "error of the predicted noise"

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule

    def wrap(self, network: DenoiserNetwork) -> DDPMDenoiser:
        """See :class:`Parameterisation`, also for the other methods."""
        return DDPMDenoiser(network, self.schedule)

    def draw_sigma(self, count: int, source: torch.Generator) -> Tensor:
        return draw_step_sigma(count, self.schedule, source)

    def sigma_at(self, quantile: Tensor) -> Tensor:
        steps = (quantile.double() * len(self.schedule)).long().clamp(0, len(self.schedule) - 1)
        return torch.from_numpy(self.schedule.sigmas)[steps].to(quantile.dtype)

    def weight(self, sigma: Tensor) -> Tensor:
        return noise_weight(sigma)

    def grid(self, steps: int) -> list[float]:
        return schedule_grid(self.schedule, min(steps, len(self.schedule)))


def parameterisation_of(spec: TrainDenoiserSpec) -> EDM | DDPM:
    """The parameterisation that a specification asks for."""
    if spec.parameterisation == "ddpm":
        return DDPM(noise_schedule(spec.schedule, spec.time_steps))
    return EDM(spec.sigma_data, spec.log_sigma_mean, spec.log_sigma_std)


def schedule_of(denoiser: TrainedDenoiser) -> NoiseSchedule | None:
    """The discrete schedule that a denoiser was trained on; None for an EDM."""
    return denoiser.schedule if isinstance(denoiser, DDPMDenoiser) else None


def grid_of(denoiser: TrainedDenoiser, steps: int) -> list[float]:
    """A noise grid for sampling in so many steps, the denoiser's own where it has one; ends with 0."""
    schedule = schedule_of(denoiser)
    return sigma_grid(steps) if schedule is None else schedule_grid(schedule, min(steps, len(schedule)))
