"""Data whose values are not bytes: points of a toy distribution, and images that have left the range of bytes.

Networks see every data set in the diffusion range. For images that is u = 2x - 1 in [-1,1]; points have no other unit, so
they are stated in it from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difrob.data.images import ImageSet, as_float


@dataclass(frozen=True)
class PointSet:
    """A labelled set of points held in memory, in the role of an :class:`ImageSet`; the arrays are read-only.

    Attributes:
        u: float32 [N,C,H,W], finite, in the diffusion range but not confined to [-1,1]. A point of R^d is [d,1,1].
        labels: int64 [N] in 0..num_classes-1; the mode that a toy point was drawn from.
        num_classes: number of classes K.
        name: name of the data set, e.g. ``"plane"``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        indices: int64 [N], the position of each point in the original data set.
    """

    u: np.ndarray
    labels: np.ndarray
    num_classes: int
    name: str
    split: str
    indices: np.ndarray

    def __post_init__(self) -> None:
        if self.u.dtype != np.float32 or self.u.ndim != 4:
            raise ValueError(f"points must be float32 [N,C,H,W], not {self.u.dtype} {self.u.shape}")
        if not len(self.u) == len(self.labels) == len(self.indices):
            raise ValueError("points, labels and indices differ in length")
        if not np.isfinite(self.u).all():
            raise ValueError(f"the points of '{self.name}' hold values that are not finite")
        for array in (self.u, self.labels, self.indices):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.u)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), as networks count; (d, 1, 1) for points of R^d."""
        _, channels, height, width = self.u.shape
        return channels, height, width

    def take(self, rows: np.ndarray) -> PointSet:
        """The points at these rows, in their order."""
        return PointSet(self.u[rows], self.labels[rows], self.num_classes, self.name, self.split, self.indices[rows])


def in_diffusion_range(data: ImageSet | PointSet, device: torch.device | str = "cpu") -> Tensor:
    """What a diffusion model learns from, float32 [N,C,H,W] on the device: u = 2x - 1 of images, points as they are."""
    if isinstance(data, PointSet):
        return torch.from_numpy(data.u.copy()).to(device)
    return 2 * as_float(data.images, device) - 1
