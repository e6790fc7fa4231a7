"""Toy distributions as data sets: a name gives points to learn from and the truth to measure against."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from difrob.data.digits import digits
from difrob.data.image_subspace import ImageSubspace
from difrob.data.points import PointSet
from difrob.data.toy import GaussianMixture, gaussian, oblique_plane, ring
from difrob.specs.parts import DataSpec

DEFAULT_POINTS = 5000
VALIDATION_POINTS = 1000

# Keeps 85 % of the digits' variance; at 32, nearly all of it, a model that learns nothing of the subspace would lie near it.
SUBSPACE_DIMENSION = 16

# What is known of the points: all of it, or their support.
Truth = GaussianMixture | ImageSubspace


@lru_cache(maxsize=1)
def digits_subspace() -> ImageSubspace:
    """The digits on the subspace of their first :data:`SUBSPACE_DIMENSION` principal components."""
    parts = digits()
    return ImageSubspace.of(parts["train"], parts["validation"], SUBSPACE_DIMENSION)


TOYS: dict[str, Callable[[], Truth]] = {
    "toy-gaussian": gaussian,
    "toy-ring": ring,
    "toy-plane": oblique_plane,
    "toy-digits-subspace": digits_subspace,
}


def toy_truth(name: str) -> Truth | None:
    """The distribution behind a data set's name, or its support; None for a name that stands for images."""
    return TOYS[name]() if name in TOYS else None


def toy_splits(data: DataSpec, truth: Truth) -> tuple[PointSet, PointSet]:
    """Training and validation points; ``train_size`` says how many there are, ``subset_seed`` which.

    Raises:
        UserError: for more points than there are, where they cannot be drawn.
    """
    if isinstance(truth, ImageSubspace):
        return truth.chosen(data.train_size, data.subset_seed), truth.validation
    count = DEFAULT_POINTS if data.train_size is None else data.train_size
    return truth.draw(count, data.subset_seed), truth.draw(VALIDATION_POINTS, data.subset_seed, "validation")
