"""Splits and subsets that keep the shares of the classes, from a seed alone."""

from __future__ import annotations

import numpy as np

from difrob.randomness import numpy_generator


def stratified_parts(labels: np.ndarray, sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Divide all rows into named parts of exactly these sizes, each with the class shares of the whole.

    Args:
        labels: int64 [N].
        sizes: {name: size}, which must add up to N.
        seed: fixes the division.

    Returns:
        {name: sorted rows}; every row is in exactly one part.
    """
    if sum(sizes.values()) != len(labels):
        raise ValueError(f"sizes {sizes} do not add up to {len(labels)}")
    # Rows are laid out so that every class is spread evenly over [0, 1); cutting that line anywhere gives each class
    # its share up to one row, so that consecutive pieces of it are stratified parts.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        numbers = _uniform(len(rows) + 1, seed, "split", int(label))
        place[rows[np.argsort(numbers[1:], kind="stable")]] = (np.arange(len(rows)) + numbers[0]) / len(rows)
    line = np.argsort(place, kind="stable")
    ends = np.cumsum(list(sizes.values()))
    return {name: np.sort(line[end - sizes[name] : end]) for name, end in zip(sizes, ends, strict=True)}


def balanced_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of all rows of which every prefix is as class-balanced as the classes allow.

    The first K rows hold each class once, the next K again, and so on; a class that has run out is skipped. So the
    subset of size n is a prefix, and a larger subset contains every smaller one.
    """
    rank = np.empty(len(labels), dtype=np.int64)
    turn = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        numbers = _uniform(2 * len(rows), seed, "subset", int(label))
        rank[rows[np.argsort(numbers[: len(rows)], kind="stable")]] = np.arange(len(rows))
        turn[rows] = numbers[len(rows) :]  # which class comes first differs from round to round
    return np.lexsort((turn, rank))


def _uniform(count: int, seed: int, *stream: int | str) -> np.ndarray:
    """Numbers in [0, 1) from the raw bits, which NumPy keeps the same in all versions; its ``permutation`` may change."""
    raw = numpy_generator(seed, *stream).bit_generator.random_raw(count)
    return (raw >> np.uint64(11)) * 2.0**-53
