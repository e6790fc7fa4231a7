"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), binary and pickled, in folders or in the archives they come in.

A binary record is one label byte (CIFAR-100: coarse, then fine) and 3,072 bytes: the planes of red, green and blue,
32x32 each. Files with fewer records than the official ones are taken too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from difrob.data.formats.archives import is_tar, unpack
from difrob.data.formats.known import CIFAR10, CIFAR100, KnownSet, compared
from difrob.data.formats.plain_pickle import read_plain_pickle
from difrob.data.formats.source import Source, SourceSplit, check_labels, fingerprint, numbered_classes, rows_per_block
from difrob.errors import UserError

SHAPE = (32, 32, 3)
PIXELS = 3072
COARSE_CLASSES = 20


@dataclass(frozen=True)
class _Variant:
    """What the files of a version are called, and how they are laid out."""

    format: str
    known: KnownSet
    num_classes: int
    train: re.Pattern[str]
    test: re.Pattern[str]
    names: str
    name_key: str
    label_key: str
    label_bytes: int


_VARIANTS = (
    _Variant(
        "CIFAR-10 binary", CIFAR10, 10, re.compile(r"data_batch_\d+[^.]*\.bin"), re.compile(r"test_batch[^.]*\.bin"),
        "batches.meta.txt", "", "", 1,
    ),
    _Variant(
        "CIFAR-100 binary", CIFAR100, 100, re.compile(r"train[^.]*\.bin"), re.compile(r"test(?!_batch)[^.]*\.bin"),
        "fine_label_names.txt", "", "", 2,
    ),
    _Variant(
        "CIFAR-10 python", CIFAR10, 10, re.compile(r"data_batch_\d+"), re.compile(r"test_batch"),
        "batches.meta", "label_names", "labels", 0,
    ),
    _Variant(
        "CIFAR-100 python", CIFAR100, 100, re.compile(r"train"), re.compile(r"test"),
        "meta", "fine_label_names", "fine_labels", 0,
    ),
)  # fmt: skip
_WANTED = re.compile("|".join(f"(?:{v.train.pattern})|(?:{v.test.pattern})|{re.escape(v.names)}" for v in _VARIANTS))


def recognises(path: Path) -> bool:
    """Whether this looks like a folder, an archive or a binary file of CIFAR."""
    if is_tar(path):
        return "cifar" in path.name.lower()
    return any(_files(path, variant) for variant in _VARIANTS)


def read(path: Path, scratch: Path) -> Source:
    """A folder or tar archive of one of the four versions.

    Args:
        path: what to read.
        scratch: where archives are unpacked to; must stay until the images have been read.

    Raises:
        UserError: for missing, damaged or foreign files.
    """
    folder, archive = path, None
    if is_tar(path):
        folder, archive = unpack(path, _WANTED, scratch / "unpacked"), path
    for variant in _VARIANTS:
        if files := _files(folder, variant):
            return _source(folder, variant, files, archive)
    raise UserError(f"'{path}' holds no files of CIFAR-10 or CIFAR-100")


def _files(path: Path, variant: _Variant) -> dict[str, list[Path]]:
    """{split: files in their order}."""
    listed = [path] if path.is_file() else sorted(path.iterdir(), key=_natural) if path.is_dir() else []
    found: dict[str, list[Path]] = {}
    for split, pattern in (("train", variant.train), ("test", variant.test)):
        if matching := [file for file in listed if pattern.fullmatch(file.name) and file.is_file()]:
            found[split] = matching
    return found


