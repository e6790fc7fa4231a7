"""Certified accuracy over radius, from per-image predictions and radii.

Certified accuracy at radius r is the share of images with prediction = label and radius >= r; an abstention counts as
wrong at every radius, r = 0 included (Cohen et al. 2019, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob.metrics.intervals import clopper_pearson
from difrob.smoothing.statistics import ABSTAIN

CURVE_POINTS = 51
SIGMA_MULTIPLES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


@dataclass(frozen=True)
class CertifiedCurve:
    """Certified accuracy over a grid of radii; all arrays float64 [R], shares in [0,1], Clopper-Pearson 95 % band."""

    radii: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def radius_grid(largest_radius: float, points: int = CURVE_POINTS) -> np.ndarray:
    """Evenly spaced radii from 0 to the largest one, float64 [points]."""
    return np.linspace(0.0, largest_radius, points)


def certified_correct(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Which images are certified for the right class, bool [M]."""
    return (predictions == labels) & (predictions != ABSTAIN)


def certified_accuracy(
    labels: np.ndarray, predictions: np.ndarray, radii: np.ndarray, grid: np.ndarray, level: float = 0.95
) -> CertifiedCurve:
    """The curve of certified accuracy over a grid of radii.

    Args:
        labels: int64 [M], M >= 1.
        predictions: int64 [M], -1 for an abstention.
        radii: certified radii [M] in [0,1] intensity units.
        grid: radii at which the curve is read, [R].
        level: coverage of the pointwise band.
    """
    return curve_of_counts(certified_counts(labels, predictions, radii, grid), len(labels), grid, level)


def certified_counts(labels: np.ndarray, predictions: np.ndarray, radii: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """How many images are certified for the right class at each radius of a grid, int64 [R]; counts of parts add up."""
    successful = np.sort(radii[certified_correct(labels, predictions)])
    # How many of the sorted radii lie at or beyond each grid point, in one search instead of an R x M comparison.
    return successful.size - np.searchsorted(successful, grid, side="left")


def curve_of_counts(counts: np.ndarray, n: int, grid: np.ndarray, level: float = 0.95) -> CertifiedCurve:
    """The curve of :func:`certified_counts` [R] of ``n`` >= 1 images over the grid [R], with its pointwise band."""
    band = clopper_pearson(counts, n, level)
    return CertifiedCurve(np.asarray(grid, dtype=np.float64), counts / n, band.low, band.high, n)


def radius_contributions(labels: np.ndarray, predictions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radius of each image where the prediction is right, else 0; their mean is the average certified radius."""
    return np.where(certified_correct(labels, predictions), radii, 0.0)


def table_radii(sigma: float, largest_radius: float) -> np.ndarray:
    """Multiples of sigma at which certified accuracy is tabulated, as far as the largest radius reaches."""
    return np.array([m * sigma for m in SIGMA_MULTIPLES if m * sigma <= largest_radius])
