"""Toy distributions of which everything is known: mixtures of Gaussians, each of which may be flat.

A flat Gaussian varies in some directions only. So one class covers the Gaussian in the plane, mixtures of round modes,
and clusters on an oblique plane in space. Points are in the diffusion range.

The density of points under noise is again a mixture of Gaussians, so that the ideal denoiser has a closed form: a mixture
is its own :class:`difrob.diffusion.denoiser.Denoiser`, and the samplers take it like a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from difrob.data.points import PointSet
from difrob.randomness import normal_per_sample, uniform_per_sample

# Directions in which a distribution is thinner than this share of its widest one count as not there.
FLAT = 1e-9

# Keeps 0 / 0 away where a direction has neither spread nor noise; far below any variance that matters.
TINY_VARIANCE = 1e-24


@dataclass(frozen=True)
class Support:
    """The affine subspace that a distribution lives on.

    Attributes:
        origin: a point of it, float64 [d].
        basis: orthonormal directions, float64 [m, d].
    """

    origin: np.ndarray
    basis: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """The nearest points of the subspace, float64 [n, d]."""
        return self.origin + (points - self.origin) @ self.basis.T @ self.basis


class GaussianMixture:
    """sum_k w_k N(mean_k, sum_j s_kj^2 q_kj q_kj^T), with orthonormal q_kj; also its own ideal denoiser.

    Args:
        weights: shares of the modes, positive, adding up to 1, [K].
        means: float64 [K, d].
        axes: principal directions of each mode, orthonormal, [K, m, d]; m < d makes the modes flat.
        spreads: standard deviations along the axes, positive, [K, m].
        name: name of the data set.

    Attributes:
        image_shape: (d, 1, 1), a point as networks count.
        num_classes: K, which is also the label of the null class: the mixture as a whole.
    """

    def __init__(
        self,
        weights: np.ndarray,
        means: np.ndarray,
        axes: np.ndarray,
        spreads: np.ndarray,
        *,
        name: str,
    ) -> None:
        self.weights, self.means, self.axes, self.spreads = (
            np.asarray(array, dtype=np.float64) for array in (weights, means, axes, spreads)
        )
        self.name = name
        self.num_classes, self.dimension = self.means.shape
        self.image_shape = (self.dimension, 1, 1)
        modes, directions = self.spreads.shape
        if self.axes.shape != (modes, directions, self.dimension) or self.weights.shape != (modes,):
            raise ValueError(f"weights {self.weights.shape}, means, axes {self.axes.shape} and spreads do not fit")
        if (self.weights <= 0).any() or not np.isclose(self.weights.sum(), 1):
            raise ValueError("the weights of the modes must be positive and add up to 1")
        if (self.spreads <= 0).any():
            raise ValueError("spreads must be positive; leave out an axis along which a mode is flat")
        if not np.allclose(self.axes @ self.axes.transpose(0, 2, 1), np.eye(directions), atol=1e-9):
            raise ValueError("the axes of a mode must be orthonormal")

    def draw(self, count: int, seed: int, split: str = "train") -> PointSet:
        """``count`` points; point i depends on (seed, split, i) only, so a larger set begins with the smaller one."""
        indices = np.arange(count, dtype=np.int64)
        uniform = uniform_per_sample(seed, ("toy", "mode", split), indices, (1,)).double().numpy()[:, 0]
        normal = normal_per_sample(seed, ("toy", "place", split), indices, self.spreads.shape[1:]).double().numpy()
        inner_edges = np.cumsum(self.weights)[:-1]
        modes = np.searchsorted(inner_edges, uniform, side="right").astype(np.int64)
        points = self.means[modes] + np.einsum("nm,nmd->nd", normal * self.spreads[modes], self.axes[modes])
        u = points.astype(np.float32).reshape(count, *self.image_shape)
        return PointSet(u, modes, self.num_classes, self.name, split, indices)

    @cached_property
    def support(self) -> Support:
        """The smallest affine subspace that holds all modes."""
        scaled = (self.axes * self.spreads[:, :, None]).reshape(-1, self.dimension)
        directions = np.concatenate([self.means - self.means[0], scaled])
        _, lengths, basis = np.linalg.svd(directions, full_matrices=False)
        return Support(self.means[0], basis[lengths > FLAT * lengths[0]])

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """The posterior mean E[u | u + sigma n = v], exact; see :meth:`difrob.diffusion.denoiser.Denoiser.denoise`.

        Per mode it is mean + sum_j g_j q_j q_j^T (v - mean) with g_j = s_j^2 / (s_j^2 + sigma^2); the null class weighs
        the modes by their posterior probability.
        """
        means, axes, spreads = (torch.from_numpy(a).to(v.device) for a in (self.means, self.axes, self.spreads))
        points = v.reshape(len(v), 1, -1).double()
        coordinates = torch.einsum("bkd,kmd->bkm", points - means, axes)
        shrunk = spreads**2 / (spreads**2 + sigma.double().reshape(-1, 1, 1) ** 2) * coordinates
        estimates = means + torch.einsum("bkm,kmd->bkd", shrunk, axes)
        shares = self.responsibilities(v, sigma)
        if labels is not None:
            given = torch.nn.functional.one_hot(labels, self.num_classes + 1)[:, :-1].to(shares.dtype)
            shares = torch.where((labels == self.num_classes)[:, None], shares, given)
        return (shares[:, :, None] * estimates).sum(1).reshape(v.shape).to(v.dtype)

    def responsibilities(self, v: Tensor, sigma: Tensor) -> Tensor:
        """P(mode k | u + sigma n = v), float64 [B, K].

        Args:
            v: [B, *image_shape].
            sigma: [B]. At 0 a point off the support of all modes goes to the mode whose support is nearest.
        """
        means, axes, spreads, weights = (
            torch.from_numpy(a).to(v.device) for a in (self.means, self.axes, self.spreads, self.weights)
        )
        offsets = v.reshape(len(v), 1, -1).double() - means
        coordinates = torch.einsum("bkd,kmd->bkm", offsets, axes)
        noise = sigma.double().reshape(-1, 1) ** 2
        total = spreads**2 + noise[:, :, None]
        off_axes = (offsets - torch.einsum("bkm,kmd->bkd", coordinates, axes)).square().sum(2)
        exponents = (coordinates**2 / total).sum(2) + off_axes / noise.clamp_min(TINY_VARIANCE)
        # Directions without spread have the variance sigma^2 in every mode, so their determinant cancels.
        return torch.softmax(weights.log() - (exponents + total.log().sum(2)) / 2, dim=1)


def gaussian(spreads: Sequence[float] = (1.0, 0.3)) -> GaussianMixture:
    """One Gaussian around 0 with these standard deviations along the coordinate axes."""
    return GaussianMixture(
        np.ones(1), np.zeros((1, len(spreads))), np.eye(len(spreads))[None], np.array([spreads]), name="gaussian"
    )


def ring(modes: int = 8, radius: float = 0.8, spread: float = 0.05) -> GaussianMixture:
    """Equal round modes evenly on a circle in the plane."""
    return GaussianMixture(
        np.full(modes, 1 / modes),
        radius * _circle(modes),
        np.tile(np.eye(2), (modes, 1, 1)),
        np.full((modes, 2), spread),
        name="ring",
    )


def oblique_plane(clusters: int = 3, radius: float = 1.0, spread: float = 0.05) -> GaussianMixture:
    """Equal round clusters evenly on a circle, in the plane of R^3 through 0 that has the normal (1,1,1)/sqrt(3).

    The plane is oblique to all coordinate axes, so that a network cannot find it by looking at one input.
    """
    first, second = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
    plane = np.stack([first, second])
    return GaussianMixture(
        np.full(clusters, 1 / clusters),
        radius * _circle(clusters) @ plane,
        np.tile(plane, (clusters, 1, 1)),
        np.full((clusters, 2), spread),
        name="plane",
    )


def _circle(count: int) -> np.ndarray:
    """Evenly spaced points of the unit circle, [count, 2]."""
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
