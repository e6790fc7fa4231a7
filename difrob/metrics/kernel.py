"""Kernel distance between two sets of features: the squared maximum mean discrepancy (Gretton et al. 2012, lemma 6).

The kernel is (x.y / d + 1)^3, for which the distance is zero only if the first three moments agree (Bińkowski et al. 2018,
section 4). Unlike the Fréchet distance, the unbiased estimate does not grow as the sets shrink, and may be negative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difrob.errors import UserError
from difrob.metrics.accuracy import mean_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.distances import nothing
from difrob.randomness import numpy_generator
from difrob.runs.interface import Measure

LEAST_SUBSETS = 2


def squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared discrepancy with the cubic kernel.

    Args:
        a: features [m >= 2, d].
        b: features [n >= 2, d].
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("an unbiased discrepancy needs at least two rows on either side")
    a, b = a.astype(np.float64), b.astype(np.float64)
    own_a, own_b = _kernel(a, a), _kernel(b, b)
    within = _mean_off_diagonal(own_a) + _mean_off_diagonal(own_b)
    return float(within - 2 * _kernel(a, b).mean())


def require_subsets(size: int, **counts: int) -> None:
    """Refuse sets that are too small for an interval, before any work.

    Raises:
        UserError: naming the set, and what to do.
    """
    for name, count in counts.items():
        if count < LEAST_SUBSETS * size:
            raise UserError(
                f"kernel_subset = {size} leaves no two disjoint subsets of the {counted(count, f'{name} image')}; lower it "
                f"to {count // LEAST_SUBSETS} or less, or take more images"
            )


def kernel_measure(
    generated: np.ndarray,
    reference: np.ndarray,
    size: int,
    seed: int,
    between: Callable[[], None] = nothing,
    /,
    **conditions: str,
) -> Measure:
    """Mean discrepancy over disjoint subsets, with Student's t interval over them.

    Both sets are shuffled and cut into equally many subsets, of which the smaller have at least ``size`` images. As no
    image is used twice, the subsets' values are independent, which those of overlapping subsets are not.

    Args:
        generated: features [n, d].
        reference: features [N, d].
        size: images of the smaller set in a subset, at least 2 and at most half of it.
        seed: which images share a subset.
        between: called before each subset.
        conditions: what else the description states.
    """
    require_subsets(size, generated=len(generated), reference=len(reference))
    subsets = min(len(generated), len(reference)) // size
    cuts = [
        np.array_split(numpy_generator(seed, "kernel subsets", name).permutation(len(rows)), subsets)
        for name, rows in (("generated", generated), ("reference", reference))
    ]
    values = []
    for a, b in zip(*cuts, strict=True):
        between()
        values.append(squared_discrepancy(generated[a], reference[b]))
    smallest = [len(generated) // subsets, len(reference) // subsets]
    how = f"{subsets} disjoint, of at least {smallest[0]} generated and {smallest[1]} reference images each"
    what = "squared maximum mean discrepancy with the kernel (x.y/d + 1)^3"
    return mean_measure(values, **stated(what, **conditions, subsets=how), unit="squared kernel unit")


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    values: np.ndarray = (a @ b.T / a.shape[1] + 1) ** 3
    return values


def _mean_off_diagonal(matrix: np.ndarray) -> float:
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))
