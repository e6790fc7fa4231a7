"""The noise levels that a sampler steps through: plain numbers on the host, so that its loop never waits for the device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from difrob.diffusion.noise_schedules import NoiseSchedule


def sigma_grid(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> list[float]:
    """Noise levels s_0 > ... > s_{N-1} > s_N = 0 (Karras et al. 2022, equation 5).

    s_i = (s_max^(1/rho) + i/(N-1) (s_min^(1/rho) - s_max^(1/rho)))^rho.

    Args:
        steps: N, at least 1; a single step goes from sigma_max straight to 0.
        sigma_min, sigma_max: ends of the grid in the diffusion range.
        rho: curvature; larger means more steps at low noise.

    Returns:
        N + 1 numbers, exact to double precision.
    """
    if steps < 1 or not 0 < sigma_min < sigma_max or rho <= 0:
        raise ValueError(f"no noise grid with steps = {steps}, {sigma_min} < sigma < {sigma_max}, rho = {rho}")
    if steps == 1:
        return [float(sigma_max), 0.0]
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    grid = [(top + i / (steps - 1) * (bottom - top)) ** rho for i in range(steps)]
    return [*grid, 0.0]


def schedule_times(schedule: NoiseSchedule, steps: int) -> list[int]:
    """Time steps evenly spread from T-1 to 0, both included, falling (Nichol & Dhariwal 2021, section 4).

    Args:
        schedule: T levels.
        steps: N in 1..T; N = T is the whole chain, N = 1 only its noisiest step.
    """
    if not 1 <= steps <= len(schedule):
        raise ValueError(
            f"the {schedule.name} schedule has {len(schedule)} steps; a grid of {steps} cannot be made of it"
        )
    return [int(time) for time in np.rint(np.linspace(len(schedule) - 1, 0, steps))]


def schedule_grid(schedule: NoiseSchedule, steps: int) -> list[float]:
    """The schedule's own noise levels at :func:`schedule_times`, and 0 behind them: N + 1 numbers."""
    return [*(float(schedule.sigmas[time]) for time in schedule_times(schedule, steps)), 0.0]


def check_grid(sigmas: Sequence[float]) -> None:
    """Refuse what is no noise grid: at least two finite levels, strictly falling, none below 0.

    A grid may end above 0; then the sampler leaves that much noise in the images.
    """
    falling = all(here > there for here, there in itertools.pairwise(sigmas))
    if len(sigmas) < 2 or not falling or not math.isfinite(sigmas[0]) or not sigmas[-1] >= 0:
        shown = ", ".join(f"{sigma:g}" for sigma in sigmas[:8])
        raise ValueError(
            f"the noise levels of a sampler must fall strictly towards 0, unlike {shown or 'an empty grid'}"
        )
