"""How far samples are from a toy distribution of which everything is known.

De-noising and fidelity are told apart: a model that shrinks everything towards the middle looks clean off the support and
gives itself away by the distance to the centres, the spread of the modes and the strays between them. All values are in the
unit of the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import special
from scipy.linalg import subspace_angles

from difrob.data.toy import GaussianMixture, Support
from difrob.errors import UserError
from difrob.metrics.accuracy import LEVEL, share_measure
from difrob.metrics.intervals import mean_interval
from difrob.runs.interface import Measure

CHUNK = 4096

# Full width of the diffusion range [-1,1], the peak of a signal-to-noise ratio.
PEAK = 2.0


@dataclass(frozen=True)
class ModeErrors:
    """How one mode is represented among samples.

    Attributes:
        share: share of the samples that fall to the mode, with its interval.
        spreads: standard deviation of those samples along the axes of the mode, float64 [m]; NaN for fewer than two.
        low, high: ends of the 95 % intervals of the spreads, for normal samples, float64 [m].
        true_spreads: the spreads of the mode, float64 [m].
    """

    share: Measure
    spreads: np.ndarray
    low: np.ndarray
    high: np.ndarray
    true_spreads: np.ndarray


def off_support_measure(samples: ArrayLike, support: Support) -> Measure:
    """Root mean square distance to the support; off a plane with the normal nu, sqrt(E (nu x)^2).

    Args:
        samples: [n, ...] with d numbers each, n >= 1.
        support: the true support.

    Raises:
        UserError: for samples that are not finite.
    """
    points = _flat(samples)
    squares = np.square(points - support.project(points)).sum(axis=1)
    return _root_mean_square(squares, "root mean square distance of the samples to the true support")


def projection_psnr(samples: ArrayLike, support: Support) -> Measure:
    """Peak signal-to-noise ratio of samples against their projections on the support, in dB for the range [-1,1].

    Infinite, and then without an interval, for samples on the support.
    """
    points = _flat(samples)
    squares = np.square(points - support.project(points)).mean(axis=1)
    mean, low, high = mean_interval(squares, LEVEL)
    description = "PSNR of the samples against their projections on the true support"
    if mean == 0 or len(squares) < 2:
        return Measure(_decibels(mean), n=len(squares), unit="dB", description=description)
    return Measure(
        value=_decibels(mean),
        low=_decibels(high),
        high=_decibels(max(low, 0.0)),
        n=len(squares),
        interval="Student t 95 % of the mean square",
        unit="dB",
        description=description,
    )


def principal_angles(samples: ArrayLike, support: Support) -> np.ndarray:
    """Angles between the first m principal components of the samples and the m-dimensional support.

    Returns:
        Degrees, largest first, float64 [m]; all 0 where the samples vary inside the support only.

    Raises:
        ValueError: for fewer than m + 1 samples, which span less than m dimensions.
    """
    points = _flat(samples)
    dimensions = len(support.basis)
    if len(points) <= dimensions:
        raise ValueError(f"{len(points)} samples have no {dimensions} principal components")
    _, _, directions = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    angles: np.ndarray = np.degrees(subspace_angles(directions[:dimensions].T, support.basis.T))
    return angles


def centre_distance_measure(samples: ArrayLike, mixture: GaussianMixture) -> Measure:
    """Root mean square distance to the nearest centre; sqrt(sum of squared spreads) for samples of round, far modes."""
    points = _flat(samples)
    squares = np.concatenate(
        [
            np.square(points[start : start + CHUNK, None] - mixture.means).sum(axis=2).min(axis=1)
            for start in range(0, len(points), CHUNK)
        ]
    )
    return _root_mean_square(squares, "root mean square distance of the samples to the nearest mode centre")


def stray_measure(samples: ArrayLike, mixture: GaussianMixture, limit: float = 3.0) -> Measure:
    """Share of samples that lie, along the axes of every mode, more than ``limit`` of its standard deviations away.

    Distances off the support do not count. True samples of a single mode of m axes are strays with probability
    P(chi^2_m > limit^2), which the description states; with several modes it is an upper bound.
    """
    points = _flat(samples)
    strays = []
    for start in range(0, len(points), CHUNK):
        offsets = points[start : start + CHUNK, None] - mixture.means
        scaled = np.einsum("nkd,kmd->nkm", offsets, mixture.axes) / mixture.spreads
        strays.append((np.square(scaled).sum(axis=2) > limit**2).all(axis=1))
    axes = mixture.spreads.shape[1]
    expected = float(special.chdtrc(axes, limit**2))
    return share_measure(
        np.concatenate(strays),
        f"samples further than {limit:g} standard deviations from every mode (true samples: at most {expected:.2%})",
    )


def mode_errors(samples: ArrayLike, mixture: GaussianMixture, blur: float | None = None) -> list[ModeErrors]:
    """Shares and spreads of all modes.

    A sample falls to the mode that is most probable when the mixture is blurred by noise of standard deviation ``blur``;
    for equal round modes that is the nearest centre. Where modes overlap, their measured spreads are too small.

    Args:
        samples: [n, ...] with d numbers each, n >= 1.
        mixture: the true distribution.
        blur: how far off the support samples are expected; None for the root mean square spread of the mixture.
    """
    points = _flat(samples)
    level = float(np.sqrt(np.square(mixture.spreads).mean())) if blur is None else blur
    owners = np.concatenate(
        [
            mixture.responsibilities(part, torch.full((len(part),), level)).argmax(dim=1).numpy()
            for part in torch.from_numpy(points).split(CHUNK)
        ]
    )
    found = []
    for mode in range(mixture.num_classes):
        own = points[owners == mode]
        coordinates = (own - mixture.means[mode]) @ mixture.axes[mode].T
        spreads, low, high = _spreads(coordinates)
        found.append(
            ModeErrors(
                share=share_measure(owners == mode, f"samples that fall to mode {mode}"),
                spreads=spreads,
                low=low,
                high=high,
                true_spreads=mixture.spreads[mode],
            )
        )
    return found


def _flat(samples: ArrayLike) -> np.ndarray:
    """Samples as float64 [n, d]."""
    values = np.asarray(samples, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("at least one sample is needed")
    points: np.ndarray = values.reshape(len(values), -1)
    lost = int((~np.isfinite(points)).any(axis=1).sum())
    if lost:
        raise UserError(
            f"{lost} of {len(points)} samples are not finite: the denoiser diverges while sampling; train it longer, or "
            "with a weaker penalty"
        )
    return points


def _root_mean_square(squares: np.ndarray, description: str) -> Measure:
    mean, low, high = mean_interval(squares, LEVEL)
    if len(squares) < 2:
        return Measure(value=float(np.sqrt(mean)), n=1, unit="unit of the points", description=description)
    return Measure(
        value=float(np.sqrt(mean)),
        low=float(np.sqrt(max(low, 0.0))),
        high=float(np.sqrt(high)),
        n=len(squares),
        interval="Student t 95 % of the mean square",
        unit="unit of the points",
        description=description,
    )


def _spreads(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviation per column with its exact interval for normal values, three times float64 [m]."""
    freedom = len(coordinates) - 1
    if freedom < 1:
        unknown = np.full(coordinates.shape[1], np.nan)
        return unknown, unknown, unknown
    spreads = coordinates.std(axis=0, ddof=1)
    tail = (1 - LEVEL) / 2
    # chdtri takes the probability of the upper tail.
    low = spreads * np.sqrt(freedom / special.chdtri(freedom, tail))
    high = spreads * np.sqrt(freedom / special.chdtri(freedom, 1 - tail))
    return spreads, low, high


def _decibels(mean_square: float) -> float:
    return float("inf") if mean_square == 0 else float(10 * np.log10(PEAK**2 / mean_square))
