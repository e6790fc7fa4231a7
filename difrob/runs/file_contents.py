"""Reading the HDF5 file of a run, which may come from anywhere: nothing in it is trusted.

Links to other places, numbers kept in other files, and data sets that claim more numbers than the file holds are refused
before they are followed or cost memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.errors import UserError
from difrob.runs.damage.guard import require_harmless
from difrob.runs.interface import Checkpoint
from difrob.runs.journal import MAX_SEQUENCE
from difrob.runs.records import SERIES_WORDS, Curve, LogLine, Pictures, Series
from difrob.runs.schema import SCHEMA_VERSION as SCHEMA_VERSION
from difrob.runs.schema import Damaged as Damaged
from difrob.runs.schema import check_version

MAPPED_BYTES = 32 << 20  # columns from this size on are mapped instead of read

# difrob itself compresses nothing, but somebody may have since. A data set may then unpack to so many bytes, or to so many
# times its file: constant columns pack a thousandfold, so a bound on the ratio alone would refuse honest small files.
MAX_UNPACKED = 256 << 20
MAX_UNPACKED_TIMES = 50
UNREADABLE = (KeyError, OSError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError)


@contextmanager
def open_run_file(path: Path) -> Iterator[h5py.File]:
    """Open a run file for reading, without locking it.

    Raises:
        UserError: when the file is missing, cannot be read, is not a run file, or was written by a newer difrob.
        Damaged: when it is damaged; also when the body finds damage, i.e. raises what h5py raises.
    """
    try:
        require_harmless(path)
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise UserError(f"there is no run file '{path}'") from None
    except OSError as error:
        raise _explain(error, path, "is damaged and cannot be opened") from None
    try:
        with file:
            check_file_version(file, path)
            yield file
    except UNREADABLE as error:
        raise _explain(error, path, "is damaged") from None
    except MemoryError:  # no damage: elsewhere, or later, it may be read
        raise UserError(f"run file '{path}' does not fit into memory; close other programs and try again") from None


def _explain(error: Exception, path: Path, what: str) -> UserError:
    if (failure := system_error(error)) is not None:
        return UserError(f"run file '{path}' cannot be read: {failure.strerror}")
    return Damaged(f"run file '{path}' {what} ({(str(error).splitlines() or [type(error).__name__])[0]})")


def system_error(error: Exception) -> OSError | None:
    """The error of the operating system behind an exception: HDF5 often only mentions it in its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno))
    if isinstance(error, OSError | RuntimeError) and (found := re.search(r"errno = (\d+)", str(error))):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return None


def check_file_version(file: h5py.File, path: Path) -> None:
    """Raise UserError for a file that is no run of ours, or from a newer difrob."""
    version = file.attrs.get("schema_version")
    if version is None:
        raise UserError(f"'{path}' is an HDF5 file, but not a difrob run")
    check_version(version, path.name)


def folded_sequence(file: h5py.File) -> int:
    """The highest journal frame that a run file holds."""
    sequence = int(file.attrs["folded_sequence"])
    if not 0 <= sequence <= MAX_SEQUENCE:
        raise ValueError(f"no run has a frame {sequence}")
    return sequence


# Guarded access


def groups_in(parent: h5py.Group, name: str) -> dict[str, h5py.Group]:
    """The groups inside group ``name``, in order of their names."""
    group = _child(parent, name, h5py.Group)
    return {key: _child(group, key, h5py.Group) for key in sorted(group)}


def group_in(parent: h5py.Group, name: str) -> h5py.Group:
    """The group ``name`` itself."""
    group: h5py.Group = _child(parent, name, h5py.Group)
    return group


def numbers(group: h5py.Group, name: str) -> h5py.Dataset:
    """A data set of numbers, not read yet, whose numbers are really in the file."""
    dataset = _child(group, name, h5py.Dataset)
    if dataset.dtype.kind not in "biuf":
        raise ValueError(f"'{dataset.name}' does not hold numbers")
    return dataset


def text(group: h5py.Group, name: str) -> str:
    """A single text."""
    return str(_child(group, name, h5py.Dataset).asstr()[()])


def _column(group: h5py.Group, name: str, length: int | None = None) -> np.ndarray:
    dataset = numbers(group, name)
    if dataset.ndim != 1 or length not in (None, len(dataset)):
        raise ValueError(f"'{dataset.name}' has the wrong shape {dataset.shape}")
    return dataset[...]


def has_link(group: h5py.Group, name: str) -> bool:
    """Whether a group has something of that name; h5py's own ``in`` follows links."""
    return name not in ("", ".") and "/" not in name and bool(group.id.links.exists(name.encode()))


def _child(group: h5py.Group, name: str, kind: type[h5py.Group] | type[h5py.Dataset]) -> Any:
    if not has_link(group, name):
        raise KeyError(f"there is no '{name}' in '{group.name}'")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"'{name}' in '{group.name}' is a link to another place, which is not followed")
    child = group[name]
    if not isinstance(child, kind):
        raise ValueError(f"'{child.name}' is not a {kind.__name__.lower()}")
    if isinstance(child, h5py.Dataset):
        _check_storage(child)
    return child


