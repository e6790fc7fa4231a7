"""Attacks on the trajectory of a deterministic sampler: at chosen steps the state is pushed where the noise prediction
changes most, and sampling goes on from there (Briglia et al. 2026; budget and steps are our reading).

:class:`TrajectoryAttack` is a sampler callback. It adds sigma delta to the state in place; a one-step method such as Heun's
remembers nothing but the state, so that going on from there is all that the attack means. A multistep method also keeps
its estimates of earlier states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.noise_ascent import Goal, RadiusSchedule, climb
from difrob.randomness import uniform_per_sample


@dataclass(frozen=True)
class TrajectoryBudget:
    """What an attack on a trajectory may do.

    Attributes:
        direction: ``"ascent"`` climbs; ``"sign"`` adds random signs of the same radius, the control that tells how much
            of the damage is due to the direction; ``"uniform"`` adds uniform noise.
        kappa: the radius as a multiple of the largest one of the schedule at that noise level, at least 0.
        steps: ascent steps K per attacked state.
        step_share: length of a step as a share of the radius; None for 2.5 / K, which crosses the box from any start.
        sigma_low, sigma_high: only states at these noise levels of the diffusion range are attacked, ends included.
        every: of those, every so-many-th, counted from the first step of the sampler.
        radius: the schedule of which ``kappa`` is a multiple; that of the training makes attacks comparable to it.
        goal: what the ascent climbs; see :func:`difrob.attacks.noise_ascent.climb`.
    """

    direction: Literal["ascent", "sign", "uniform"] = "ascent"
    kappa: float = 1.0
    steps: int = 5
    step_share: float | None = None
    sigma_low: float = 0.0
    sigma_high: float = float("inf")
    every: int = 1
    radius: RadiusSchedule = field(default_factory=RadiusSchedule)
    goal: Goal = "noise_prediction"

    def __post_init__(self) -> None:
        if self.direction not in ("ascent", "sign", "uniform"):
            raise ValueError(f"no direction '{self.direction}'; there are 'ascent', 'sign' and 'uniform'")
        if not 0 <= self.kappa < float("inf"):
            raise ValueError(f"kappa = {self.kappa} must be a finite number, at least 0")
        if self.steps < 1 or self.every < 1:
            raise ValueError(f"steps = {self.steps} and every = {self.every} must be at least 1")
        if self.step_share is not None and self.step_share <= 0:
            raise ValueError(f"step_share = {self.step_share} must be positive")
        if not self.sigma_low <= self.sigma_high:
            raise ValueError(f"no noise levels lie between {self.sigma_low} and {self.sigma_high}")

    def covers(self, step: int, sigma: float) -> bool:
        """Whether the state reached by this step (from 0) at this noise level is attacked; never the finished image."""
        return self.kappa > 0 and step % self.every == 0 and 0 < sigma and self.sigma_low <= sigma <= self.sigma_high

    @property
    def resolved_step_share(self) -> float:
        """Length of a step as a share of the radius, with the default filled in."""
        return 2.5 / self.steps if self.step_share is None else self.step_share


class AttackedState(NamedTuple):
    """One attacked state: sampler step, noise level and radius in units of the noise."""

    step: int
    sigma: float
    radius: float


class TrajectoryAttack:
    """A sampler callback ``(step, sigma, state)`` that perturbs states in place.

    Args:
        denoise: (v [B,C,H,W], noise level) -> D(v) [B,C,H,W], the prediction that the sampler itself goes by: with
            labels and guidance, where it has them. The network must be in evaluation mode.
        budget: what the attack may do.
        seed: seed of the run.
        indices: number of each image, [B]; its random starts depend on (seed, step, number) only.

    Attributes:
        attacked: the states that were attacked, in order.
        forward, backward: passes that the attack has cost each image.
    """

    def __init__(
        self,
        denoise: Callable[[Tensor, float], Tensor],
        budget: TrajectoryBudget,
        *,
        seed: int,
        indices: Sequence[int] | np.ndarray,
    ) -> None:
        self.denoise = denoise
        self.budget = budget
        self.seed = seed
        self.indices = indices
        self.attacked: list[AttackedState] = []
        self.forward = 0
        self.backward = 0

    def __call__(self, step: int, sigma: float, state: Tensor) -> None:
        """Attack the state that the sampler has reached, if the budget covers it."""
        if self.budget.covers(step, sigma):
            state.add_(self.perturbation(step, sigma, state), alpha=sigma)

    def perturbation(self, step: int, sigma: float, state: Tensor) -> Tensor:
        """delta [B,C,H,W] in units of the noise, |delta| <= kappa r(sigma); the state itself is left as it is.

        Serves the sampler's first state, which no callback sees: starting noise n becomes n + delta.

        Raises:
            ValueError: when there are more or fewer images than indices.
        """
        if len(self.indices) != len(state):
            raise ValueError(f"{len(self.indices)} indices were given for {len(state)} images")
        budget = self.budget
        level = torch.full((len(state), 1, 1, 1), sigma, dtype=state.dtype, device=state.device)
        radius = budget.kappa * budget.radius.radius(level)
        # Computed again on the host, so that no device is waited for.
        host_radius = budget.kappa * float(budget.radius.radius(torch.tensor(sigma, dtype=torch.float64)))
        uniform = uniform_per_sample(self.seed, ("trajectory_attack", step), self.indices, state.shape[1:])
        if state.device.type == "cuda":
            uniform = uniform.pin_memory()
        centred = 2 * uniform.to(state.device, non_blocking=True).to(state.dtype) - 1
        self.attacked.append(AttackedState(step, sigma, host_radius))
        if budget.direction == "sign":
            return radius * torch.where(centred < 0, -1.0, 1.0).to(state.dtype)
        if budget.direction == "uniform":
            return radius * centred

        with torch.no_grad():
            clean = self.denoise(state, sigma)
        delta = climb(
            lambda v: self.denoise(v, sigma),
            state,
            clean,
            level,
            radius * centred,
            radius,
            steps=budget.steps,
            step_share=budget.resolved_step_share,
            goal=budget.goal,
        )
        self.forward += budget.steps + 1
        self.backward += budget.steps
        return delta
