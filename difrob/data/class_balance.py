"""Which class each image of a generated set has: a function of its index, so that every part of the set is balanced."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from difrob.inputs.misfits import class_shares, refuse

_GOLDEN = (math.sqrt(5) - 1) / 2


def class_of(index: np.ndarray, num_classes: int, weights: Sequence[float] = ()) -> np.ndarray:
    """The classes of the images with these indices, int64 [n].

    Without weights image i has class i mod K. With weights the multiples of the golden ratio choose: of the first n images,
    each class has its share up to a few images, whatever n is.

    Args:
        index: non-negative, int64 [n].
        num_classes: K.
        weights: shares of the classes before normalisation, [K]; empty for even ones.

    Raises:
        UserError: for weights that are not K non-negative numbers with a positive sum.
    """
    if len(weights) == 0:
        return index % num_classes
    refuse(class_shares(weights, num_classes))
    shares = np.asarray(weights, dtype=np.float64)
    edges = np.cumsum(shares / shares.sum())
    edges[np.flatnonzero(shares)[-1] :] = 1.0  # rounding must not leave a gap at the end
    places = np.mod((index + 1) * _GOLDEN, 1.0)
    return np.searchsorted(edges, places, side="right").astype(np.int64)
