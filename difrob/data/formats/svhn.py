"""SVHN, cropped digits (Netzer et al. 2011): MATLAB files with ``X`` uint8 [32,32,3,N] and ``y`` [N,1], where 10 means 0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from difrob.data.formats.known import SVHN, compared
from difrob.data.formats.source import Source, SourceSplit, check_labels, fingerprint, rows_per_block
from difrob.errors import UserError

SHAPE = (32, 32, 3)
MAX_BYTES = 4 << 30
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
    splits = {
        split: SourceSplit(_labels(file), partial(_images, file)) for split, file in sorted(found.items(), reverse=True)
    }
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


def _load(path: Path, variable: str) -> np.ndarray:
    """One variable; the announced shapes are looked at before anything is read."""
    from scipy.io import loadmat, whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
        _check_shapes(path, shapes)
        values = loadmat(path, variable_names=[variable])[variable]
    except UserError:
        raise
    except NotImplementedError:
        raise UserError(f"'{path.name}' is a MATLAB file of version 7.3; the published ones are of version 5") from None
    except Exception as error:  # scipy has no error of its own for damaged files: any may come
        raise UserError(f"'{path.name}' is damaged or no MATLAB file ({error}); get it again") from None
    if not isinstance(values, np.ndarray) or values.shape != shapes[variable]:
        raise UserError(f"'{path.name}' holds no array '{variable}' of numbers; get it again")
    return values


def _check_shapes(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    images, labels = shapes.get("X", ()), shapes.get("y", ())
    if len(images) != 4 or images[:3] != SHAPE or labels != (images[3], 1):
        raise UserError(
            f"'{path.name}' is no SVHN file: X {list(images)}, y {list(labels)} instead of X [32,32,3,N], y [N,1]"
        )
    if int(np.prod(images, dtype=object)) > MAX_BYTES:
        raise UserError(f"'{path.name}' announces {images[3]} images, more than SVHN has")


def _labels(path: Path) -> np.ndarray:
    values = _load(path, "y").ravel()
    if values.dtype.kind not in "iuf":
        raise UserError(
            f"'{path.name}' holds labels of type {values.dtype}; they are whole numbers from 0 to 10; get it again"
        )
    broken = values[~np.isfinite(values) | (values != np.rint(values))] if values.dtype.kind == "f" else values[:0]
    if len(broken):
        raise UserError(f"'{path.name}' has a label {broken[0]:g}; labels are whole numbers from 0 to 10; get it again")
    labels = check_labels(values.astype(np.int64), 11, path.name)
    if (labels == 0).any() and (labels == 10).any():
        raise UserError(f"'{path.name}' has both labels 0 and 10, which mean the same digit; get it again")
    return np.where(labels == 10, 0, labels)


def _images(path: Path) -> Iterator[np.ndarray]:
    images = _load(path, "X")
    if images.dtype != np.uint8:
        raise UserError(f"'{path.name}' holds {images.dtype} images instead of bytes")
    at_once = rows_per_block(int(np.prod(SHAPE)))
    for first in range(0, images.shape[3], at_once):
        yield np.ascontiguousarray(images[..., first : first + at_once].transpose(3, 0, 1, 2))
