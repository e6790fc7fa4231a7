"""Pictures of what was measured on features: a map of accuracies, and points in a plane coloured by class."""

from __future__ import annotations

import colorsys

import numpy as np

CELL = 16
SIDE = 256
MARGIN = 8
UNMEASURED = 0


def accuracy_map(shares: np.ndarray) -> np.ndarray:
    """Accuracies [rows, columns] in [0,1] as squares of grey, uint8 [16 rows, 16 columns, 1]; black where NaN or 0."""
    grey = np.where(np.isnan(shares), UNMEASURED, np.rint(255 * np.nan_to_num(shares))).astype(np.uint8)
    return grey.repeat(CELL, axis=0).repeat(CELL, axis=1)[..., None]


def class_colours(num_classes: int) -> np.ndarray:
    """Colours that differ in hue, and every second one in brightness, uint8 [K, 3]."""
    colours = [
        colorsys.hsv_to_rgb(number / num_classes, 0.9, 1.0 if number % 2 == 0 else 0.65)
        for number in range(num_classes)
    ]
    return np.rint(255 * np.array(colours)).astype(np.uint8)


def scatter(points: np.ndarray, labels: np.ndarray, num_classes: int, limits: np.ndarray) -> np.ndarray:
    """Points as squares of 3 x 3 pixels on black, uint8 [256, 256, 3]; the second coordinate grows upwards.

    Args:
        points: [n, 2]; those outside the limits lie at the border.
        labels: int64 [n], which colour.
        num_classes: K.
        limits: lower and upper ends of both coordinates, [2, 2] (ends in the first axis).
    """
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    span = np.maximum(limits[1] - limits[0], np.finfo(np.float64).tiny)
    places = np.clip((points - limits[0]) / span, 0.0, 1.0) * (SIDE - 1 - 2 * MARGIN) + MARGIN
    columns, rows = np.rint(places[:, 0]).astype(int), SIDE - 1 - np.rint(places[:, 1]).astype(int)
    colours = class_colours(num_classes)[labels]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            picture[rows + down, columns + right] = colours
    return picture


def common_limits(*sets: np.ndarray) -> np.ndarray:
    """The smallest box around all points of several sets [n, 2], as lower and upper ends [2, 2]."""
    everything = np.concatenate(sets)
    return np.stack([everything.min(axis=0), everything.max(axis=0)])
