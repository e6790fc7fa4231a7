"""Taking a data set from its original files into a workspace: read once, checked, written as arrays that can be mapped.

Every split becomes one contiguous array, the validation images too: so that loading a split is a memory map, whatever its
size, and never a copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from difrob.data.formats.detection import Request, read_source
from difrob.data.formats.source import Source, SourceSplit
from difrob.data.splitting import stratified_parts
from difrob.data.stored import array_path, set_digest
from difrob.errors import UserError
from difrob.runs.datasets import DataSetRecord, DataSets, SplitRecord
from difrob.runs.full_disk import is_full

MAX_VALIDATION = 1024
VALIDATION_SHARE = 0.1
VALIDATION_SEED = 0
SPARE_BYTES = 16 << 20
MOST_NAMED = 20  # classes in a sentence
_USUAL_ORDER = ("train", "validation", "test")

Progress = Callable[[int, int, str], None]


def add_data_set(
    data_sets: DataSets,
    path: Path,
    *,
    name: str | None = None,
    format_name: str = "auto",
    validation: int | None = None,
    size: int | None = None,
    classes: list[str] | None = None,
    flips: bool | None = None,
    progress: Progress = lambda done, total, what: None,
) -> DataSetRecord:
    """Read a data set and register it.

    Args:
        data_sets: where to.
        path: file or folder in an original format.
        name: what to call it; None for the usual name of a known set, else that of the path.
        format_name: one of :data:`difrob.data.formats.detection.FORMATS`, or ``"auto"``.
        validation: how many training images are held out; None for a tenth, at most :data:`MAX_VALIDATION`.
        size: side of the images in pixels, for pictures.
        classes: only these classes, in this order.
        flips: whether mirror images show the same; None for what is known about the set, else False.
        progress: told (done, total, what) as it goes.

    Raises:
        UserError: for whatever is wrong with the files, the name, or the disk; nothing is left behind then.
    """
    path = path.expanduser().absolute()
    if name is not None:
        data_sets.require_free(name)
    with _told_disk_errors(data_sets.folder), data_sets.adding() as staging:
        scratch = staging / "scratch"
        scratch.mkdir()
        source = read_source(Request(path, scratch, size, progress), format_name)
        if classes:
            source = source.with_classes(classes)
        chosen = name or source.default_name or _slug(path)
        data_sets.require_free(chosen)
        parts = _parts(source, validation)
        _require_room(staging, source)
        splits = _write(staging, source, parts, progress)
        shutil.rmtree(scratch)
        held_out = len(parts["train"].get("validation", ())) if "train" in parts else 0
        record = DataSetRecord(
            name=chosen,
            title=source.title,
            format=source.format,
            image_shape=(source.image_shape[2], *source.image_shape[:2]),
            class_names=list(source.class_names),
            splits=splits,
            flips=source.flips if flips is None else flips,
            digest=set_digest(splits),
            official=source.official,
            notes=[*source.notes, *_absent(source, splits, chosen)],
            validation={"rule": "stratified, held out of train", "images": held_out, "seed": VALIDATION_SEED},
            source_path=str(path),
            source_files=source.files,
            added=time.time(),
        )
        return data_sets.publish(staging, record)


class ArrayWriter:
    """An ``.npy`` file that grows block by block, and the digest of its bytes.

    Args:
        path: a new file.
        dtype: type of the array.
        shape: its shape, known beforehand.
    """

    def __init__(self, path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._rows = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._file = open(path, "xb")  # noqa: SIM115 - closed by close()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        np.lib.format.write_array_header_1_0(self._file, {"descr": descr, "fortran_order": False, "shape": shape})

    def append(self, rows: np.ndarray) -> None:
        """Write further rows."""
        if rows.dtype != self._dtype or rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows are {rows.dtype} {rows.shape}, the array {self._dtype} {self._shape}")
        data = np.ascontiguousarray(rows)
        self._digest.update(data.data)
        self._file.write(data.data)
        self._rows += len(rows)

    def close(self) -> str:
        """The digest, after all is on the disk. Raises ValueError unless all rows have come."""
        with self._file:
            if self._rows != self._shape[0]:
                raise ValueError(f"{self._rows} rows were written, {self._shape[0]} announced")
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close without asking whether all is there."""
        self._file.close()


def _parts(source: Source, validation: int | None) -> dict[str, dict[str, np.ndarray]]:
    """{original split: {stored split: rows}}; the training images may be divided, all others stay together."""
    parts = {name: {name: np.arange(len(split.labels))} for name, split in source.splits.items()}
    empty = [name for name, split in source.splits.items() if len(split.labels) == 0]
    if empty:
        raise UserError(f"no images are left in the split '{empty[0]}'")
    if "train" not in source.splits:
        if validation:
            raise UserError("there are no training images, of which validation images could be held out")
        return parts
    labels = source.splits["train"].labels
    count = min(MAX_VALIDATION, int(VALIDATION_SHARE * len(labels))) if validation is None else validation
    if not 0 <= count < len(labels):
        raise UserError(f"--validation {count} cannot be held out of {len(labels)} training images")
    if count:
        parts["train"] = stratified_parts(labels, {"validation": count, "train": len(labels) - count}, VALIDATION_SEED)
    return parts