def _check_storage(dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"'{dataset.name}' keeps its numbers in other files, which are not followed")
    if dataset.shape is None:
        raise ValueError(f"'{dataset.name}' is empty")
    held = dataset.id.get_storage_size()
    if dataset.id.get_create_plist().get_nfilters() > 0 and held:
        held = max(MAX_UNPACKED, MAX_UNPACKED_TIMES * dataset.file.id.get_filesize())
    if dataset.size * dataset.dtype.itemsize > held:
        raise ValueError(f"'{dataset.name}' claims {dataset.shape} elements, which the file does not hold")


# The parts of a run file


def read_metrics(file: h5py.File, names: set[str] | None = None, until: int | None = None) -> dict[str, Series]:
    """All metrics of an open run file (or the named ones), up to and including step ``until``."""
    result = {}
    for group in groups_in(file, "metrics").values():
        name = str(group.attrs["name"])
        if names is not None and name not in names:
            continue
        series = read_series(group)
        if until is not None:
            series = series.until(until)
        if len(series.step):
            result[name] = series
    return result


def read_series(group: h5py.Group) -> Series:
    """The series in the group of one metric."""
    value = _column(group, "value")
    gaps = np.full(len(value), np.nan)
    low, high = (_column(group, name, len(value)) if has_link(group, name) else gaps for name in ("low", "high"))
    step, time = (_column(group, name, len(value)) for name in ("step", "time"))
    return Series(step, time, value, low, high, **{word: str(group.attrs.get(word, "")) for word in SERIES_WORDS})


def read_curves(file: h5py.File, until: int | None = None) -> list[Curve]:
    """The latest curve of each name, up to and including step ``until``."""
    curves = []
    for group in groups_in(file, "curves").values():
        key = max(steps_until(group, until), default=None)
        if key is not None:
            curves.append(read_curve(group, key))
    return curves


def read_curve(group: h5py.Group, key: str) -> Curve:
    """One curve out of the group of all of its name."""
    data = _child(group, key, h5py.Group)
    x = _column(data, "x")
    y = _column(data, "y", len(x))
    low, high = (_column(data, name, len(x)) if has_link(data, name) else None for name in ("low", "high"))
    labels = {name: str(data.attrs[name]) for name in ("x_label", "y_label", "interval")}
    labels |= {name: str(data.attrs.get(name, "")) for name in ("title", "unit", "better")}
    return Curve(str(group.attrs["name"]), int(data.attrs["step"]), x, y, low, high, **labels)


def read_pictures(file: h5py.File, newest: int = 64, until: int | None = None) -> list[Pictures]:
    """The newest batches of pictures of each name, oldest first, up to and including step ``until``."""
    batches = []
    for group in groups_in(file, "images").values():
        for key in steps_until(group, until)[-newest:]:
            batches.append(read_batch(group, key))
    return batches


def read_batch(group: h5py.Group, key: str) -> Pictures:
    """One batch of pictures out of the group of all of its name."""
    data = numbers(group, key)
    if data.dtype != np.uint8 or data.ndim != 4:
        raise ValueError(f"'{data.name}' does not hold pictures")
    captions = [str(caption) for caption in json.loads(data.attrs["captions"])]
    return Pictures(str(group.attrs["name"]), int(data.attrs["step"]), data[...], captions)


def steps_until(group: h5py.Group, until: int | None) -> list[str]:
    """The keys of a group that is keyed by steps, in order, up to and including step ``until``."""
    return [key for key in sorted(group) if until is None or int(key) <= until]


def sample_columns(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The columns of per-sample results, not read yet."""
    group = _child(file, "samples", h5py.Group)
    return {name: numbers(group, name) for name in group}


def read_column(column: h5py.Dataset, path: Path) -> np.ndarray:
    """The rows of one of :func:`sample_columns`; read-only.

    A large one that lies in the file in one piece is mapped, so that a set of a million images costs no memory. The map
    stays good when the file is replaced, because files are only ever replaced by renaming.
    """
    place = column.id.get_offset()
    if place is not None and column.chunks is None and column.nbytes >= MAPPED_BYTES and column.dtype.isnative:
        mapped = np.memmap(path, dtype=column.dtype, mode="r", offset=place, shape=column.shape)
        return mapped.view(np.ndarray)
    values = column[...]
    values.flags.writeable = False
    return values


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """Facts that the job stated."""
    return dict(json.loads(text(file, "attributes")))


def read_log(file: h5py.File) -> list[LogLine]:
    """All log lines."""
    group = _child(file, "log", h5py.Group)
    texts = (_child(group, name, h5py.Dataset).asstr()[...] for name in ("level", "text"))
    return [
        LogLine(float(t), str(level), str(line)) for t, level, line in zip(_column(group, "time"), *texts, strict=True)
    ]


def read_checkpoint(group: h5py.Group) -> Checkpoint | None:
    """One of ``groups_in(file, "checkpoints")``; None when its weights are not what was written."""
    weights = _column(group, "weights").tobytes()
    if digest(weights) != group.attrs["digest"]:
        return None
    return Checkpoint(int(group.attrs["step"]), weights, json.loads(text(group, "state")))


def read_state(group: h5py.Group) -> dict[str, Any]:
    """The state of one of ``groups_in(file, "checkpoints")``, its weights left alone."""
    return dict(json.loads(text(group, "state")))


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
