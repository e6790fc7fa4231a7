"""Classification dimension: how many principal directions of its features a classifier needs.

Test features are projected on the leading k principal components of the training features, the mean kept, and fed to the
model's own linear head; k_tau is the smallest k whose accuracy reaches tau times that of all d components. Because it may
favour a head whose own directions are leading, the same is told with a head that is fitted anew to every k components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from difrob.errors import UserError
from difrob.metrics.conditions import stated
from difrob.metrics.distances import nothing
from difrob.metrics.resampling import BOOTSTRAP, bootstrap_counts
from difrob.runs.interface import Measure

SHARES = (0.9, 0.95, 0.99)
LEAST_VARIANCE = 1e-12
_CHUNK_NUMBERS = 1 << 23


@dataclass(frozen=True)
class FeatureComponents:
    """Principal components of training features.

    Attributes:
        mean: [d].
        basis: orthonormal columns, those of largest variance first, [d, d].
        variances: along the columns, [d], none negative.
    """

    mean: np.ndarray
    basis: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> FeatureComponents:
        """Components of features [N >= 2, d]. The sign of each is such that its largest entry is positive."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        variances, basis = np.linalg.eigh(centred.T @ centred / len(centred))
        variances, basis = np.maximum(variances[::-1], 0.0), basis[:, ::-1]
        largest = np.abs(basis).argmax(axis=0)
        return cls(mean, basis * np.sign(basis[largest, np.arange(len(mean))]), variances)

    def coordinates(self, features: np.ndarray, count: int | None = None) -> np.ndarray:
        """Coordinates along the first ``count`` components, float64 [n, count]; along all of them without a count."""
        projected: np.ndarray = (features.astype(np.float64) - self.mean) @ self.basis[:, :count]
        return projected


def right_by_components(
    coordinates: np.ndarray, labels: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Whether an image is classified rightly from its first k coordinates, bool [N, d] for k = 1..d.

    Args:
        coordinates: along the principal components, [N, d].
        labels: int64 [N].
        weights: what each component adds to the logits, [d, K].
        bias: logits of the mean, [K].
    """
    right = np.empty(coordinates.shape, dtype=bool)
    for rows in _chunks(len(coordinates), weights.size):
        logits = np.cumsum(coordinates[rows, :, None] * weights, axis=1) + bias
        right[rows] = logits.argmax(axis=2) == labels[rows, None]
    return right


def refitted_head(
    coordinates: np.ndarray, variances: np.ndarray, labels: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares weights [d, K] and bias [K] to one-hot labels: those of the first k components for every k at once.

    On the training images the components are uncorrelated, so each one's weights do not depend on which others are used.
    A component without variance gets none.

    Args:
        coordinates: of training images, [N, d].
        variances: along the components, [d].
        labels: int64 [N].
        num_classes: K.
    """
    targets = np.eye(num_classes)[labels]
    bias = targets.mean(axis=0)
    slopes = coordinates.T @ (targets - bias) / len(labels)
    alive = variances > LEAST_VARIANCE * max(float(variances[0]), np.finfo(np.float64).tiny)
    weights = np.divide(slopes, variances[:, None], out=np.zeros_like(slopes), where=alive[:, None])
    return weights, bias


def smallest_sufficient(right: np.ndarray, share: float) -> np.ndarray:
    """The smallest k at which the number of right images reaches ``share`` of that at d.

    Args:
        right: numbers (or weighted numbers) of right images for k = 1..d, [..., d].
        share: tau in (0, 1].

    Returns:
        int64 [...], in 1..d.
    """
    enough = right >= share * right[..., -1:] - 1e-9
    return enough.argmax(axis=-1) + 1


def dimension_measures(
    right: np.ndarray, head: str, seed: int, between: Callable[[], None] = nothing, /, **conditions: str
) -> dict[str, Measure]:
    """k_tau for the three shares, with bootstrap intervals over the test images; the components are kept.

    Args:
        right: from :func:`right_by_components`.
        head: ``own`` or ``refitted``, part of the name.
        seed: of the resampling.
        between: called between pieces of the work.
        conditions: what the descriptions state.
    """
    if not right[:, -1].any():
        raise UserError(
            "the classifier gets no image right, so its classification dimension means nothing; train it longer"
        )
    drawn: list[list[np.ndarray]] = [[] for _ in SHARES]
    for counts in bootstrap_counts(len(right), seed):
        between()
        totals = counts @ right
        for found, share in zip(drawn, SHARES, strict=True):
            found.append(smallest_sufficient(totals, share))
    suffix = "" if head == "own" else "_refitted"
    whose = "the model's own head" if head == "own" else "a least-squares head fitted anew"
    measures = {}
    for found, share in zip(drawn, SHARES, strict=True):
        # Between two whole numbers of components there is none: the ends go outwards.
        low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
        low, high = np.floor(low), np.ceil(high)
        what = f"fewest principal components with {100 * share:g} % of the accuracy of all of them under {whose}"
        measures[f"classification_dimension_{round(100 * share)}{suffix}"] = Measure(
            float(smallest_sufficient(right.sum(axis=0).astype(np.float64), share)), float(low), float(high),
            n=len(right), interval=BOOTSTRAP, unit="components", **stated(what, **conditions),
        )  # fmt: skip
    return measures


def _chunks(count: int, numbers_per_row: int) -> Iterator[slice]:
    at_once = max(1, _CHUNK_NUMBERS // max(numbers_per_row, 1))
    for first in range(0, count, at_once):
        yield slice(first, min(first + at_once, count))
