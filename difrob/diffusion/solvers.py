"""The algorithms that carry noise to images, each as one loop over the noise levels.

All work on v = u + sigma n, whatever the network predicts; x_t = v / sqrt(1 + sigma^2) turns the published updates of
variance-preserving models into these. A solver yields the state after each step and leaves stopping, guidance, random
numbers and devices to :mod:`difrob.diffusion.samplers`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

Estimate = Callable[[Tensor, float], Tensor]
FreshNoise = Callable[[int], Tensor]


@dataclass(frozen=True)
class SamplerOptions:
    """Settings that only some solvers know; noise levels are in the diffusion range.

    Attributes:
        churn: S_churn, how much noise Heun adds and removes again in all; 0 for none (Karras et al. 2022, algorithm 2).
        churn_from, churn_to: S_min and S_max, the noise levels between which it does.
        churn_noise: S_noise, standard deviation of the added noise; slightly above 1 makes up for lost detail.
        eta: share of fresh noise in DDIM: 0 is deterministic, 1 is ancestral sampling (Song et al. 2021, equation 16).
        clip: clip every denoised estimate to [-1,1], for images only (Ho et al. 2020). A noise-predicting network knows
            the image badly at the largest noise levels.
    """

    churn: float = 0.0
    churn_from: float = 0.0
    churn_to: float = math.inf
    churn_noise: float = 1.0
    eta: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.churn < math.inf or not 0 <= self.churn_from <= self.churn_to:
            raise ValueError(f"no churn of {self.churn} between {self.churn_from} and {self.churn_to}")
        if not 0 < self.churn_noise < math.inf:
            raise ValueError(f"churn_noise = {self.churn_noise} must be positive")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta = {self.eta} must lie between 0 and 1")

    def churned(self, sigma: float, steps: int) -> float:
        """The noise level to which a Heun step of N first lifts the state."""
        if not self.churn_from <= sigma <= self.churn_to:
            return sigma
        return sigma * (1 + min(self.churn / steps, math.sqrt(2) - 1))


Solver = Callable[[Tensor, Sequence[float], Estimate, FreshNoise, SamplerOptions], Iterator[Tensor]]


def heun(
    v: Tensor, sigmas: Sequence[float], estimate: Estimate, fresh_noise: FreshNoise, options: SamplerOptions
) -> Iterator[Tensor]:
    """Heun's method of second order, with churn where the options ask for it (Karras et al. 2022, algorithms 1 and 2).

    A step to 0 is one of Euler's, since the slope is unknown there; a single step is one-shot denoising.
    """
    steps = len(sigmas) - 1
    for step, (start, there) in enumerate(itertools.pairwise(sigmas)):
        here = options.churned(start, steps)
        if here > start:
            v = v + math.sqrt(here**2 - start**2) * options.churn_noise * fresh_noise(step)
        slope = (v - estimate(v, here)) / here
        predicted = v + (there - here) * slope
        if there > 0:
            slope_there = (predicted - estimate(predicted, there)) / there
            predicted = v + (there - here) * (slope + slope_there) / 2
        v = predicted
        yield v


def ddim(
    v: Tensor, sigmas: Sequence[float], estimate: Estimate, fresh_noise: FreshNoise, options: SamplerOptions
) -> Iterator[Tensor]:
    """DDIM of first order (Song et al. 2021, equation 12): Euler's method at eta = 0, ancestral sampling at eta = 1.

    The posterior of v at a lower level s given v at the level t and u is normal, with the variance s^2 (1 - s^2/t^2);
    eta is the share of its standard deviation that is drawn afresh. A single step is one-shot denoising.
    """
    for step, (here, there) in enumerate(itertools.pairwise(sigmas)):
        clean = estimate(v, here)
        fresh = options.eta * there * math.sqrt(1 - (there / here) ** 2)
        v = clean + math.sqrt(there**2 - fresh**2) / here * (v - clean)
        if fresh > 0:
            v = v + fresh * fresh_noise(step)
        yield v


def dpm_solver_2m(
    v: Tensor, sigmas: Sequence[float], estimate: Estimate, fresh_noise: FreshNoise, options: SamplerOptions
) -> Iterator[Tensor]:
    """DPM-Solver++(2M) of second order with one estimate a step (Lu et al. 2022, algorithm 2; lambda = -ln sigma).

    The first step, and a step to 0, where lambda is infinite, are of first order; a single step is one-shot denoising.
    """
    previous: tuple[Tensor, float] | None = None
    for here, there in itertools.pairwise(sigmas):
        clean = estimate(v, here)
        if there == 0:
            yield clean
            return
        width = math.log(here / there)
        target = clean
        if previous is not None:
            earlier, earlier_width = previous
            target = clean + width / (2 * earlier_width) * (clean - earlier)
        v = target + there / here * (v - target)
        previous = clean, width
        yield v
