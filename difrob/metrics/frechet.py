"""Fréchet distance between two sets of images, each summed up by a Gaussian.

Between Gaussians it is |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017 use it
on Inception features). Here the features are the principal components of the reference images' pixels: no other network
is needed, and at 8x8 pixels none would be better. Symmetric eigendecompositions do all the work; the square root of a
non-symmetric matrix, which is where other codes pick up complex parts, is never formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from difrob.runs.interface import Measure

KEPT_VARIANCE = 0.99
MOST_COMPONENTS = 64
TWO_SIDED_95 = 1.959963984540054


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians.

    Args:
        mean_a, mean_b: [d].
        cov_a, cov_b: symmetric positive semidefinite [d,d]; may be singular.

    Returns:
        A number >= 0.
    """
    root_b = _symmetric_power(cov_b, 0.5)
    # (S_a S_b)^(1/2) and (R S_a R)^(1/2) with R = S_b^(1/2) have the same eigenvalues, and the latter is symmetric.
    cross = np.trace(_symmetric_power(root_b @ cov_a @ root_b, 0.5))
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(float(distance), 0.0)


@dataclass(frozen=True)
class PixelComponents:
    """The principal components of a reference set's pixels, and the reference in these coordinates.

    Attributes:
        centre: mean pixel values in [0,1], [pixels].
        basis: orthonormal columns, [pixels, d].
        covariance: of the reference's coordinates, [d,d], diagonal; their mean is zero.
    """

    centre: np.ndarray
    basis: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray) -> PixelComponents:
        """Components that keep 99 % of the variance of uint8 images [N >= 2, ...], at most 64 of them."""
        pixels = _flat(images)
        if len(pixels) < 2:
            raise ValueError("principal components need at least two images")
        centre = pixels.mean(axis=0)
        _, singular, directions = np.linalg.svd(pixels - centre, full_matrices=False)
        variances = singular**2 / (len(pixels) - 1)
        shares = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
        kept = min(int(np.searchsorted(shares, KEPT_VARIANCE)) + 1, MOST_COMPONENTS, len(variances))
        return cls(centre, directions[:kept].T, np.diag(variances[:kept]))

    def coordinates(self, images: np.ndarray) -> np.ndarray:
        """uint8 images [n, ...] -> float64 [n, d]."""
        return (_flat(images) - self.centre) @ self.basis


def pixel_frechet_measure(generated: np.ndarray, reference: np.ndarray) -> Measure:
    """Fréchet distance of generated images from the reference images they were learnt from.

    The interval is that of the delta method: the distance's derivative with respect to the generated images' mean and
    covariance turns every image into one influence, and the influences' standard error is the distance's. The reference is
    taken as given. Finite samples bias the distance upwards by order d / n, which no interval covers: compare sets of equal
    size only.

    Args:
        generated: uint8 [n >= 2, H, W, C].
        reference: uint8 [N >= 2, H, W, C].
    """
    components = PixelComponents.of(reference)
    z = components.coordinates(generated)
    mean, covariance = z.mean(axis=0), np.atleast_2d(np.cov(z, rowvar=False))
    value = frechet_distance(mean, covariance, np.zeros_like(mean), components.covariance)
    standard_error = _influences(z, mean, covariance, components.covariance).std(ddof=1) / math.sqrt(len(z))
    return Measure(
        value=value,
        low=max(value - TWO_SIDED_95 * float(standard_error), 0.0),
        high=value + TWO_SIDED_95 * float(standard_error),
        n=len(z),
        interval="delta method 95 %",
        unit="squared [0,1] intensity",
        description=f"Fréchet distance to {len(reference)} training images in {components.basis.shape[1]} principal "
        "components of the pixels; grows as the sets shrink, so compare equal sizes only",
    )


def _influences(z: np.ndarray, mean: np.ndarray, covariance: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """First-order effect of each image on the distance to N(0, reference), [n].

    With T the optimal transport map between the centred Gaussians, d tr((S_a S_b)^(1/2)) = tr(T dS_a) / 2, so an image
    at z moves the distance by 2 m.(z - m) + (z - m)^T (I - T) (z - m), up to a constant.
    """
    root = _symmetric_power(reference, 0.5)
    transport = root @ _symmetric_power(root @ covariance @ root, -0.5) @ root
    centred = z - mean
    quadratic = np.einsum("ni,ij,nj->n", centred, np.eye(len(mean)) - transport, centred, optimize=True)
    return 2 * centred @ mean + quadratic


def _symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a positive semidefinite matrix; directions without variance stay without (pseudo-inverse)."""
    values, vectors = np.linalg.eigh(_symmetrised(matrix))
    alive = values > values[-1] * len(values) * np.finfo(float).eps
    powers = np.zeros_like(values)
    powers[alive] = values[alive] ** power
    return (vectors * powers) @ vectors.T


def _symmetrised(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255
