"""Perturbing the noisy state of a diffusion model (Briglia et al. 2026): how far, and in which direction.

A state in the diffusion range is v = u + sigma n; DDPM's z = a v is the same state scaled by a = 1 / sqrt(1 + sigma^2),
with the noise coefficient b = sigma a. The perturbation omega is counted in units of the noise, so that z + b omega and
v + sigma omega are one state, with the noise n + omega. The noise prediction is e = (v - D(v)) / sigma, hence

    e(v + sigma omega) - e(v) = omega - (D(v + sigma omega) - D(v)) / sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Goal = Literal["noise_prediction", "equivariance_error"]


@dataclass(frozen=True)
class RadiusSchedule:
    """The largest perturbation of each coordinate of the noise, r(sigma), with b = sigma / sqrt(1 + sigma^2).

    Briglia et al. 2026 let the radius follow a power of the noise coefficient, make it random and bound it below by
    8/255; the exact formula is not known to us. Two readings:

    * ``"shifted"``: r = smallest + w b^exponent, with w uniform in [0,1); never below ``smallest``.
    * ``"scaled"``: r = beta b^exponent, with beta uniform in [smallest, 1); vanishes with the noise.

    Attributes:
        form: which reading.
        smallest: lower bound of the radius or of beta, in units of the noise, in (0, 1].
        exponent: of b, at least 0.
    """

    form: Literal["shifted", "scaled"] = "shifted"
    smallest: float = 8 / 255
    exponent: float = 2.0

    def __post_init__(self) -> None:
        if self.form not in ("shifted", "scaled"):
            raise ValueError(f"no radius schedule '{self.form}'; there are 'shifted' and 'scaled'")
        if not 0 < self.smallest <= 1 or not 0 <= self.exponent < float("inf"):
            raise ValueError(f"smallest = {self.smallest} must lie in (0, 1], exponent = {self.exponent} be at least 0")

    def radius(self, sigma: Tensor, share: Tensor | float = 1.0) -> Tensor:
        """The radius at noise levels ``sigma`` [B] in the diffusion range, [B].

        Args:
            sigma: positive noise levels.
            share: the uniform draw w, or that of beta, in [0,1]; 1 gives the largest radius.
        """
        b_power = (sigma / (1 + sigma**2).sqrt()) ** self.exponent
        if self.form == "shifted":
            return self.smallest + share * b_power
        return (self.smallest + share * (1 - self.smallest)) * b_power


def climb(
    denoise: Callable[[Tensor], Tensor],
    v: Tensor,
    clean: Tensor,
    sigma: Tensor,
    start: Tensor,
    radius: Tensor,
    *,
    steps: int,
    step_share: float,
    goal: Goal = "noise_prediction",
) -> Tensor:
    """Sign ascent inside the box |omega| <= radius; costs ``steps`` forward passes and as many backward to the input.

    The gradient is taken with respect to omega alone: no parameter gets a gradient, and no graph is kept. At omega = 0
    both goals have no gradient, so the start must lie elsewhere.

    Args:
        denoise: v -> D(v) at the noise level of each image; [B,C,H,W] -> [B,C,H,W].
        v: the unperturbed states, [B,C,H,W].
        clean: D(v), a constant.
        sigma: noise levels, [B,1,1,1].
        start: first omega, inside the box, [B,C,H,W].
        radius: half the side of the box, [B,1,1,1].
        steps: number of steps.
        step_share: length of a step as a share of the radius; from 2 on, one step ends in a corner.
        goal: what grows: ``"noise_prediction"``, |e(v + sigma omega) - e(v)|^2 (Briglia et al. 2026), of which omega's own
            length is a part; or ``"equivariance_error"``, |e(v + sigma omega) - e(v) - omega|^2, the penalty itself.

    Returns:
        The last omega, [B,C,H,W], detached.
    """
    v, clean, omega = v.detach(), clean.detach(), start.detach()
    for _ in range(steps):
        omega.requires_grad_()
        with torch.enable_grad():
            change = (denoise(v + sigma * omega) - clean) / sigma
            if goal == "noise_prediction":
                change = omega - change
            total = change.square().sum()
        (gradient,) = torch.autograd.grad(total, omega)
        omega = omega.detach() + step_share * radius * gradient.sign()
        omega = torch.clamp(omega, -radius, radius)
    return omega
