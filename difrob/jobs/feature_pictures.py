"""Pictures of what was measured on features: a map of accuracies, and points in a plane coloured by class."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping

import numpy as np

CELL = 16
SIDE = 256
MARGIN = 8
UNMEASURED, DARKEST, WHITE = 0, 48, 255
STEP = 5  # per cent: where the scale of a map may begin and end

# Digits of 3 x 5 pixels, a row after the other from the top: three of them fit into a cell.
HEIGHT, WIDTH, GAP = 5, 3, 1
_DIGITS = (
    "###" "#.#" "#.#" "#.#" "###",
    ".#." "##." ".#." ".#." "###",
    "###" "..#" "###" "#.." "###",
    "###" "..#" "###" "..#" "###",
    "#.#" "#.#" "###" "..#" "..#",
    "###" "#.." "###" "..#" "###",
    "###" "#.." "###" "#.#" "###",
    "###" "..#" "..#" "..#" "..#",
    "###" "#.#" "###" "#.#" "###",
    "###" "#.#" "###" "..#" "###",
)  # fmt: skip


def map_range(shares: np.ndarray) -> tuple[int, int]:
    """The range of accuracies in [0,1], some of them NaN, in per cent and rounded outwards to whole fives; never empty."""
    known = 100 * shares[~np.isnan(shares)]
    if not len(known):
        return 0, 100
    low, high = STEP * math.floor(known.min() / STEP + 1e-9), STEP * math.ceil(known.max() / STEP - 1e-9)
    if high <= low:
        low, high = (low, low + STEP) if low < 100 else (low - STEP, low)
    return low, high


def accuracy_map(shares: np.ndarray) -> np.ndarray:
    """Accuracies [rows, columns] in [0,1] as squares of grey with the per cent in them, uint8 [16 rows, 16 columns, 1].

    The lower end of :func:`map_range` is dark grey, the upper one white; black without a number is what is NaN.
    """
    low, high = map_range(shares)
    rows, columns = shares.shape
    picture = np.full((CELL * rows, CELL * columns, 1), UNMEASURED, dtype=np.uint8)
    for row, column in np.argwhere(~np.isnan(shares)):
        percent = 100 * shares[row, column]
        grey = round(DARKEST + (WHITE - DARKEST) * (percent - low) / (high - low))
        cell = picture[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)]
        cell[:] = grey
        number, ink = str(round(percent)), UNMEASURED if grey > WHITE / 2 else WHITE
        _write(cell, number, (CELL - HEIGHT) // 2, (CELL - _width(number)) // 2, ink)
    return picture


def class_colours(num_classes: int) -> np.ndarray:
    """Colours that differ in hue, and every second one in strength, all to be seen on black, uint8 [K, 3]."""
    strengths = ((0.9, 1.0), (0.6, 0.75))
    colours = [colorsys.hsv_to_rgb(number / num_classes, *strengths[number % 2]) for number in range(num_classes)]
    return np.rint(255 * np.array(colours)).astype(np.uint8)


def scatter(
    points: np.ndarray, labels: np.ndarray, num_classes: int, limits: np.ndarray, side: int = SIDE
) -> np.ndarray:
    """Points as squares of 3 x 3 pixels on black, uint8 [side, side, 3]; the second coordinate grows upwards.

    The classes stand at the upper edge in their colours, where they have room.

    Args:
        points: [n, 2]; those outside the limits lie at the border.
        labels: int64 [n], which colour.
        num_classes: K.
        limits: lower and upper ends of both coordinates, [2, 2] (ends in the first axis).
        side: of the picture, in pixels.
    """
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    span = np.maximum(limits[1] - limits[0], np.finfo(np.float64).tiny)
    places = np.clip((points - limits[0]) / span, 0.0, 1.0) * (side - 1 - 2 * MARGIN) + MARGIN
    columns, rows = np.rint(places[:, 0]).astype(int), side - 1 - np.rint(places[:, 1]).astype(int)
    palette = class_colours(num_classes)
    colours = palette[labels]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            picture[rows + down, columns + right] = colours
    names = [str(number) for number in range(num_classes)]
    space = WIDTH
    if sum(_width(name) + space for name in names) + space <= side:
        left = space
        for name, colour in zip(names, palette, strict=True):
            _write(picture, name, 1, left, colour)
            left += _width(name) + space
    return picture


def planes(
    sets: Mapping[str, np.ndarray], labels: np.ndarray, num_classes: int, side: int = SIDE
) -> tuple[np.ndarray, list[str]]:
    """Several sets of the same points, each as a :func:`scatter`, on the same axes: the smallest box around all of them.

    Args:
        sets: coordinates along two components [n, 2], by caption.
        labels: int64 [n], which colour.
        num_classes: K.
        side: of each picture, in pixels.

    Returns:
        Pictures, uint8 [sets, side, side, 3], and their captions, which name the ends of the axes.
    """
    everything = np.concatenate(list(sets.values()))
    limits = np.stack([everything.min(axis=0), everything.max(axis=0)])
    ends = "components from ({:.3g}; {:.3g}) to ({:.3g}; {:.3g})".format(*limits.ravel())
    pictures = [scatter(points, labels, num_classes, limits, side) for points in sets.values()]
    return np.stack(pictures), [f"{caption}, {ends}" for caption in sets]


def _width(number: str) -> int:
    return (WIDTH + GAP) * len(number) - GAP


def _write(picture: np.ndarray, number: str, top: int, left: int, ink: int | np.ndarray) -> None:
    """Write digits into a picture [H, W, C], from their upper left corner on."""
    for digit in number:
        marks = np.array([mark == "#" for mark in _DIGITS[int(digit)]]).reshape(HEIGHT, WIDTH)
        picture[top : top + HEIGHT, left : left + WIDTH][marks] = ink
        left += WIDTH + GAP
