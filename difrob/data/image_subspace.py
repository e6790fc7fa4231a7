"""Real images moved onto an affine subspace: points of which the support is known, and nothing else.

The plane in space is a drawing of what robust diffusion models are said to do: find the low-dimensional support of clean
images under noise (Briglia et al. 2026, on photographs of butterflies). Here images themselves get such a support, by
projection on the subspace of their first principal components. How they are distributed on it is as unknown as ever: there
are no modes, no centres and no spreads to measure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob.data.images import ImageSet
from difrob.data.points import PointSet, in_diffusion_range
from difrob.data.splitting import balanced_order
from difrob.data.toy import FLAT, Support
from difrob.errors import UserError
from difrob.inputs.misfits import refuse, too_many


@dataclass(frozen=True)
class ImageSubspace:
    """Projected images and the subspace that holds them.

    Attributes:
        support: the mean of the training images and their first principal components, in the diffusion range.
        training, validation: the projected images; not clipped, so a few pixels lie outside [-1,1].
    """

    support: Support
    training: PointSet
    validation: PointSet

    @classmethod
    def of(cls, training: ImageSet, validation: ImageSet, dimension: int) -> ImageSubspace:
        """Both sets on the subspace of the training images' first ``dimension`` principal components.

        Raises:
            UserError: when the training images do not span so many dimensions.
        """
        flat = _flat(training)
        centre = flat.mean(axis=0)
        _, lengths, directions = np.linalg.svd(flat - centre, full_matrices=False)
        spanned = int((lengths > FLAT * max(lengths[0], 1)).sum())
        if not 1 <= dimension <= spanned:
            raise UserError(
                f"a subspace of {dimension} dimensions was asked for, but the {len(training)} images of '{training.name}' "
                f"span {spanned}; give a dimension of 1 to {spanned}, or more images"
            )
        support = Support(centre, directions[:dimension])
        name = f"{training.name}-pca{dimension}"
        return cls(support, _projected(training, support, name), _projected(validation, support, name))

    @property
    def name(self) -> str:
        """How its points are called, e.g. ``"digits-pca16"``."""
        return self.training.name

    @property
    def dimension(self) -> int:
        """How many numbers a point has, C H W; not the dimension of the support."""
        return len(self.support.origin)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.training.shape

    @property
    def num_classes(self) -> int:
        """Number of classes K of the images."""
        return self.training.num_classes

    def chosen(self, count: int | None, seed: int) -> PointSet:
        """A class-balanced part of the training points, or all of them.

        The subspace is that of all training images in any case, so that runs on parts of them compare.

        Raises:
            UserError: when more are asked for than there are.
        """
        if count is None:
            return self.training
        refuse(too_many("train_size", count, len(self.training), f"images of '{self.name}'"))
        return self.training.take(balanced_order(self.training.labels, seed)[:count])


def _flat(images: ImageSet) -> np.ndarray:
    """Images in the diffusion range, float64 [N, d]."""
    found: np.ndarray = in_diffusion_range(images).flatten(1).double().numpy()
    return found


def _projected(images: ImageSet, support: Support, name: str) -> PointSet:
    u = support.project(_flat(images)).astype(np.float32).reshape(len(images), *images.shape)
    return PointSet(u, images.labels, images.num_classes, name, images.split, images.indices)
