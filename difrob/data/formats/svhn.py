"""SVHN, cropped digits (Netzer et al. 2011): MATLAB files with ``X`` uint8 [32,32,3,N] and ``y`` [N,1], where 10 means 0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from difrob.data.formats.known import SVHN, compared
from difrob.data.formats.matlab import MatlabArray, read_headers, read_values
from difrob.data.formats.source import Source, SourceSplit, check_labels, fingerprint, rows_per_block
from difrob.errors import UserError

SHAPE = (32, 32, 3)
MAX_BYTES = 4 << 30
LABELS_AT_ONCE = 1 << 20
_FILE = re.compile(r"(train|test)_32x32\.mat")


def find(path: Path) -> dict[str, Path]:
    """{split: file}; empty when this is no folder (or file) of SVHN."""
    listed = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    return {match[1]: file for file in listed if (match := _FILE.fullmatch(file.name))}


def read(path: Path) -> Source:
    """A folder with ``train_32x32.mat`` and ``test_32x32.mat``; ``extra_32x32.mat`` is left out.

    Raises:
        UserError: for files of another layout or MATLAB version.
    """
    found = find(path)
    splits = {split: _split(file) for split, file in sorted(found.items(), reverse=True)}
    files = fingerprint({file.name: file for file in found.values()})
    comparison = compared(SVHN, files)
    notes = [comparison.note] if comparison.note else []
    if path.is_dir() and (path / "extra_32x32.mat").exists():
        notes.append("extra_32x32.mat was left out")
    if "train" not in splits:
        notes.append("no training images: it can only be measured on")
    return Source(
        format="SVHN .mat",
        title=comparison.title,
        image_shape=SHAPE,
        class_names=SVHN.class_names,
        splits=splits,
        files=files,
        flips=SVHN.flips,
        official=comparison.official,
        default_name=SVHN.name,
        notes=tuple(notes),
    )


def _split(path: Path) -> SourceSplit:
    """One file, whose announcements are looked at before anything is read."""
    arrays = read_headers(path)
    images, labels = arrays.get("X"), arrays.get("y")
    image_axes, label_axes = images.shape if images else (), labels.shape if labels else ()
    if (
        images is None
        or labels is None
        or len(image_axes) != 4
        or image_axes[:3] != SHAPE
        or label_axes != (image_axes[3], 1)
    ):
        raise UserError(
            f"'{path.name}' is no SVHN file: X {list(image_axes)}, y {list(label_axes)} instead of X [32,32,3,N], y [N,1]"
        )
    if prod(image_axes) > MAX_BYTES:
        raise UserError(f"'{path.name}' announces {image_axes[3]} images, more than SVHN has")
    if images.dtype != np.uint8:
        raise UserError(f"'{path.name}' holds {images.dtype or 'other'} images instead of bytes")
    if labels.dtype is None:
        raise UserError(
            f"'{path.name}' holds labels that are no numbers; they are whole numbers from 0 to 10; get it again"
        )
    return SourceSplit(_labels(path, labels), partial(_images, path, images))


def _labels(path: Path, array: MatlabArray) -> np.ndarray:
    values = np.concatenate([*read_values(path, array, LABELS_AT_ONCE), np.empty(0, array.dtype)])
    if values.dtype.kind == "f":
        broken = values[~((values >= 0) & (values <= 10) & (values == np.rint(values)))]  # not a number is among them
        if len(broken):
            raise UserError(
                f"'{path.name}' has a label {broken[0]:g}; labels are whole numbers from 0 to 10; get it again"
            )
    labels = check_labels(values.astype(np.int64), 11, path.name)
    if (labels == 0).any() and (labels == 10).any():
        raise UserError(f"'{path.name}' has both labels 0 and 10, which mean the same digit; get it again")
    return np.where(labels == 10, 0, labels)


def _images(path: Path, array: MatlabArray) -> Iterator[np.ndarray]:
    """The number of the image runs slowest, then channel, column and row: an image lies in one piece."""
    pixels = prod(SHAPE)
    for values in read_values(path, array, rows_per_block(pixels) * pixels):
        yield np.ascontiguousarray(values.reshape(-1, *SHAPE[::-1]).transpose(0, 3, 2, 1))
