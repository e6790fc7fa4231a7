"""Does a generator give back its training images?

All distances are taken between pixels. Bytes are whole numbers, so they are exact, whatever the block or the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from difrob.metrics.accuracy import LEVEL, TWO_SIDED_95, share_measure
from difrob.metrics.conditions import counted, stated
from difrob.metrics.distances import Points, nearest_earlier, nearest_two, nothing, pixel_points
from difrob.metrics.intervals import median_interval, separation_interval
from difrob.runs.interface import Measure

# Yoon et al. 2023: a generated image is a memory when its nearest training image is this much nearer than the second.
MEMORY_RATIO = 1 / 3


class SupportsColumns(Protocol):
    """A table that gives a column by its name."""

    def __getitem__(self, column: str, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Nearest:
    """The two nearest reference images of each image.

    Attributes:
        index: row of the nearest, the first of several, int64 [n].
        distance, second_distance: l2 distances to the nearest two, in [0,1] intensity, float64 [n].
    """

    index: np.ndarray
    distance: np.ndarray
    second_distance: np.ndarray

    @property
    def memorised(self) -> np.ndarray:
        """Whether the image is a memory of one training image (Yoon et al. 2023), bool [n]."""
        flags: np.ndarray = self.distance < MEMORY_RATIO * self.second_distance
        return flags

    def columns(self, name: str) -> dict[str, np.ndarray]:
        """The three as columns of a table of results: ``<name>_row``, ``<name>_distance``, ``<name>_second``."""
        return {f"{name}_row": self.index, f"{name}_distance": self.distance, f"{name}_second": self.second_distance}

    @classmethod
    def from_columns(cls, table: SupportsColumns, name: str) -> Nearest:
        """The inverse of :meth:`columns`."""
        return cls(table[f"{name}_row"], table[f"{name}_distance"], table[f"{name}_second"])


def nearest_neighbours(images: np.ndarray, reference: np.ndarray) -> Nearest:
    """The nearest and the distance to the second nearest reference image in pixels.

    Args:
        images: uint8 [n, H, W, C].
        reference: uint8 [N >= 2, H, W, C].
    """
    return nearest_among(pixel_points(images), pixel_points(reference))


def nearest_among(points: Points, reference: Points, between: Callable[[], None] = nothing) -> Nearest:
    """The same for images that are points already.

    Args:
        points: the images, n of them.
        reference: N >= 2 reference images.
        between: called before each block.
    """
    if len(reference) < 2:
        raise ValueError("two reference images are needed to tell nearest from second nearest")
    index, squares = nearest_two(points, reference, between=between)
    return Nearest(index, pixel_distance(squares[:, 0]), pixel_distance(squares[:, 1]))


def nearest_copy(points: Points, rows: slice, between: Callable[[], None] = nothing) -> tuple[np.ndarray, np.ndarray]:
    """The nearest image that stands earlier in the same set: its row and its l2 distance in [0,1] intensity.

    Returns:
        int64 [n], -1 for the first image of the set; float64 [n], infinite there.
    """
    index, squares = nearest_earlier(points, rows, between=between)
    return index, pixel_distance(squares)


def pixel_distance(squares: np.ndarray) -> np.ndarray:
    """l2 distance in [0,1] intensity of squared distances between bytes."""
    distances: np.ndarray = np.sqrt(squares) / 255
    return distances


def memorised_measure(nearest: Nearest, /, **conditions: str) -> Measure:
    """Share of images that are memories of one training image (Yoon et al. 2023)."""
    what = "images at less than a third of the distance to their nearest training image than to the second nearest"
    return share_measure(nearest.memorised, **stated(what, **conditions))


def near_copy_measure(distance: np.ndarray, pixels: int, limit: float, of: str, /, **conditions: str) -> Measure:
    """Share of images that differ from another one by at most ``limit``, root mean square over the pixels.

    Args:
        distance: l2 distance to it, float64 [n].
        pixels: pixels times channels of an image.
        limit: in [0,1] intensity.
        of: what it is, e.g. ``"a training image"``.
        conditions: what else the description states.
    """
    what = f"images that differ from {of} by at most {limit:g}, root mean square over the pixels"
    return share_measure(is_near(distance, pixels, limit), **stated(what, **conditions))


def is_near(distance: np.ndarray, pixels: int, limit: float) -> np.ndarray:
    """Whether l2 distances amount to at most ``limit``, root mean square over ``pixels`` numbers; bool, like them."""
    flags: np.ndarray = distance <= limit * np.sqrt(pixels)
    return flags


def exact_copy_measure(images: np.ndarray, nearest: Nearest) -> Measure:
    """Share of images whose pixels equal a training image or an earlier image of the set exactly.

    Args:
        images: uint8 [n, H, W, C].
        nearest: their nearest training images.
    """
    flat = np.ascontiguousarray(images.reshape(len(images), -1))
    _, first = np.unique(flat, axis=0, return_index=True)
    repeated = np.ones(len(images), dtype=bool)
    repeated[first] = False
    return share_measure(
        repeated | (nearest.distance == 0), "images equal, pixel by pixel, to a training image or an earlier image"
    )


def closeness_ratio_measure(training: Nearest, held_out: Nearest, /, **conditions: str) -> Measure:
    """Median over generated images of the distance to training over the distance to held-out images.

    A generator that has learnt the distribution is as far from the one as from the other: 1. One that remembers is below.
    The two sets must be of one size, because the nearest of more images is nearer. An image that equals one of both kinds
    has ratio 1.

    The same few real images are nearest to many generated ones, so an interval that takes them as given is far too narrow:
    it holds 1 in no more than two of three cases where it should in 19 of 20. Here the share of ratios below the median has
    the variance of n coins plus what the jackknife over the real images adds; the ends are the ratios at that share's own
    95 % limits (Woodruff 1952). The jackknife errs upwards (Efron & Stein 1981), so they cover at least as often.

    Args:
        training: each generated image among the training images, n >= 1 of them.
        held_out: the same among as many held-out images, and at least two.
        conditions: what else the description states.
    """
    n = len(training.distance)
    ratios = _ratio(training.distance, held_out.distance)
    median = median_interval(ratios).mean
    below = (ratios < median) + 0.5 * (ratios == median)
    variance = 0.25 / n
    for index, without in (
        (training.index, _ratio(training.second_distance, held_out.distance)),
        (held_out.index, _ratio(training.distance, held_out.second_distance)),
    ):
        # Leaving one real image out moves the generated images that are nearest to it, to their second nearest.
        moved = below - ((without < median) + 0.5 * (without == median))
        variance += float(np.square(np.bincount(index, weights=moved) / n).sum())
    reach = TWO_SIDED_95 * np.sqrt(variance) * n
    ordered = np.sort(ratios)
    first, last = int(np.floor(n / 2 - reach)), int(np.ceil(n / 2 + reach))
    what = "median distance to the nearest training image over that to the nearest held-out image"
    said = stated(what, **conditions)
    if first < 1 or last >= n:
        return Measure(value=median, n=n, unit="ratio", **said)
    return Measure(
        value=median, low=float(ordered[first - 1]), high=float(ordered[last]), n=n,
        interval="jackknife over the real images, at least 95 %", unit="ratio", **said,
    )  # fmt: skip


def _ratio(distance: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((distance == 0) & (other == 0), 1.0, distance / other)


def copying_measure(generated: np.ndarray, held_out: np.ndarray, split: str, /, **conditions: str) -> Measure:
    """Probability that a generated image lies nearer to the training images than a held-out one (Meehan et al. 2020).

    0.5 for a generator that has learnt the distribution, 1 for one that gives back its training images. It also rises when
    generated images are plainer than real ones, which the ratio of distances to both sets does not.

    Args:
        generated: distance of each generated image to the nearest training image, float64 [n >= 2].
        held_out: the same of each held-out image, float64 [m >= 2].
        split: which images are held out, e.g. ``"test"``.
        conditions: what else the description states.
    """
    area, low, high = separation_interval(generated, held_out, LEVEL)
    what = "probability that a generated image is nearer to the training images than a held-out one"
    said = stated(what, **conditions, held_out=counted(len(held_out), f"{split} image"))
    return Measure(
        value=area, low=low, high=high, n=len(generated), interval="DeLong 95 %", unit="probability", **said,
    )  # fmt: skip
