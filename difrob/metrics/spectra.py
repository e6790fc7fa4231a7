"""In how many directions features spread: effective rank and participation ratio, from the spectrum of their covariance.

Both are n for n equal eigenvalues and 1 for a single one. Both depend on the number of images, and on the scale of each
feature, so that only numbers from equally many images and unscaled features are put side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difrob.errors import UserError
from difrob.metrics.conditions import stated
from difrob.metrics.distances import nothing
from difrob.metrics.resampling import JACKKNIFE, jackknife_interval
from difrob.runs.interface import Measure


def covariance_spectrum(features: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of features [N >= 2, d] around their mean, largest first, float64 [d]; none negative.

    They are s_i^2 / N of the singular values s_i of the centred matrix.
    """
    if len(features) < 2:
        raise ValueError("a covariance needs at least two images")
    values = features.astype(np.float64)
    centred = values - values.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred / len(centred))[::-1]
    # What rounding leaves of the zeros of a matrix of lesser rank would count as directions.
    floor = max(eigenvalues[0], 0.0) * len(eigenvalues) * np.finfo(np.float64).eps
    return np.where(eigenvalues > floor, eigenvalues, 0.0)


def effective_rank(eigenvalues: np.ndarray) -> float:
    """exp of the entropy of the singular values' shares (Roy & Vetterli 2007): p_i = s_i / sum s, s_i = sqrt(lambda_i).

    Args:
        eigenvalues: of the covariance, [d], none negative; all zero gives 0, features that do not vary.
    """
    roots = np.sqrt(eigenvalues[eigenvalues > 0])
    if not len(roots):
        return 0.0
    shares = roots / roots.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def participation_ratio(eigenvalues: np.ndarray) -> float:
    """(sum lambda)^2 / sum lambda^2 of the covariance's eigenvalues, [d]; 0 where all are zero."""
    squares = float((eigenvalues**2).sum())
    return float(eigenvalues.sum()) ** 2 / squares if squares > 0 else 0.0


def rank_measures(
    features: np.ndarray, seed: int, between: Callable[[], None] = nothing, /, **conditions: str
) -> dict[str, Measure]:
    """``effective_rank`` and ``participation_ratio`` of features [N, d], with jackknife intervals.

    Raises:
        UserError: for features that do not vary.
    """
    require_variance(features)
    found = {}
    for name, what, statistic in (
        ("effective_rank", "effective rank of the features", effective_rank),
        ("participation_ratio", "participation ratio of the features", participation_ratio),
    ):

        def of_rows(rows: np.ndarray, statistic: Callable[[np.ndarray], float] = statistic) -> float:
            return statistic(covariance_spectrum(features[rows]))

        value, low, high = jackknife_interval(of_rows, len(features), seed, between)
        found[name] = Measure(
            value,
            low,
            high,
            n=len(features),
            interval=JACKKNIFE,
            unit="directions",
            **stated(what, **conditions),
        )
    return found


def require_variance(features: np.ndarray) -> None:
    """Refuse features that say the same of every image.

    Raises:
        UserError: naming what is the matter.
    """
    if len(features) < 4:
        raise UserError(f"{len(features)} images are too few to analyse features; take at least 4")
    if not np.ptp(features.astype(np.float64), axis=0).max() > 0:
        raise UserError("the features are the same for every image; the network has collapsed and cannot be analysed")
