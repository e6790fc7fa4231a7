"""Discrete noise schedules of DDPM: x_t = sqrt(abar_t) u + sqrt(1 - abar_t) n for t = 0..T-1 (Ho et al. 2020).

Divided by sqrt(abar_t), a state is v = u + sigma_t n with sigma_t = sqrt((1 - abar_t) / abar_t): the same noisy image that
an EDM sees. Everything is kept as ln(abar_t), since 1 - abar_t loses twelve digits where abar_t is near 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from difrob.errors import UserError


class NoiseSchedule:
    """T noise levels that rise with the time step.

    Attributes:
        name: how messages call the schedule.
        betas: variance of the noise that step t adds, float64 [T], each in (0, 1).
        log_alpha_bar: ln(abar_t), of the share of the signal's variance that is left, float64 [T], falling.
        sigmas: sigma_t in the diffusion range, float64 [T], rising.
    """

    def __init__(self, name: str, betas: Sequence[float] | np.ndarray) -> None:
        self.name = name
        self.betas = np.array(betas, dtype=np.float64)
        if self.betas.ndim != 1 or len(self.betas) < 2:
            raise ValueError(f"a noise schedule needs at least 2 steps, not betas of shape {self.betas.shape}")
        if not ((self.betas > 0) & (self.betas < 1)).all():
            raise ValueError(f"the betas of schedule '{name}' must lie strictly between 0 and 1")
        self.log_alpha_bar = np.cumsum(np.log1p(-self.betas))
        self.sigmas = np.sqrt(np.expm1(-self.log_alpha_bar))
        self._tables: dict[torch.device, Tensor] = {}

    def __len__(self) -> int:
        return len(self.betas)

    @property
    def sigma_min(self) -> float:
        """sigma_0."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """sigma_{T-1}."""
        return float(self.sigmas[-1])

    def time_of(self, sigma: Tensor) -> Tensor:
        """The time step of a noise level, interpolated between the steps in ln(sigma); exact at the schedule's own levels.

        Levels outside the schedule get its first or last step. Rounded, the result is the nearest step in ln(sigma).

        Args:
            sigma: noise levels in the diffusion range, at least 0, [B].

        Returns:
            float64 [B] in [0, T-1] (float32 on devices without float64).
        """
        table = self.log_sigmas(sigma.device)
        wanted = sigma.to(table.dtype).clamp(min=torch.finfo(table.dtype).tiny).log().contiguous()
        above = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
        low, high = table[above - 1], table[above]
        return above - 1 + ((wanted - low) / (high - low)).clamp(0, 1)

    def log_sigmas(self, device: torch.device) -> Tensor:
        """ln(sigma_t) on a device, [T]. Kept from the first call on, so that later ones do not wait for a copy.

        No buffer of a module: ``module.to`` would round it together with the weights, or fail where float64 is unknown.
        """
        if device not in self._tables:
            double = torch.float32 if device.type == "mps" else torch.float64
            self._tables[device] = torch.from_numpy(np.log(self.sigmas)).to(device, double)
        return self._tables[device]


def linear_schedule(steps: int = 1000) -> NoiseSchedule:
    """beta_t evenly spaced from 1e-4 to 0.02 at T = 1000, scaled by 1000/T (Ho et al. 2020, section 4).

    Raises:
        UserError: for so few steps that the last beta would reach 1.
    """
    scale = 1000 / max(steps, 1)
    if 0.02 * scale >= 1:
        raise UserError(f"a linear noise schedule of {steps} steps destroys the image at once; give at least 21 steps")
    return NoiseSchedule("linear", np.linspace(1e-4 * scale, 0.02 * scale, steps))


def cosine_schedule(steps: int = 1000, offset: float = 0.008, largest_beta: float = 0.999) -> NoiseSchedule:
    """abar_t = f(t+1) / f(0), f(t) = cos^2((t/T + s) / (1 + s) pi/2) (Nichol & Dhariwal 2021, equation 17).

    Args:
        steps: T, at least 2.
        offset: s, which keeps the first betas from vanishing.
        largest_beta: no beta is larger; without the bound the last one would be 1.

    Raises:
        UserError: for fewer than 2 steps.
    """
    if steps < 2:
        raise UserError(f"a cosine noise schedule of {steps} steps is none; give at least 2 steps")
    angles = (np.arange(steps + 1) / steps + offset) / (1 + offset) * (math.pi / 2)
    before, after = angles[:-1], angles[1:]
    # 1 - cos^2(after) / cos^2(before), without the difference of two numbers near 1.
    betas = np.sin(after - before) * np.sin(after + before) / np.cos(before) ** 2
    return NoiseSchedule("cosine", np.minimum(betas, largest_beta))


NOISE_SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {"linear": linear_schedule, "cosine": cosine_schedule}


def noise_schedule(name: str, steps: int) -> NoiseSchedule:
    """A schedule by its name.

    Raises:
        UserError: for an unknown name, naming those there are, or too few steps.
    """
    if name not in NOISE_SCHEDULES:
        raise UserError(f"there is no noise schedule '{name}'; choose one of {', '.join(NOISE_SCHEDULES)}")
    return NOISE_SCHEDULES[name](steps)
