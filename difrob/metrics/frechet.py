"""Fréchet distance between two sets of images, each summed up by a Gaussian of its features.

Between Gaussians it is |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017 use it
on Inception features). Symmetric eigendecompositions do all the work; the square root of a non-symmetric matrix, which is
where other codes pick up complex parts, is never formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from difrob.errors import UserError
from difrob.metrics.accuracy import TWO_SIDED_95
from difrob.metrics.conditions import counted, stated
from difrob.metrics.distances import nothing
from difrob.metrics.extractors import CHUNK, PrincipalComponents, label_of, moments
from difrob.runs.interface import Measure

KEPT_VARIANCE = 0.99
MOST_COMPONENTS = 64


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
class Gaussian:
    """The Gaussian that sums up a set.

    Attributes:
        mean: [d].
        covariance: unbiased, [d,d].
        count: number of images n.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    @classmethod
    def of(cls, features: np.ndarray, between: Callable[[], None] = nothing) -> Gaussian:
        """Of features [n >= 2, d]."""
        return cls(*moments(features, lambda piece: piece, between), len(features))


def require_enough(features: int, **counts: int) -> None:
    """Refuse sets whose covariance would be singular, before any work.

    Args:
        features: how many features d an image has.
        counts: images by set, e.g. ``generated=5000``.

    Raises:
        UserError: naming the set, and what to do.
    """
    for name, count in counts.items():
        if count <= features:
            raise UserError(
                f"{counted(count, f'{name} image')} cannot tell the covariance of {features} features: a Fréchet distance "
                f"needs more than {features}. Take more images, the extractor 'pca' with fewer components, or the kernel "
                "distance instead"
            )


def frechet_measure(
    generated: np.ndarray, reference: np.ndarray, between: Callable[[], None] = nothing, /, **conditions: str
) -> Measure:
    """Fréchet distance of generated images from reference images in their features.

    The interval is that of the delta method: the distance's derivative with respect to the generated images' mean and
    covariance turns every image into one influence, and the influences' standard error is the distance's. The reference is
    taken as given. Finite samples bias the distance upwards by order d / n, which no interval covers: compare sets of equal
    size only.

    Args:
        generated: features [n >= 2, d].
        reference: features [N >= 2, d].
        between: called between pieces of the work.
        conditions: what else the description states; see :func:`difrob.metrics.conditions.stated`.
    """
    a, b = Gaussian.of(generated, between), Gaussian.of(reference, between)
    value = frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    standard_error = _influences(generated, a, b, between).std(ddof=1) / math.sqrt(a.count)
    return Measure(
        value=value,
        low=max(value - TWO_SIDED_95 * float(standard_error), 0.0),
        high=value + TWO_SIDED_95 * float(standard_error),
        n=a.count,
        interval="delta method 95 %",
        unit="squared feature unit",
        **stated("Fréchet distance, grows as the sets shrink", **conditions),
    )


def pixel_frechet_measure(generated: np.ndarray, reference: np.ndarray) -> Measure:
    """Fréchet distance of generated images from the training images they were learnt from, in principal components.

    No other network is needed, and at 8x8 pixels none would be better. The components keep 99 % of the variance of the
    training images' pixels, and are at most 64.

    Args:
        generated: uint8 [n >= 2, H, W, C].
        reference: uint8 [N >= 2, H, W, C].
    """
    origin = counted(len(reference), "training image")
    components = PrincipalComponents.of(reference, kept_variance=KEPT_VARIANCE, origin=origin)
    if components.features > MOST_COMPONENTS:
        components = PrincipalComponents.of(reference, MOST_COMPONENTS, origin=origin)
    return frechet_measure(
        components(generated), components(reference), generated=counted(len(generated), "image"), reference=origin,
        features=label_of(components),
    )  # fmt: skip


def _influences(features: np.ndarray, own: Gaussian, other: Gaussian, between: Callable[[], None]) -> np.ndarray:
    """First-order effect of each image on the distance of its set from the other, [n].

    With T the optimal transport map between the centred Gaussians, d tr((S_a S_b)^(1/2)) = tr(T dS_a) / 2, so an image
    at z moves the distance by 2 (m_a - m_b).(z - m_a) + (z - m_a)^T (I - T) (z - m_a), up to a constant.
    """
    root = _symmetric_power(other.covariance, 0.5)
    stretch = np.eye(len(root)) - root @ _symmetric_power(root @ own.covariance @ root, -0.5) @ root
    shift = own.mean - other.mean
    effects = []
    for first in range(0, len(features), CHUNK):
        between()
        centred = features[first : first + CHUNK].astype(np.float64) - own.mean
        effects.append(2 * centred @ shift + ((centred @ stretch) * centred).sum(axis=1))
    return np.concatenate(effects)


def _symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a positive semidefinite matrix; directions without variance stay without (pseudo-inverse)."""
    values, vectors = np.linalg.eigh(_symmetrised(matrix))
    alive = values > values[-1] * len(values) * np.finfo(float).eps
    powers = np.zeros_like(values)
    powers[alive] = values[alive] ** power
    return (vectors * powers) @ vectors.T


def _symmetrised(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2
