"""Alignment and uniformity of features on the unit sphere (Wang & Isola 2020, section 4.1).

With h~ = h / |h|: alignment is the mean of |h~(x) - h~(x+)|^2 over partners x+ of an image, uniformity the logarithm of
the mean of exp(-2 |h~(x) - h~(y)|^2) over pairs of different images. The lower alignment, the nearer partners; the lower
uniformity, the more evenly the features fill the sphere. The intervals of means over pairs are those of U-statistics: an
image counts in all of its pairs (Hoeffding 1948).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difrob.metrics.accuracy import TWO_SIDED_95, mean_measure
from difrob.metrics.conditions import stated
from difrob.metrics.distances import nothing
from difrob.runs.interface import Measure

TEMPERATURE = 2.0
PAIRS = "U-statistic over pairs of images, normal 95 %"
_ROWS = 1024


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64 [N, d]; a row of zeros stays at the origin."""
    values = features.astype(np.float64)
    values = values / max(float(np.abs(values).max(initial=0.0)), np.finfo(np.float64).tiny)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def partner_distances(features: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """|h~ - h~+|^2 of rows that belong together, in [0, 4], float64 [N]."""
    squares: np.ndarray = ((unit_rows(features) - unit_rows(partners)) ** 2).sum(axis=1)
    return squares


def class_distances(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean |h~_i - h~_j|^2 over all other images j of the same class, [N]; NaN for the only image of its class."""
    points = unit_rows(features)
    own = (points**2).sum(axis=1)
    result = np.full(len(points), np.nan)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            total, squares = points[rows].sum(axis=0), own[rows].sum()
            sums = len(rows) * own[rows] + squares - 2 * points[rows] @ total
            result[rows] = np.maximum(sums, 0.0) / (len(rows) - 1)
    return result


def pair_closeness(features: np.ndarray, between: Callable[[], None] = nothing) -> np.ndarray:
    """Mean of exp(-2 |h~_i - h~_j|^2) over all other images j, [N >= 2]; block by block."""
    points = unit_rows(features)
    own = (points**2).sum(axis=1)
    result = np.empty(len(points))
    for first in range(0, len(points), _ROWS):
        between()
        rows = slice(first, min(first + _ROWS, len(points)))
        squares = np.maximum(own[rows, None] + own[None, :] - 2 * points[rows] @ points.T, 0.0)
        closeness = np.exp(-TEMPERATURE * squares)
        at = np.arange(len(closeness))
        closeness[at, first + at] = 0.0
        result[rows] = closeness.sum(axis=1) / (len(points) - 1)
    return result


def uniformity(features: np.ndarray) -> float:
    """ln E exp(-2 |h~_i - h~_j|^2) over pairs i != j, at most 0."""
    return float(np.log(pair_closeness(features).mean()))


def alignment_uniformity_measures(
    features: np.ndarray,
    labels: np.ndarray,
    adversarial: np.ndarray,
    attack: str,
    between: Callable[[], None] = nothing,
    /,
    **conditions: str,
) -> dict[str, Measure]:
    """``alignment_adversarial``, ``alignment_class`` and ``uniformity`` with their intervals.

    Args:
        features: of clean images, [N >= 4, d].
        labels: int64 [N].
        adversarial: features of the same images attacked, [N, d].
        attack: how the attack is called.
        between: called between pieces of the work.
        conditions: what else the descriptions state.
    """
    n = len(features)
    pairs = "squared distance on the unit sphere"
    found = {
        "alignment_adversarial": mean_measure(
            partner_distances(features, adversarial),
            **stated(f"{pairs} of an image's features to those of the attacked image", attack=attack, **conditions),
            unit="squared length",
        )
    }
    of_class = class_distances(features, labels)
    known = of_class[~np.isnan(of_class)]
    if len(known) > 1:
        half_width = TWO_SIDED_95 * 2 * float(known.std(ddof=1)) / np.sqrt(len(known))
        value = float(known.mean())
        found["alignment_class"] = Measure(
            value, max(value - half_width, 0.0), value + half_width, n=len(known), interval=PAIRS, unit="squared length",
            **stated(f"{pairs} of an image's features to those of another image of its class", **conditions),
        )  # fmt: skip
    closeness = pair_closeness(features, between)
    mean = float(closeness.mean())
    half_width = TWO_SIDED_95 * 2 * float(closeness.std(ddof=1)) / np.sqrt(n) / mean
    value = float(np.log(mean))
    found["uniformity"] = Measure(
        value, value - half_width, value + half_width, n=n, interval=PAIRS, unit="nats",
        **stated("logarithm of the mean closeness exp(-2 d^2) of two images' features", **conditions),
    )  # fmt: skip
    return found
