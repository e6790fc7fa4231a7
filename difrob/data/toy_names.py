"""Toy distributions as data sets: a name gives points to learn from and the truth to measure against."""

from __future__ import annotations

from collections.abc import Callable

from difrob.data.points import PointSet
from difrob.data.toy import GaussianMixture, gaussian, oblique_plane, ring
from difrob.specs.parts import DataSpec

DEFAULT_POINTS = 5000
VALIDATION_POINTS = 1000

TOYS: dict[str, Callable[[], GaussianMixture]] = {
    "toy-gaussian": gaussian,
    "toy-ring": ring,
    "toy-plane": oblique_plane,
}


def toy_mixture(name: str) -> GaussianMixture | None:
    """The distribution behind a data set's name; None for a name that stands for images."""
    return TOYS[name]() if name in TOYS else None


def toy_splits(data: DataSpec, mixture: GaussianMixture) -> tuple[PointSet, PointSet]:
    """Training and validation points; ``train_size`` says how many there are, ``subset_seed`` which."""
    count = DEFAULT_POINTS if data.train_size is None else data.train_size
    return mixture.draw(count, data.subset_seed), mixture.draw(VALIDATION_POINTS, data.subset_seed, "validation")
