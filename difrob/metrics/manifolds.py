"""Precision, recall, density and coverage: how two sets of features overlap, told by balls around their points.

The ball of a point reaches to its k-th nearest neighbour in its own set, border included. Precision is the share of
generated images in the ball of any reference image, recall the share of reference images in the ball of any generated one
(Kynkäänniemi et al. 2019). One outlier's huge ball can raise both; density counts in how many reference balls a generated
image lies, over k, and coverage the share of reference balls that hold a generated image (Naeem et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from difrob.errors import UserError
from difrob.metrics.accuracy import mean_measure, share_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.distances import COLUMNS, ROWS, Points, nothing, squared_blocks
from difrob.runs.interface import Measure


@dataclass(frozen=True)
class Overlap:
    """How two sets lie in each other's balls.

    Attributes:
        balls: number of reference balls that hold each generated image, int64 [n].
        recalled: whether any generated ball holds the reference image, bool [N].
        covered: whether the reference image's ball holds any generated image, bool [N].
    """

    balls: np.ndarray
    recalled: np.ndarray
    covered: np.ndarray


def require_neighbours(k: int, **counts: int) -> None:
    """Refuse sets without k neighbours for each image, before any work.

    Raises:
        UserError: naming the set, and what to do.
    """
    for name, count in counts.items():
        if count <= k:
            raise UserError(
                f"neighbours = {k} asks for more neighbours than {counted(count, f'{name} image')} can have; lower it below "
                f"{count}, or take more images"
            )


def overlap(
    generated: Points,
    generated_radii: np.ndarray,
    reference: Points,
    reference_radii: np.ndarray,
    *,
    between: Callable[[], None] = nothing,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> Overlap:
    """Compare all distances between two sets with the radii of both.

    Args:
        generated, reference: points on one grid, n and N of them.
        generated_radii, reference_radii: squared radii in squared units, float64 [n] and [N].
        between: called before each block.
        block: most generated and reference images at once.
    """
    device = generated.values.device
    own, others = (torch.from_numpy(radii).to(device) for radii in (generated_radii, reference_radii))
    balls = torch.zeros(len(generated), dtype=torch.int64, device=device)
    recalled = torch.zeros(len(reference), dtype=torch.bool, device=device)
    covered = torch.zeros(len(reference), dtype=torch.bool, device=device)
    for these, those, squares in squared_blocks(generated, reference, between=between, block=block):
        inside = squares <= others[those]
        balls[these] += inside.sum(dim=1)
        covered[those] |= inside.any(dim=0)
        recalled[those] |= (squares <= own[these, None]).any(dim=0)
    return Overlap(*(flags.cpu().numpy() for flags in (balls, recalled, covered)))


def precision_and_recall(found: Overlap, k: int, /, **conditions: str) -> dict[str, Measure]:
    """Both shares with Wilson intervals, each over the images of one set with the other taken as given."""
    balls = f"to the neighbour number {k} of the same set"
    return {
        "precision": share_measure(
            found.balls > 0,
            **stated("generated images in the ball of any reference image", **conditions, balls=balls),
        ),
        "recall": share_measure(
            found.recalled,
            **stated("reference images in the ball of any generated image", **conditions, balls=balls),
        ),
    }


def density_and_coverage(found: Overlap, k: int, /, **conditions: str) -> dict[str, Measure]:
    """Both with intervals over the images of one set with the other taken as given; density may exceed 1."""
    balls = f"to the neighbour number {k} of the same set"
    return {
        "density": mean_measure(
            found.balls / k,
            **stated("reference balls that hold a generated image over k", **conditions, balls=balls),
            unit="balls / k",
        ),
        "coverage": share_measure(
            found.covered,
            **stated("reference balls that hold any generated image", **conditions, balls=balls),
        ),
    }
