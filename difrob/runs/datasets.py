"""The data sets of a workspace: what is known about each of them, without reading an image.

A data set lies in ``datasets/<name>``: three arrays for each split, and ``dataset.json``, which says what they hold. The
folder is made under another name and gets its own in one step when all is written, so a half-added set is never seen.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difrob.errors import UserError
from difrob.runs.locks import open_locked, remove_locked

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from difrob.specs.takes import DataSetUse

VERSION = 1
RECORD_FILE = "dataset.json"
MAX_RECORD_BYTES = 64 << 20
NAME_RULE = "a letter or digit, then up to 63 letters, digits, '.', '-' or '_'"
POINTS = "points"  # the format of toys
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STAGING = ".adding-"
_LOCK = ".adding.lock"


SEVERITIES = 5  # of each corruption (Hendrycks & Dietterich 2019)


def split_name(corruption: str, severity: int) -> str:
    """What the split of a corruption and a severity (1 to 5) is called."""
    return f"{corruption}-{severity}"


@dataclass(frozen=True)
class SplitRecord:
    """One split as it is stored.

    Attributes:
        per_class: how many images each class has.
        digests: {``images`` | ``labels`` | ``indices``: BLAKE2b of the array's bytes}.
    """

    per_class: list[int]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.per_class)


@dataclass(frozen=True)
class SourceFile:
    """A file that the data set was read from; ``md5`` because that is what the publishers of data sets give."""

    bytes: int
    md5: str


@dataclass(frozen=True)
class DataSetRecord:
    """What is known about a data set.

    Attributes:
        name: what specifications call it.
        title: what it is, e.g. ``"MNIST, official files"``.
        format: what it was read from, e.g. ``"idx"``.
        image_shape: (C, H, W), as networks count.
        class_names: one per class, in the order of the labels.
        splits: what is stored, by name of the split.
        flips: whether an image and its mirror image show the same; a mirrored 3 is no digit.
        digest: of all arrays; two sets with one digest hold the same.
        official: whether the files were those that the publisher of a known set gives digests of.
        notes: what was noticed while reading.
        validation: by which rule images were held out of the training images.
        source_path, source_files: what it was read from.
        added: seconds since 1970.
        version: of this record's layout.
        folder: where it lies; None for a set that is built in.
    """

    name: str
    title: str
    format: str
    image_shape: tuple[int, int, int]
    class_names: list[str]
    splits: dict[str, SplitRecord]
    flips: bool
    digest: str
    official: bool = False
    notes: list[str] = field(default_factory=list)
    validation: dict[str, Any] = field(default_factory=dict)
    source_path: str = ""
    source_files: dict[str, SourceFile] = field(default_factory=dict)
    added: float = 0.0
    version: int = VERSION
    folder: Path | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The corruptions of which it has all severities as splits, ``fog-1`` to ``fog-5``; empty for other data sets."""
        names = dict.fromkeys(split.rpartition("-")[0] for split in self.splits)
        severities = range(1, SEVERITIES + 1)
        return tuple(name for name in names if all(split_name(name, level) in self.splits for level in severities))

    @property
    def is_corrupted(self) -> bool:
        """Whether these are corrupted test images alone, with nothing to train on."""
        return "train" not in self.splits and bool(self.corruptions)

    @property
    def is_points(self) -> bool:
        """Whether these are points of a toy distribution instead of images."""
        return self.format == POINTS

    @property
    def is_drawn(self) -> bool:
        """Whether there are as many points as asked for; those of real images are as many as the images."""
        return self.is_points and not self.splits

    def unfit_for(self, use: DataSetUse) -> str:
        """Why a field that takes such data sets cannot take this one, to be read after its name; empty when it can."""
        if use == "corruptions":
            known = f"has no splits of corruptions in {SEVERITIES} severities, such as fog-1 to fog-{SEVERITIES}"
            return "" if self.corruptions else f"{known}; 'difrob data add' makes them of a folder like CIFAR-10-C"
        if self.is_points:
            learnt = "holds points instead of images; only a diffusion model learns from points"
            return "" if use == "images or points" else learnt
        if self.is_corrupted:
            return (
                "holds corrupted test images alone, with nothing to train on; choose the data set that they are versions "
                "of, and name this one as 'corruptions' of an evaluation"
            )
        return ""

    def require_fit_for(self, use: DataSetUse) -> None:
        """Raise UserError when a field that takes such data sets cannot take this one."""
        if reason := self.unfit_for(use):
            raise UserError(f"data set '{self.name}' {reason}")

    def facts(self) -> dict[str, Any]:
        """What a run that reads this set notes about it."""
        return {"name": self.name, "title": self.title, "digest": self.digest}


# The digest is that of the arrays which difrob.data.digits gives; a test holds the two together.
DIGITS = DataSetRecord(
    name="digits",
    title="1,797 real 8x8 scans of handwritten digits that ship with scikit-learn",
    format="built in",
    image_shape=(1, 8, 8),
    class_names=[str(digit) for digit in range(10)],
    splits={
        "train": SplitRecord([99, 102, 98, 102, 100, 102, 100, 99, 97, 101]),
        "validation": SplitRecord([20, 19, 20, 20, 20, 20, 20, 20, 19, 19]),
        "test": SplitRecord([59, 61, 59, 61, 61, 60, 61, 60, 58, 60]),
    },
    flips=False,
    digest="d15b1ecc2d010c61f4e779b6ad1397cf",
    official=True,
)


def _toy(name: str, title: str, dimension: int, modes: int) -> DataSetRecord:
    classes = [str(mode) for mode in range(modes)]
    return DataSetRecord(name, title, POINTS, (dimension, 1, 1), classes, {}, flips=False, digest="", official=True)


# Points of known distributions, drawn when a diffusion model learns; what they are stands in difrob.data.toy_names.
TOYS = (
    _toy("toy-gaussian", "points of one Gaussian in the plane", 2, 1),
    _toy("toy-ring", "points of eight modes on a circle in the plane", 2, 8),
    _toy("toy-plane", "points of three clusters on an oblique plane in space", 3, 3),
    replace(
        DIGITS,
        name="toy-digits-subspace",
        title="the digits on the subspace of their first 16 principal components, as points of 64 numbers",
        format=POINTS,
        splits={split: DIGITS.splits[split] for split in ("train", "validation")},
        digest="",
    ),
)
BUILT_IN = {record.name: record for record in (DIGITS, *TOYS)}


def check_data_set_name(name: str) -> str:
    """The name itself.

    Raises:
        UserError: for a name that could not be a folder on every system, or that is taken by a built-in set.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise UserError(f"'{name}' cannot name a data set: it takes {NAME_RULE}")
    if name in BUILT_IN:
        raise UserError(f"'{name}' is built in; give the data set another name with --name")
    return name


class DataSets:
    """The data sets under one folder, and the built-in ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[DataSetRecord]:
        """All data sets that can be used: built-in ones, then the others by name."""
        found = list(BUILT_IN.values())
        for name in self._names():
            try:
                found.append(self._read(name))
            except UserError:
                continue
        return found

    def damaged(self) -> dict[str, str]:
        """Data sets that cannot be used, and why."""
        reasons = {}
        for name in self._names():
            try:
                self._read(name)
            except UserError as error:
                reasons[name] = str(error)
        return reasons

    def get(self, name: str) -> DataSetRecord:
        """The record of a data set.

        Raises:
            UserError: when there is none of that name, naming those that there are, or when it cannot be read.
        """
        if name in BUILT_IN:
            return BUILT_IN[name]
        if _NAME.fullmatch(name) and (self.folder / name).is_dir():
            return self._read(name)
        from difrob.specs.words.near_names import did_you_mean

        known = [record.name for record in self.all()]
        raise UserError(
            f"there is no data set '{name}' in the workspace '{self.folder.parent}'{did_you_mean(name, known)}; "
            f"'difrob data add' registers one; known: {', '.join(known)}"
        )

    def require_free(self, name: str) -> None:
        """Raise UserError for a name that is no name, or is taken."""
        check_data_set_name(name)
        if (self.folder / name).exists():
            raise UserError(
                f"there is a data set '{name}' already; remove it with 'difrob data rm {name}', or give another --name"
            )

    @contextmanager
    def adding(self) -> Iterator[Path]:
        """An empty folder for a new data set; call :meth:`publish` in the block when all is written.

        What an earlier process left half done is removed, and so is what this block leaves unpublished.

        Raises:
            UserError: while another process adds, or when the disk refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open_locked(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0.5)
        except OSError as error:
            raise UserError(f"cannot write into '{self.folder}': {error.strerror}") from None
        if lock is None:
            raise UserError("another 'difrob data add' is at work in this workspace; wait until it is done")
        try:
            for left in self.folder.glob(f"{_STAGING}*"):
                shutil.rmtree(left, ignore_errors=True)
            staging = self.folder / f"{_STAGING}{secrets.token_hex(4)}"
            staging.mkdir()
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        finally:
            remove_locked(lock, self.folder / _LOCK)

    def publish(self, staging: Path, record: DataSetRecord) -> DataSetRecord:
        """Write the record beside its arrays and give the folder its name.

        Raises:
            UserError: when the name has been taken meanwhile.
        """
        check_data_set_name(record.name)
        target = self.folder / record.name
        values = asdict(replace(record, folder=None))
        del values["folder"]
        with open(staging / RECORD_FILE, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        try:
            staging.rename(target)
        except OSError:
            if target.exists():
                raise UserError(f"there is a data set '{record.name}' by now; give another --name") from None
            raise
        _sync_folder(self.folder)
        return replace(record, folder=target)

    def remove(self, name: str, bin_folder: Path) -> Path:
        """Move a data set, readable or not, into the bin and return where it lies now.

        Raises:
            UserError: for a built-in or unknown set, or a bin that cannot be written.
        """
        if name in BUILT_IN:
            raise UserError(f"'{name}' is built in and cannot be removed")
        if not _NAME.fullmatch(name) or not (self.folder / name).is_dir():
            self.get(name)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = bin_folder / "datasets" / f"{name}-{moment}-{secrets.token_hex(2)}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).rename(target)
        except OSError as error:
            raise UserError(f"data set '{name}' cannot be moved to '{target}': {error.strerror}") from None
        return target

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))

    def _read(self, name: str) -> DataSetRecord:
        folder = self.folder / name
        mend = f"remove it with 'difrob data rm {name}' and add it anew"
        try:
            with open(folder / RECORD_FILE, "rb") as file:
                values = json.loads(file.read(MAX_RECORD_BYTES))
            version = values["version"]
            if isinstance(version, int) and version > VERSION:
                raise UserError(
                    f"data set '{name}' was added by a newer difrob (version {version}, {VERSION} is the newest known "
                    "here); install a newer difrob"
                )
            record = _adapter().validate_python({**values, "folder": folder})
        except FileNotFoundError:
            raise UserError(f"data set '{name}' has no {RECORD_FILE}; {mend}") from None
        except OSError as error:
            raise UserError(f"{RECORD_FILE} of data set '{name}' cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{RECORD_FILE} of data set '{name}' is damaged ({reason}); {mend}") from None
        if record.name != name:
            raise UserError(f"the folder of data set '{record.name}' was renamed to '{name}'; rename it back")
        return record


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # pragma: no cover - folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _adapter() -> TypeAdapter[DataSetRecord]:
    """Made when a record is first read: it takes longer than importing everything else here."""
    from pydantic import TypeAdapter

    return TypeAdapter(DataSetRecord)
