"""The idx format of MNIST and Fashion-MNIST (LeCun et al. 1998): a big-endian header, then bytes; often gzipped.

The header is two zero bytes, the type (8: unsigned byte), the number of axes, and the length of each axis in 32 bits.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from difrob.data.formats.known import FASHION_MNIST, MNIST, KnownSet, compared
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
from difrob.runs.datasets import SourceFile

PUBLISHED_SHAPES = {"train": (60_000, 28, 28), "test": (10_000, 28, 28)}  # of MNIST and Fashion-MNIST alike
_FILE = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx[13][-.]ubyte(\.gz)?", re.IGNORECASE)
_BYTE_TYPE = 8


def find(path: Path) -> dict[tuple[str, str], Path]:
    """{(split, ``"images"`` | ``"labels"``): file}; empty when this is no folder of idx files. Of twins the packed one."""
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(path.iterdir()) if path.is_dir() else []:
        if (match := _FILE.fullmatch(file.name)) and file.is_file():
            split = "train" if match[1].lower() == "train" else "test"
            found[split, match[2].lower()] = file
    return found


def read(path: Path) -> Source:
    """A folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same for ``t10k``, gzipped or not.

    Raises:
        UserError: for missing files, and for headers, lengths or counts that do not fit.
    """
    found = find(path)
    shapes, labels = {}, {}
    for split in dict.fromkeys(split for split, _ in found):
        for role in ("images", "labels"):
            if (split, role) not in found:
                raise UserError(
                    f"'{path}' has {split} {'labels' if role == 'images' else 'images'} but no {split} {role}"
                )
        shapes[split] = _image_header(found[split, "images"])
        labels[split] = _labels(found[split, "labels"])
        if len(labels[split]) != shapes[split][0]:
            raise UserError(
                f"'{found[split, 'images'].name}' has {shapes[split][0]} images, '{found[split, 'labels'].name}' has "
                f"{len(labels[split])} labels; they do not belong together"
            )
    if "train" not in labels:
        raise UserError(
            f"'{path}' has no training images; put train-images-idx3-ubyte(.gz) and its labels beside the test's"
        )
    height, width = shapes["train"][1:]
    for split, shape in shapes.items():
        if shape[1:] != (height, width):
            raise UserError(
                f"the images in '{found['train', 'images'].name}' are {height}x{width}, those in "
                f"'{found[split, 'images'].name}' {shape[1]}x{shape[2]}; they do not belong together"
            )
    files = fingerprint({file.name: file for file in found.values()})
    known, title, notes = _compared(files, shapes)
    names = known.class_names if known else numbered_classes(*labels.values())
    return Source(
        format="idx",
        title=title,
        image_shape=(height, width, 1),
        class_names=names,
        splits={
            split: SourceSplit(
                check_labels(labels[split], len(names), found[split, "labels"].name),
                partial(_images, found[split, "images"], shapes[split]),
            )
            for split in labels
        },
        files=files,
        flips=known.flips if known else False,
        official=known is not None,
        default_name=known.name if known else "",
        notes=notes,
    )


def _compared(
    files: dict[str, SourceFile], shapes: dict[str, tuple[int, int, int]]
) -> tuple[KnownSet | None, str, tuple[str, ...]]:
    """(The known set of which these are the official files, title, notes)."""
    comparisons = [(known, compared(known, files)) for known in (MNIST, FASHION_MNIST)]
    for known, comparison in comparisons:
        if comparison.official:
            return known, comparison.title, ()
    undecided = tuple(comparison.note for _, comparison in comparisons if comparison.undecided)
    if undecided and all(shape == PUBLISHED_SHAPES[split] for split, shape in shapes.items()):
        return None, "idx files, not compared with all official files", undecided
    return None, "idx files, not the official files of a known set", ()


def _image_header(path: Path) -> tuple[int, int, int]:
    with _open(path) as file:
        count, height, width = _header(file, 3, path)
    check_image_shape(height, width, 1, path.name)
    if path.suffix.lower() != ".gz" and path.stat().st_size != 16 + count * height * width:
        raise UserError(
            f"'{path.name}' announces {count} images of {height}x{width}, {16 + count * height * width} bytes, but has "
            f"{path.stat().st_size}; get it again"
        )
    return count, height, width


def _labels(path: Path) -> np.ndarray:
    with _open(path) as file:
        (count,) = _header(file, 1, path)
        data = _bytes(file, count, path)
        _expect_end(file, path)
    return np.frombuffer(data, np.uint8)


def _images(path: Path, shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    count, height, width = shape
    at_once = rows_per_block(height * width)
    with _open(path) as file:
        _header(file, 3, path)
        for first in range(0, count, at_once):
            rows = min(at_once, count - first)
            data = _bytes(file, rows * height * width, path)
            yield np.frombuffer(data, np.uint8).reshape(rows, height, width, 1)
        _expect_end(file, path)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else open(path, "rb")


def _header(file: BinaryIO, axes: int, path: Path) -> tuple[int, ...]:
    data = _bytes(file, 4 + 4 * axes, path)
    zero, kind, found = struct.unpack(">HBB", data[:4])
    if zero != 0 or kind != _BYTE_TYPE or found != axes:
        what = {1: "labels", 3: "images"}[axes]
        raise UserError(
            f"'{path.name}' is no idx file of {what}: it begins with {data[:4].hex(' ')} instead of "
            f"00 00 08 {axes:02x}; are images and labels swapped?"
        )
    lengths = struct.unpack(f">{axes}I", data[4:])
    if not 1 <= lengths[0] <= MAX_IMAGES:
        raise UserError(f"'{path.name}' announces {lengths[0]} images; 1 to {MAX_IMAGES} are allowed")
    return lengths


def _bytes(file: BinaryIO, count: int, path: Path) -> bytes:
    """Exactly so many bytes; what a header promises costs no memory before it has been seen."""
    parts, missing = [], count
    try:
        while missing and (part := file.read(min(missing, 1 << 20))):
            parts.append(part)
            missing -= len(part)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path.name}' is damaged or cut off ({error}); get it again") from None
    if missing:
        raise UserError(f"'{path.name}' ends too early, {missing} bytes are missing; get it again")
    return b"".join(parts)


def _expect_end(file: BinaryIO, path: Path) -> None:
    try:
        more = file.read(1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path.name}' is damaged or cut off ({error}); get it again") from None
    if more:
        raise UserError(f"'{path.name}' has more bytes than its header announces; get it again")
