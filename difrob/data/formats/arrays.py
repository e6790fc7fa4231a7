"""NumPy files: ``.npz`` with ``image`` and ``label`` (the layout in which generated sets are published), pairs of ``.npy``,
and folders of corrupted test images like CIFAR-10-C (Hendrycks & Dietterich 2019).

Arrays are read in blocks by :mod:`difrob.foreign`, which never unpickles and holds what a header announces against the
length of the file first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from difrob.data.formats.known import CIFAR10_C, Comparison, compared
from difrob.data.formats.source import (
    MAX_IMAGES,
    Source,
    SourceSplit,
    check_image_shape,
    check_labels,
    fingerprint,
    numbered_classes,
    rows_per_block,
)
from difrob.errors import UserError
from difrob.foreign.npy import read_npy
from difrob.foreign.npz import open_npz
from difrob.runs.datasets import SEVERITIES, split_name

IMAGE_KEYS, LABEL_KEYS = ("image", "images"), ("label", "labels")


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies: an ``.npy`` file, or an entry of an ``.npz`` file."""

    path: Path
    entry: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.path.name}:{self.entry}" if self.entry else self.path.name

    def header(self) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array of whole numbers.

        Raises:
            UserError: for other types, and for announcements that the file does not keep.
        """
        if self.entry:
            with open_npz(self.path) as archive:
                shape, dtype = archive.arrays[self.entry]
        else:
            values = read_npy(self.path)
            shape, dtype = values.shape, values.dtype
            if isinstance(values, np.memmap) and self.path.stat().st_size != values.offset + values.nbytes:
                raise UserError(f"'{self.name}' has more bytes than its header announces; get it again")
        if dtype.kind not in "iu":
            raise UserError(f"'{self.name}' holds {dtype}; images are uint8, labels whole numbers")
        return shape, dtype

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """The rows from ``start`` to before ``stop`` (or all) in their order, in blocks of moderate size.

        Of an ``.npz`` entry always all rows: it is packed and can only be read from its beginning.
        """
        shape, dtype = self.header()
        at_once = rows_per_block(prod(shape[1:]) * dtype.itemsize)
        if self.entry:
            with open_npz(self.path) as archive:
                yield from archive.blocks(self.entry, at_once)
            return
        values = read_npy(self.path)[start:stop]
        for first in range(0, len(values), at_once):
            yield np.ascontiguousarray(values[first : first + at_once])


def find(path: Path) -> dict[str, tuple[ArrayPlace, ArrayPlace]]:
    """{split: (images, labels)}; empty when this is neither an ``.npz`` file nor a folder of pairs."""
    if path.is_file() and path.suffix.lower() == ".npz":
        return {"train": _pair_in(path)}
    found: dict[str, tuple[ArrayPlace, ArrayPlace]] = {}
    if not path.is_dir():
        return found
    for split in ("train", "test"):
        if (path / f"{split}.npz").is_file():
            found[split] = _pair_in(path / f"{split}.npz")
        for joint in ("-", "_"):
            pair = [path / f"{split}{joint}{role}.npy" for role in ("images", "labels")]
            if all(file.is_file() for file in pair):
                found[split] = (ArrayPlace(pair[0]), ArrayPlace(pair[1]))
    if not found and (path / "images.npy").is_file() and (path / "labels.npy").is_file():
        found["train"] = (ArrayPlace(path / "images.npy"), ArrayPlace(path / "labels.npy"))
    return found


def _pair_in(path: Path) -> tuple[ArrayPlace, ArrayPlace]:
    with open_npz(path) as archive:
        names = sorted(archive.arrays)
    places = []
    for keys in (IMAGE_KEYS, LABEL_KEYS):
        entries = [key for key in keys if key in names]
        if len(entries) != 1:
            raise UserError(
                f"'{path.name}' needs an array '{IMAGE_KEYS[0]}' and one '{LABEL_KEYS[0]}'; it holds: "
                f"{', '.join(names[:10]) or 'nothing'}"
            )
        places.append(ArrayPlace(path, entries[0]))
    return places[0], places[1]


def read(path: Path) -> Source:
    """An ``.npz`` file (training images), or a folder with ``train.npz`` / ``test.npz``, ``train-images.npy`` +
    ``train-labels.npy`` (and the same for ``test``), or ``images.npy`` + ``labels.npy``.

    Raises:
        UserError: for arrays of other types or shapes, and for damaged files.
    """
    found = find(path)
    shapes = {split: _image_shape(*pair) for split, pair in found.items()}
    if len(set(shapes.values())) > 1:
        raise UserError(f"training and test images in '{path}' differ in size: {shapes}")
    labels = {split: _labels(pair[1]) for split, pair in found.items()}
    names = numbered_classes(*labels.values())
    files = fingerprint({place.path.name: place.path for pair in found.values() for place in pair})
    return Source(
        format=".npz" if path.is_file() else "NumPy arrays",
        title=f"NumPy arrays '{path.stem}'",
        image_shape=next(iter(shapes.values())),
        class_names=names,
        splits={
            split: SourceSplit(check_labels(labels[split], len(names), pair[1].name), partial(_images, pair[0]))
            for split, pair in found.items()
        },
        files=files,
    )


def find_corrupted(path: Path) -> dict[str, Path]:
    """{corruption: file} of a folder like CIFAR-10-C: ``labels.npy`` and one ``.npy`` for each corruption."""
    if not path.is_dir() or not (path / "labels.npy").is_file() or (path / "images.npy").exists():
        return {}
    return {file.stem: file for file in sorted(path.glob("*.npy")) if file.stem != "labels"}


def read_corrupted(path: Path) -> Source:
    """A folder like CIFAR-10-C. Severity 1 is the first fifth of each file; splits are called ``fog-1`` and so on.

    Raises:
        UserError: for files that do not go with ``labels.npy``, or whose rows are no five severities.
    """
    corruptions = find_corrupted(path)
    label_place = ArrayPlace(path / "labels.npy")
    places = {name: ArrayPlace(file) for name, file in corruptions.items()}
    shapes = {_image_shape(place, label_place) for place in places.values()}
    if len(shapes) != 1:
        raise UserError(f"the corruptions in '{path}' differ in the size of their images: {sorted(shapes)}")
    shape = shapes.pop()
    labels = _labels(label_place)
    if len(labels) % SEVERITIES:
        raise UserError(
            f"'{path}' has {len(labels)} images for each corruption, which are no {SEVERITIES} severities alike"
        )
    names = numbered_classes(labels)
    count = len(labels) // SEVERITIES
    splits = {}
    for name, place in places.items():
        for severity in range(SEVERITIES):
            start, stop = severity * count, (severity + 1) * count
            values = check_labels(labels[start:stop], len(names), label_place.name)
            splits[split_name(name, severity + 1)] = SourceSplit(values, partial(_images, place, start, stop))
    is_cifar = shape == (32, 32, 3) and len(names) == len(CIFAR10_C.class_names)
    counted = "1 corruption" if len(places) == 1 else f"{len(places)} corruptions"
    files = fingerprint({place.path.name: place.path for place in (label_place, *places.values())})
    comparison = compared(CIFAR10_C, files) if is_cifar else Comparison(f"corrupted images '{path.name}'")
    return Source(
        format="corrupted test images",
        title=comparison.title,
        image_shape=shape,
        class_names=CIFAR10_C.class_names if is_cifar else names,
        splits=splits,
        files=files,
        flips=is_cifar and CIFAR10_C.flips,
        official=comparison.official,
        default_name=CIFAR10_C.name if is_cifar else "",
        notes=(f"{counted} in {SEVERITIES} severities, no training images: it can only be measured on",),
    )


def _image_shape(images: ArrayPlace, labels: ArrayPlace) -> tuple[int, int, int]:
    """(H, W, C), after images and labels have been held against each other."""
    shape, dtype = images.header()
    label_shape, _ = labels.header()
    if dtype != np.uint8 or len(shape) not in (3, 4):
        raise UserError(f"'{images.name}' holds {dtype} {list(shape)}; images are uint8 [N,height,width,channels]")
    if len(label_shape) != 1 or label_shape[0] != shape[0]:
        raise UserError(f"'{images.name}' {list(shape)} and '{labels.name}' {list(label_shape)} do not go together")
    if not 1 <= shape[0] <= MAX_IMAGES:
        raise UserError(f"'{images.name}' announces {shape[0]} images; 1 to {MAX_IMAGES} are allowed")
    if len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
        raise UserError(f"'{images.name}' {list(shape)} has its channels first; save it as [N,height,width,channels]")
    return check_image_shape(shape[1], shape[2], shape[3] if len(shape) == 4 else 1, images.name)


def _labels(place: ArrayPlace) -> np.ndarray:
    labels = np.concatenate([block.astype(np.int64) for block in place.blocks()])
    if len(labels) and labels.min() < 0:
        raise UserError(f"'{place.name}' has a label {labels.min()}; labels are 0, 1, ...")
    return labels


def _images(place: ArrayPlace, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    for block in place.blocks(start, stop):
        yield block if block.ndim == 4 else block[..., np.newaxis]
