"""Denoisers whose exact answer is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor


class GaussianDenoiser:
    """The ideal denoiser of classes that are Gaussians N(mean_k, spread^2 I); the null class has a mean of its own.

    D(v; sigma, k) = (spread^2 v + sigma^2 mean_k) / (spread^2 + sigma^2).

    Args:
        means: one per class, and one for the null class at the end.
        spread: common standard deviation.
    """

    def __init__(self, means: list[float], spread: float, image_shape: tuple[int, int, int] = (1, 2, 2)) -> None:
        self.means = torch.tensor(means, dtype=torch.float64)
        self.spread = spread
        self.num_classes = len(means) - 1
        self.image_shape = image_shape
        self.calls = 0
        self.rows = 0

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls += 1
        self.rows += len(v)
        if labels is None:
            labels = torch.full((len(v),), self.num_classes)
        mean = self.means[labels].reshape(-1, 1, 1, 1)
        variance = sigma.double().reshape(-1, 1, 1, 1) ** 2
        estimate = (self.spread**2 * v.double() + variance * mean) / (self.spread**2 + variance)
        return estimate.to(v.dtype)

    def flow(self, start: Tensor, sigma_from: float, label: int, sigma_to: float = 0.0) -> Tensor:
        """Where the exact probability-flow ODE carries ``start`` from one noise level to another, float64."""
        mean, before = self.means[label], self.spread**2 + sigma_from**2
        return mean + (start.double() - mean) * ((self.spread**2 + sigma_to**2) / before) ** 0.5
