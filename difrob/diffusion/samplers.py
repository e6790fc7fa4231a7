"""Drawing images: one interface to all solvers, with guidance, and noise that belongs to the image.

The loop never waits for the device: the noise grid is plain numbers on the host, and nothing is read back.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from difrob.diffusion.denoiser import Denoiser, check_sigma
from difrob.diffusion.guidance import guided, predictions_per_estimate
from difrob.diffusion.sigma_grids import check_grid, schedule_grid, sigma_grid
from difrob.diffusion.solvers import FreshNoise, SamplerOptions, Solver, ddim, dpm_solver_2m, heun
from difrob.errors import UserError
from difrob.randomness import normal_per_sample

__all__ = [
    "SAMPLERS",
    "Sampler",
    "SamplerCallback",
    "SamplerOptions",
    "sample",
    "network_calls",
    "starting_noise",
    "check_options",
    "guided",
    "schedule_grid",
    "sigma_grid",
]

SamplerCallback = Callable[[int, float, Tensor], None]


class Sampler(NamedTuple):
    """A solver as a person chooses it.

    Attributes:
        solver: the algorithm.
        title: what lists and messages call it.
        options: the fields of :class:`SamplerOptions` that it heeds.
        fixed_eta: the eta that its name settles; None where eta is an option, or means nothing.
        estimates_per_step: denoised estimates of a step between two positive noise levels.
    """

    solver: Solver
    title: str
    options: frozenset[str]
    fixed_eta: float | None
    estimates_per_step: int


CHURN_OPTIONS = frozenset({"churn", "churn_from", "churn_to", "churn_noise"})

SAMPLERS: dict[str, Sampler] = {
    "heun": Sampler(heun, "EDM Heun, second order, churn on demand", CHURN_OPTIONS | {"clip"}, None, 2),
    "euler": Sampler(ddim, "Euler, first order", frozenset({"clip"}), 0.0, 1),
    "ddim": Sampler(ddim, "DDIM, first order, with a share eta of fresh noise", frozenset({"eta", "clip"}), None, 1),
    "ddpm": Sampler(ddim, "DDPM ancestral sampling", frozenset({"clip"}), 1.0, 1),
    "dpm_solver_2m": Sampler(dpm_solver_2m, "DPM-Solver++(2M), second order", frozenset({"clip"}), None, 1),
}


def network_calls(steps: int, guidance_scale: float = 1.0, sampler: str = "heun") -> int:
    """How often the network sees each labelled image on a grid of N steps that ends at 0.

    Heun estimates twice a step but once in the last, the others once a step; guidance needs both predictions each time.
    """
    return (sampler_named(sampler).estimates_per_step * (steps - 1) + 1) * predictions_per_estimate(guidance_scale)


def starting_noise(
    seed: int,
    indices: Sequence[int] | np.ndarray | Tensor,
    image_shape: tuple[int, int, int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise [n,C,H,W] of the images with these indices, whatever their class and their batch."""
    return normal_per_sample(seed, "starting_noise", indices, image_shape).to(device)


