"""How alike two networks see the same images: linear centred kernel alignment (Kornblith et al. 2019).

Unchanged by rotating, shifting and evenly scaling either side's features. The plain estimate grows with the number of
features where images are few; the debiased one (Song et al. 2012, equation 5, for the three inner products) does not, and
may be negative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difrob.metrics.conditions import stated
from difrob.metrics.distances import nothing
from difrob.metrics.resampling import JACKKNIFE, jackknife_interval
from difrob.runs.interface import Measure

LEAST_IMAGES = 4


def kernel_alignment(x: np.ndarray, y: np.ndarray) -> float:
    """|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F) of centred features, in [0, 1].

    Args:
        x, y: features of the same images in the same order, [N, d] and [N, e].
    """
    _check(x, y)
    x, y = _centred(x), _centred(y)
    return _ratio(_squares(x, y), _squares(x, x), _squares(y, y))


def debiased_kernel_alignment(x: np.ndarray, y: np.ndarray) -> float:
    """The same of unbiased inner products, at most about 1 and around 0 for independent features; see above."""
    _check(x, y)
    x, y = _centred(x), _centred(y)
    return _ratio(_unbiased(x, y), _unbiased(x, x), _unbiased(y, y))


def alignment_measures(
    x: np.ndarray, y: np.ndarray, seed: int, between: Callable[[], None] = nothing, /, **conditions: str
) -> dict[str, Measure]:
    """``kernel_alignment`` and ``kernel_alignment_debiased`` with jackknife intervals."""
    found = {}
    for name, what, statistic in (
        ("kernel_alignment", "linear centred kernel alignment", kernel_alignment),
        ("kernel_alignment_debiased", "debiased linear centred kernel alignment", debiased_kernel_alignment),
    ):

        def of_rows(rows: np.ndarray, statistic: Callable[..., float] = statistic) -> float:
            return statistic(x[rows], y[rows])

        value, low, high = jackknife_interval(of_rows, len(x), seed, between)
        found[name] = Measure(value, low, high, n=len(x), interval=JACKKNIFE, unit="", **stated(what, **conditions))
    return found


def _unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased inner product of two kernel matrices K = X X^T and L = Y Y^T, up to the factor 1 / (N (N - 3)).

    tr(K' L') + (1^T K' 1)(1^T L' 1) / ((N-1)(N-2)) - 2 (1^T K' L' 1) / (N-2), where K' is K without its diagonal. Written in
    features, so that no N x N matrix is made. It does not change when X or Y are centred, of which use is made.
    """
    n = len(x)
    own_x, own_y = (x * x).sum(axis=1), (y * y).sum(axis=1)
    # For centred features the rows of K add up to zero, so those of K' to minus the diagonal.
    trace = _squares(x, y) - float(own_x @ own_y)
    totals = float(own_x.sum() * own_y.sum())
    rows = float(own_x @ own_y)
    return trace + totals / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)


def _squares(x: np.ndarray, y: np.ndarray) -> float:
    return float(((y.T @ x) ** 2).sum())


def _ratio(across: float, own_x: float, own_y: float) -> float:
    below = own_x * own_y
    return across / float(np.sqrt(below)) if below > 0 else 0.0


def _centred(features: np.ndarray) -> np.ndarray:
    values = features.astype(np.float64)
    centred = values - values.mean(axis=0)
    # The scale cancels; without it fourth powers of small features would vanish.
    return centred / max(float(np.abs(centred).max()), np.finfo(np.float64).tiny)


def _check(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y) or len(x) < LEAST_IMAGES:
        raise ValueError(
            f"two sets of features of the same {LEAST_IMAGES} or more images are needed, not {len(x)} and {len(y)}"
        )