def _natural(path: Path) -> list[tuple[int, str]]:
    """``data_batch_10`` after ``data_batch_9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _all(files: dict[str, list[Path]]) -> list[Path]:
    return [file for group in files.values() for file in group]


def _source(folder: Path, variant: _Variant, files: dict[str, list[Path]], archive: Path | None) -> Source:
    labels_of, images_of = (_binary_labels, _binary_images) if variant.label_bytes else (_python_labels, _python_images)
    splits = {}
    for split, group in files.items():
        labels = np.concatenate([labels_of(file, variant) for file in group])
        splits[split] = SourceSplit(labels, partial(_one_after_the_other, images_of, group, variant))
    sums = fingerprint({archive.name: archive} if archive else {file.name: file for file in _all(files)})
    comparison = compared(variant.known, sums)
    notes = [comparison.note] if comparison.note else []
    if "train" not in splits:
        notes.append("no training images: it can only be measured on")
    return Source(
        format=variant.format,
        title=comparison.title,
        image_shape=SHAPE,
        class_names=_class_names(folder, variant),
        splits=splits,
        files=sums,
        flips=variant.known.flips,
        official=comparison.official,
        default_name=variant.known.name,
        notes=tuple(notes),
    )


def _one_after_the_other(images_of: Any, files: list[Path], variant: _Variant) -> Iterator[np.ndarray]:
    for file in files:
        yield from images_of(file, variant)


def _binary_records(path: Path, variant: _Variant) -> Iterator[np.ndarray]:
    """uint8 [n, label bytes + 3072] at a time."""
    record = variant.label_bytes + PIXELS
    size = path.stat().st_size
    if size == 0 or size % record:
        raise UserError(
            f"'{path.name}' has {size} bytes, which are no whole {variant.known.title} records of {record} bytes; "
            "get it again"
        )
    at_once = rows_per_block(record)
    with open(path, "rb") as file:
        while len(data := file.read(at_once * record)):
            yield np.frombuffer(data[: len(data) // record * record], np.uint8).reshape(-1, record)


def _binary_labels(path: Path, variant: _Variant) -> np.ndarray:
    parts = [records[:, : variant.label_bytes].copy() for records in _binary_records(path, variant)]
    labels = np.concatenate(parts)
    if variant.label_bytes == 2:
        check_labels(labels[:, 0], COARSE_CLASSES, f"{path.name} (coarse labels)")
    return check_labels(labels[:, -1], variant.num_classes, path.name)


def _binary_images(path: Path, variant: _Variant) -> Iterator[np.ndarray]:
    for records in _binary_records(path, variant):
        yield _planes_last(records[:, variant.label_bytes :])


def _planes_last(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _python_arrays(path: Path, variant: _Variant) -> tuple[np.ndarray, list[int]]:
    values = read_plain_pickle(path)
    pixels, labels = values.get("data"), values.get(variant.label_key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise UserError(
            f"'{path.name}' has no array 'data' of {PIXELS} bytes per image; it is no {variant.format} file"
        )
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise UserError(f"'{path.name}' has no list of numbers '{variant.label_key}'; it is no {variant.format} file")
    if len(labels) != len(pixels):
        raise UserError(f"'{path.name}' has {len(pixels)} images and {len(labels)} labels; get it again")
    return pixels, labels


def _python_labels(path: Path, variant: _Variant) -> np.ndarray:
    labels = _python_arrays(path, variant)[1]
    return check_labels(np.array(labels, dtype=object), variant.num_classes, path.name)


def _python_images(path: Path, variant: _Variant) -> Iterator[np.ndarray]:
    pixels, _ = _python_arrays(path, variant)
    at_once = rows_per_block(PIXELS)
    for first in range(0, len(pixels), at_once):
        yield _planes_last(pixels[first : first + at_once])


def _class_names(folder: Path, variant: _Variant) -> tuple[str, ...]:
    """From the file of names where it lies beside the images; else the usual ones, else numbers."""
    path = folder / variant.names
    usual = variant.known.class_names or numbered_classes(np.array([variant.num_classes - 1]))
    if not path.is_file():
        return usual
    if variant.name_key:
        names = read_plain_pickle(path).get(variant.name_key)
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            names = [line.strip() for line in file.read(1 << 16).splitlines() if line.strip()]
    if not isinstance(names, list) or len(names) != variant.num_classes or len(set(map(str, names))) != len(names):
        raise UserError(f"'{path.name}' does not name {variant.num_classes} different classes; get it again")
    return tuple(map(str, names))