def sample(
    denoiser: Denoiser,
    noise: Tensor,
    labels: Tensor | None,
    sigmas: Sequence[float],
    *,
    sampler: str = "heun",
    options: SamplerOptions | None = None,
    guidance_scale: float = 1.0,
    index: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
    callback: SamplerCallback | None = None,
) -> Tensor:
    """Draw images with any sampler.

    The state is float64, whatever type the network has; on devices without float64 (Apple's) the state is float32.

    Args:
        denoiser: any denoiser.
        noise: standard normal starting noise, [B,C,H,W]; it sets the device.
        labels: int64 [B] in 0..K, or None for the null class.
        sigmas: falling noise levels, ordinarily from :func:`sigma_grid` or :func:`schedule_grid`, whose last is 0. A
            grid that ends above 0 leaves that noise in the images.
        sampler: a name of :data:`SAMPLERS`.
        options: settings of the sampler; None for the defaults.
        guidance_scale: w of :func:`difrob.diffusion.guidance.guided`.
        index: indices of the images, [B], on the host: noise drawn on the way is a function of (seed, step, index), so
            that results do not depend on the batch. Needed by samplers that draw any.
        seed: seed of that noise.
        callback: called after each step with its number (from 0), the noise level reached and the state, which it may
            change in place; whatever it raises ends the sampling.

    Returns:
        The images in the diffusion range, float32 [B,C,H,W]; not clipped unless the options say so.

    Raises:
        UserError: for an unknown sampler, an option that it does not heed, or a grid that begins above the denoiser's
            schedule.
        ValueError: for noise levels that do not fall, or missing indices.
    """
    chosen = sampler_named(sampler)
    options = check_options(sampler, options or SamplerOptions())
    check_grid(sigmas)
    _check_levels(denoiser, sigmas, options)
    double = torch.float32 if noise.device.type == "mps" else torch.float64
    fresh_noise = _fresh_noise(noise, double, index, seed)

    def estimate(v: Tensor, sigma: float) -> Tensor:
        clean = guided(denoiser, v, sigma, labels, guidance_scale)
        return clean.clamp(-1, 1) if options.clip else clean

    with torch.no_grad():
        start = noise.to(double) * sigmas[0]
        for step, v in enumerate(chosen.solver(start, sigmas, estimate, fresh_noise, options)):
            if callback is not None:
                callback(step, sigmas[step + 1], v)
    return v.float()


def sampler_named(name: str) -> Sampler:
    """A sampler by its name.

    Raises:
        UserError: for an unknown name, naming those there are.
    """
    if name not in SAMPLERS:
        raise UserError(f"there is no sampler '{name}'; choose one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def check_options(sampler: str, options: SamplerOptions) -> SamplerOptions:
    """The options with those filled in that the sampler's name settles.

    Raises:
        UserError: for a setting that would silently have no effect, naming the samplers that heed it.
    """
    chosen, plain = sampler_named(sampler), SamplerOptions()
    for field in dataclasses.fields(SamplerOptions):
        value, default = getattr(options, field.name), getattr(plain, field.name)
        if field.name not in chosen.options and value != default:
            heeding = " or ".join(f"'{name}'" for name, other in SAMPLERS.items() if field.name in other.options)
            raise UserError(
                f"{field.name} = {value} has no effect with the sampler '{sampler}'; leave it at {default} or choose "
                f"{heeding}"
            )
    return options if chosen.fixed_eta is None else dataclasses.replace(options, eta=chosen.fixed_eta)


def _check_levels(denoiser: Denoiser, sigmas: Sequence[float], options: SamplerOptions) -> None:
    """Refuse a grid, or churn above it, that leads beyond the denoiser's schedule."""
    check_sigma(denoiser, sigmas[0], "lower sigma_max of the grid, or take the schedule's own grid")
    highest = max(options.churned(here, len(sigmas) - 1) for here, _ in itertools.pairwise(sigmas))
    check_sigma(denoiser, highest, f"churn = {options.churn:g} lifts the state to it; lower churn or churn_to")


def _fresh_noise(noise: Tensor, double: torch.dtype, index: Sequence[int] | np.ndarray | None, seed: int) -> FreshNoise:
    """Noise of a step for the images in the batch, drawn on the host and sent without waiting."""
    if index is not None and len(index) != len(noise):
        raise ValueError(f"{len(index)} indices were given for {len(noise)} images")
    rows = None if index is None else np.asarray(index, dtype=np.int64)

    def draw(step: int) -> Tensor:
        if rows is None:
            raise ValueError("this sampler draws noise on the way, which needs the indices of the images")
        drawn = normal_per_sample(seed, ("sampler_noise", step), rows, noise.shape[1:])
        if noise.device.type == "cuda":
            return drawn.pin_memory().to(noise.device, non_blocking=True).to(double)
        return drawn.to(noise.device).to(double)

    return draw
