"""Adversarial training of a diffusion model by equivariance (Briglia et al. 2026).

A perturbation omega of the noise moves the state to v + sigma omega. An equivariant noise predictor follows it:
e(v + sigma omega) = e(v) + omega. In DDPM's terms, with z = a v, b = sigma a, a = 1 / sqrt(1 + sigma^2), the objective is

    |e(z) - n|^2 + lambda_t |e(z + b omega) - e(z) - omega|^2,      lambda_t = lambda sqrt(3) / r.

Note b in z + b omega: with z + omega and the same target the fixed point would be de/dz = I instead of I / b.

**For a denoiser.** With e = (v - D) / sigma the first term is |D - u|^2 / sigma^2, and the residual of the second is
-(D(v + sigma omega) - D(v)) / sigma: equivariance of the noise is local invariance of the denoised image. Both terms carry
1 / sigma^2, so any weight per noise level scales both alike and leaves the balance of the two, and with it the optimum at
each noise level, as it was:

    w(sigma) ( |D(v) - u|^2 + lambda_t |D(v + sigma omega) - D(v)|^2 ).

w = 1 / sigma^2 is DDPM's objective, w = 1 / c_out^2 EDM's. In EDM's raw network F the penalty then reads
|F' - F + sigma_data / sqrt(sigma^2 + sigma_data^2) omega|^2, of unit scale at every noise level.

**What it does.** For Gaussian data of variance S^2 and a linear predictor the optimum is that of plain training on data of
variance S^2 / (1 + c), with c = lambda_t E[omega^2]: lambda r / sqrt(3) for uniform omega, and three times that for
omega in the corners of the box. Adversarial and uniform omega differ in length already; random signs do not.

**Cost** per image beside a plain step's one forward and one full backward pass: the same once more, and for adversarial
omega one more forward pass and one backward to the input. The clean pass serves loss, penalty and adversary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from difrob.attacks.modes import frozen_statistics
from difrob.attacks.noise_ascent import Goal, RadiusSchedule, climb
from difrob.diffusion.denoiser import Denoiser
from difrob.randomness import generator

# A context in which a network draws its dropout masks; each use must give the same masks.
Masks = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class EquivarianceRule:
    """The regulariser and its perturbation.

    Attributes:
        constraint: ``"equivariance"``; or ``"invariance"``, |e(z + b omega) - e(z)|^2, the control that is expected to
            fail: it under-predicts the noise at every level, and samples come out too wide.
        perturbation: ``"uniform"`` in the box; ``"sign"``, random corners of the same box; ``"adversarial"``, one step of
            sign ascent from a uniform start.
        strength: lambda, at least 0; 0 is plain training.
        radius: half the side of the box at each noise level.
        step_share: length of the adversary's step as a share of the radius; from 2 on it ends in a corner.
        goal: what the adversary climbs; see :func:`difrob.attacks.noise_ascent.climb`.
        detach_clean: treat the clean prediction in the penalty as a constant. Whether the paper does is not known.
        from_step: first step that is regularised; earlier ones are plain (fine-tuning).
    """

    constraint: Literal["equivariance", "invariance"] = "equivariance"
    perturbation: Literal["uniform", "sign", "adversarial"] = "adversarial"
    strength: float = 0.3
    radius: RadiusSchedule = field(default_factory=RadiusSchedule)
    step_share: float = 2.0
    goal: Goal = "noise_prediction"
    detach_clean: bool = False
    from_step: int = 0

    def __post_init__(self) -> None:
        if self.constraint not in ("equivariance", "invariance"):
            raise ValueError(f"no constraint '{self.constraint}'; there are 'equivariance' and 'invariance'")
        if self.perturbation not in ("uniform", "sign", "adversarial"):
            raise ValueError(f"no perturbation '{self.perturbation}'; there are 'uniform', 'sign' and 'adversarial'")
        if not 0 <= self.strength < float("inf") or self.step_share <= 0 or self.from_step < 0:
            raise ValueError(
                f"strength = {self.strength} and from_step = {self.from_step} must be at least 0, and step_share = "
                f"{self.step_share} positive"
            )

    def active(self, step: int) -> bool:
        """Whether this step is regularised."""
        return self.strength > 0 and step >= self.from_step


class Draws(NamedTuple):
    """The random numbers of one step: share of the radius [B] in [0,1), start of omega [B,C,H,W] in [-1,1)."""

    radius_share: Tensor
    start: Tensor

    def part(self, rows: slice) -> Draws:
        """Those of some of the images, for a batch that is worked through in pieces."""
        return Draws(self.radius_share[rows], self.start[rows])


class RegularisedLosses(NamedTuple):
    """What one batch gives.

    Attributes:
        losses: [B], what is to be averaged and differentiated.
        denoising: [B], the plain loss of each image, detached.
        penalty: [B], the penalty with its weights, detached; None in a plain step.
    """

    losses: Tensor
    denoising: Tensor
    penalty: Tensor | None


def draw_perturbation(
    rule: EquivarianceRule, shape: tuple[int, ...] | torch.Size, seed: int, step: int
) -> Draws | None:
    """The random numbers of a step, from (seed, step) alone, float32 on the CPU; None for a plain step.

    They are a stream of their own and the same for all perturbations: switching the regulariser on changes neither batch
    nor noise, and arms of a comparison start from the same omega.
    """
    if not rule.active(step):
        return None
    source = generator(seed, "equivariance", step)
    return Draws(torch.rand(shape[0], generator=source), 2 * torch.rand(tuple(shape), generator=source) - 1)


def regularised_losses(
    denoiser: Denoiser,
    u: Tensor,
    labels: Tensor | None,
    sigma: Tensor,
    noise: Tensor,
    *,
    weight: Tensor,
    rule: EquivarianceRule,
    draws: Draws | None,
    masks: Masks,
) -> RegularisedLosses:
    """Denoising loss plus penalty of each image, averaged over its pixels.

    The perturbed passes leave running statistics alone, and the adversary touches no parameter's gradient: a regularised
    step leaves nothing behind that a plain one would not, except its gradient.

    Args:
        denoiser: the denoiser being trained, in training mode.
        u: clean images in the diffusion range, [B,C,H,W].
        labels: int64 [B] in 0..K, or None.
        sigma: noise levels, positive, [B].
        noise: standard normal, [B,C,H,W].
        weight: w(sigma) of both terms, [B]; see :mod:`difrob.diffusion.parameterisations`.
        rule: the regulariser.
        draws: from :func:`draw_perturbation`, on the device; None for a plain step.
        masks: entered around every forward pass; must seed whatever the network draws from, e.g.
            ``lambda: seeded_globally(device, seed, "dropout", step)``. Different masks in the two branches would be
            punished as if the network had not followed omega. ``contextlib.nullcontext`` for networks that draw nothing.
    """
    level = sigma.reshape(-1, 1, 1, 1)
    v = u + level * noise
    with masks():
        clean = denoiser.denoise(v, sigma, labels)
    denoising = weight * (clean - u).square().flatten(1).mean(dim=1)
    if draws is None:
        return RegularisedLosses(denoising, denoising.detach(), None)

    def denoise(state: Tensor) -> Tensor:
        with masks(), _frozen_statistics(denoiser):
            return denoiser.denoise(state, sigma, labels)

    radius = rule.radius.radius(sigma, draws.radius_share)
    omega = _omega(rule, denoise, v, clean, level, radius.reshape(-1, 1, 1, 1), draws.start)
    response = denoise(v + level * omega) - (clean.detach() if rule.detach_clean else clean)
    residual = response if rule.constraint == "equivariance" else response - level * omega
    balance = rule.strength * 3**0.5 / radius.clamp_min(torch.finfo(radius.dtype).tiny)
    penalty = weight * balance * residual.square().flatten(1).mean(dim=1)
    return RegularisedLosses(denoising + penalty, denoising.detach(), penalty.detach())


def _omega(
    rule: EquivarianceRule,
    denoise: Callable[[Tensor], Tensor],
    v: Tensor,
    clean: Tensor,
    level: Tensor,
    radius: Tensor,
    start: Tensor,
) -> Tensor:
    if rule.perturbation == "sign":
        return radius * torch.where(start < 0, -1.0, 1.0).to(start.dtype)
    if rule.perturbation == "uniform":
        return radius * start
    return climb(denoise, v, clean, level, radius * start, radius, steps=1, step_share=rule.step_share, goal=rule.goal)


def _frozen_statistics(denoiser: Denoiser) -> AbstractContextManager[None]:
    """Batch normalisation of a network left alone; a denoiser in closed form has none."""
    return frozen_statistics(denoiser) if isinstance(denoiser, nn.Module) else nullcontext()
