"""Do the labels of a generated set say what its images show? A classifier is asked that knows nothing of the set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob.metrics.accuracy import LEVEL, share_measure
from difrob.metrics.conditions import stated
from difrob.metrics.intervals import wilson
from difrob.runs.interface import Measure


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement class by class.

    Attributes:
        labels: the classes that occur, ascending, int64 [c].
        counts: images of each, int64 [c].
        shares: how many of them the classifier gives the same class, float64 [c].
        low, high: ends of the Wilson 95 % intervals, float64 [c].
    """

    labels: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    low: np.ndarray
    high: np.ndarray


def agreement_measure(labels: np.ndarray, predictions: np.ndarray, /, **conditions: str) -> Measure:
    """Share of images to which the classifier gives the label they were generated for.

    Args:
        labels, predictions: int64 [n >= 1].
        conditions: what else the description states.
    """
    return share_measure(labels == predictions, **stated("label and classifier agree", **conditions))


def agreement_by_class(labels: np.ndarray, predictions: np.ndarray) -> ClassAgreement:
    """The same for each class that occurs among the labels.

    Args:
        labels, predictions: int64 [n >= 1].
    """
    found, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    agreeing = np.bincount(place, weights=labels == predictions, minlength=len(found)).astype(np.int64)
    interval = wilson(agreeing, counts, LEVEL)
    return ClassAgreement(found, counts.astype(np.int64), agreeing / counts, interval.low, interval.high)
