"""Does a generator give back its training images?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difrob.metrics.accuracy import share_measure
from difrob.runs.interface import Measure

CHUNK = 1024

# Yoon et al. 2023: a generated image is a memory when its nearest training image is this much nearer than the second.
MEMORY_RATIO = 1 / 3


@dataclass(frozen=True)
class Nearest:
    """The two nearest reference images of each image.

    Attributes:
        index: row of the nearest, int64 [n].
        distance, second_distance: l2 distances to the nearest two, in [0,1] intensity, float64 [n].
    """

    index: np.ndarray
    distance: np.ndarray
    second_distance: np.ndarray


def nearest_neighbours(images: np.ndarray, reference: np.ndarray) -> Nearest:
    """The nearest and the distance to the second nearest reference image in pixels.

    Args:
        images: uint8 [n, H, W, C].
        reference: uint8 [N >= 2, H, W, C].
    """
    if len(reference) < 2:
        raise ValueError("two reference images are needed to tell nearest from second nearest")
    targets = reference.reshape(len(reference), -1).astype(np.float64)
    target_norms = np.square(targets).sum(axis=1)
    rows, squares = [], []
    for start in range(0, len(images), CHUNK):
        here = images[start : start + CHUNK].reshape(-1, targets.shape[1]).astype(np.float64)
        # Bytes are whole numbers, so this is exact in float64 for up to 10^11 pixels.
        squared = np.square(here).sum(axis=1, keepdims=True) - 2 * here @ targets.T + target_norms
        two = np.argpartition(squared, 1, axis=1)[:, :2]
        found = np.take_along_axis(squared, two, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        rows.append(np.take_along_axis(two, order, axis=1)[:, 0])
        squares.append(np.take_along_axis(found, order, axis=1))
    distances = np.sqrt(np.concatenate(squares)) / 255
    return Nearest(np.concatenate(rows).astype(np.int64), distances[:, 0], distances[:, 1])


def memorised_measure(nearest: Nearest) -> Measure:
    """Share of images that are memories of one training image (Yoon et al. 2023)."""
    return share_measure(
        nearest.distance < MEMORY_RATIO * nearest.second_distance,
        "images at less than a third of the distance to their nearest training image than to the second nearest",
    )


def duplicate_measure(images: np.ndarray, nearest: Nearest) -> Measure:
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
