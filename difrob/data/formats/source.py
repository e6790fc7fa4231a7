"""What every reader gives: labels at once, images block by block, so that memory stays bounded whatever the size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from difrob.errors import UserError
from difrob.runs.datasets import SourceFile

BLOCK_BYTES = 16 << 20
MAX_SIDE = 4096
MAX_IMAGES = 200_000_000
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class SourceSplit:
    """One split, as it lies in the original files.

    Attributes:
        labels: int64 [N].
        blocks: gives the images in their order, uint8 [n,H,W,C] at a time; a fresh pass with each call. A file that turns
            out to be damaged raises ``UserError`` in the middle of a pass.
    """

    labels: np.ndarray
    blocks: Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Source:
    """A data set in its original files, headers and labels checked, images not yet read.

    Attributes:
        format: name of the format, e.g. ``"idx"``.
        title: what it is.
        image_shape: (H, W, C).
        class_names: one per class.
        splits: by name.
        files: what it is read from, by name relative to the given path. Of folders of pictures there is one entry for each
            split, of the pictures given so far: it is complete when the last block has come.
        flips: whether mirror images show the same.
        official: whether the files are those of a known set.
        default_name: what to call it where nobody says.
        notes: what was noticed.
    """

    format: str
    title: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    splits: dict[str, SourceSplit]
    files: dict[str, SourceFile]
    flips: bool = False
    official: bool = False
    default_name: str = ""
    notes: tuple[str, ...] = field(default=())

    def with_classes(self, names: list[str]) -> Source:
        """Only the images of these classes, whose labels become 0, 1, ... in the order given.

        Raises:
            UserError: for a class that there is not, or that is named twice, and for fewer than two.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown:
            raise UserError(f"there is no class '{unknown[0]}'; classes: {_listed(self.class_names)}")
        if len(set(names)) < max(2, len(names)):
            raise UserError(f"--classes takes two or more different classes, not '{','.join(names)}'")
        new_label = np.full(len(self.class_names), -1, dtype=np.int64)
        new_label[[self.class_names.index(name) for name in names]] = np.arange(len(names))
        splits = {name: _chosen(split, new_label) for name, split in self.splits.items()}
        note = f"{len(names)} of {len(self.class_names)} classes"
        return replace(self, class_names=tuple(names), splits=splits, notes=(*self.notes, note))


def _chosen(split: SourceSplit, new_label: np.ndarray) -> SourceSplit:
    labels = new_label[split.labels]
    kept = labels >= 0

    def blocks() -> Iterator[np.ndarray]:
        first = 0
        for block in split.blocks():
            yield block[kept[first : first + len(block)]]
            first += len(block)

    return SourceSplit(labels[kept], blocks)


def rows_per_block(row_bytes: int) -> int:
    """How many images of this size make a block."""
    return max(1, BLOCK_BYTES // max(1, row_bytes))


def check_labels(labels: np.ndarray, num_classes: int, where: str) -> np.ndarray:
    """The labels as int64. Raises UserError unless there are some, all in 0..num_classes-1."""
    if len(labels) == 0:
        raise UserError(f"'{where}' holds no images")
    if len(labels) > MAX_IMAGES:
        raise UserError(f"'{where}' holds {len(labels)} images, more than the {MAX_IMAGES} that difrob takes")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise UserError(f"'{where}' has labels {low}..{high}; 0..{num_classes - 1} are allowed here")
    return labels.astype(np.int64)


def numbered_classes(*labels: np.ndarray) -> tuple[str, ...]:
    """Names ``"0"``, ``"1"``, ... for labels that come without names."""
    highest = max(int(values.max()) for values in labels if len(values))
    if highest >= MAX_CLASSES:
        raise UserError(f"there is a label {highest}; difrob takes at most {MAX_CLASSES} classes, numbered from 0")
    return tuple(str(number) for number in range(highest + 1))


def check_image_shape(height: int, width: int, channels: int, where: str) -> tuple[int, int, int]:
    """(H, W, C). Raises UserError for sides or channels that no data set has."""
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise UserError(f"'{where}' says that its images are {height}x{width}; sides of 1 to {MAX_SIDE} are allowed")
    if channels not in (1, 3):
        raise UserError(f"'{where}' has images of {channels} channels; 1 (grey) or 3 (red, green, blue) are allowed")
    return height, width, channels


def fingerprint(paths: dict[str, Path]) -> dict[str, SourceFile]:
    """Size and MD5 of files, by the names they are given."""
    found = {}
    for name, path in paths.items():
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        found[name] = SourceFile(path.stat().st_size, digest.hexdigest())
    return found


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown}, ... ({len(names)} in all)"