def _require_room(folder: Path, source: Source) -> None:
    images = sum(len(split.labels) for split in source.splits.values())
    needed = images * (int(np.prod(source.image_shape)) + 16) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the data set takes {needed / 1e9:.2f} GB in the workspace, {free / 1e9:.2f} GB are free; free some room, "
            "or use another --workspace"
        )


def _write(
    folder: Path, source: Source, parts: dict[str, dict[str, np.ndarray]], progress: Progress
) -> dict[str, SplitRecord]:
    """Write all arrays in one pass over the images."""
    total = sum(len(split.labels) for split in source.splits.values())
    splits, before = {}, 0
    for name, split in source.splits.items():
        digests = _write_images(folder, source, name, parts[name], before, total, progress)
        before += len(split.labels)
        for part, rows in parts[name].items():
            labels = split.labels[rows]
            for array, values in (("labels", labels), ("indices", rows.astype(np.int64))):
                writer = ArrayWriter(array_path(folder, part, array), np.int64, values.shape)
                writer.append(values)
                digests[part][array] = writer.close()
            per_class = np.bincount(labels, minlength=len(source.class_names)).tolist()
            splits[part] = SplitRecord(per_class, digests[part])
    order = [*_USUAL_ORDER, *splits]
    return dict(sorted(splits.items(), key=lambda item: order.index(item[0])))


def _write_images(
    folder: Path,
    source: Source,
    name: str,
    parts: dict[str, np.ndarray],
    before: int,
    total: int,
    progress: Progress,
) -> dict[str, dict[str, str]]:
    """Deal the images of one original split out to the stored ones, each in the original order."""
    split = source.splits[name]
    writers = {
        part: ArrayWriter(array_path(folder, part, "images"), np.uint8, (len(rows), *source.image_shape))
        for part, rows in parts.items()
    }
    try:
        done = 0
        for block in _checked(split, source.image_shape, name):
            for part, rows in parts.items():
                first, last = np.searchsorted(rows, [done, done + len(block)])
                if last > first:
                    writers[part].append(block[rows[first:last] - done])
            done += len(block)
            progress(before + done, total, f"taking over '{name}'")
        return {part: {"images": writer.close()} for part, writer in writers.items()}
    finally:
        for writer in writers.values():
            writer.abandon()


def _checked(split: SourceSplit, shape: tuple[int, int, int], name: str) -> Iterator[np.ndarray]:
    """The blocks of a split, of which there must be as many images as labels."""
    done = 0
    for block in split.blocks():
        done += len(block)
        if block.shape[1:] != shape or done > len(split.labels):
            break
        yield block
    if done != len(split.labels):
        raise UserError(f"the files of '{name}' changed while they were read; try again")


def _absent(source: Source, splits: dict[str, SplitRecord], name: str) -> list[str]:
    """A warning about classes that training images lack, which is rarely meant: what follows from it, and the mend."""
    if "train" not in splits:
        return []
    names, counts = source.class_names, splits["train"].per_class
    absent = [number for number, count in enumerate(counts) if count == 0]
    if not absent:
        return []
    present = [name for name, count in zip(names, counts, strict=True) if count]
    if np.isin(source.splits["train"].labels, absent).any():  # a class of one image may lie in the validation images
        mend = "with more images of these classes: those there were are held out for validation"
    elif len(present) < 2 or any("," in name for name in present):
        mend = "when its files hold images of every class"
    else:
        others = shlex.quote(",".join(present)) if len(present) <= MOST_NAMED else "and the names of all other classes"
        mend = f"with --classes {others}, which leaves them out"
    more = f", ... ({len(absent)} classes in all)" if len(absent) > MOST_NAMED else ""
    return [
        f"warning: no training images of: {', '.join(names[number] for number in absent[:MOST_NAMED])}{more}; no model that "
        "learns from this set can learn them, and no classifier will be trained on it; to mend it, remove the set "
        f"with 'difrob data rm {name}' and add it again {mend}"
    ]


def _slug(path: Path) -> str:
    stem = path.name.split(".")[0] if path.is_file() else path.name
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:64] or "data"


@contextmanager
def _told_disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise UserError(f"the disk of '{folder}' is full; free some room and add the data set again") from None
        raise UserError(f"'{error.filename or folder}': {error.strerror or error}") from None
