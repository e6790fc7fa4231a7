"""A few images of a data set, read from its arrays where they lie; for the reader thread.

Never more than :data:`MOST` images are read, and of large ones only every so-many-th pixel, so that a look at a data set
of a million photographs costs as little as one at digits.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from difrob.errors import UserError
from difrob.runs.datasets import DIGITS, DataSetRecord

MOST = 100
PER_CLASS = 10
LARGEST_SIDE = 96
MOST_LABEL_BYTES = 256 << 20


@dataclass(frozen=True)
class Examples:
    """Images uint8 [N, H, W, C] with the class of each; ``note`` says what is not seen of them."""

    images: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    captions: list[str] = field(default_factory=list)
    note: str = ""


def read_examples(record: DataSetRecord, split: str) -> Examples:
    """The first images of each class of a split, classes evenly chosen where there are very many.

    Raises:
        UserError: when the arrays are missing or are not those of the record.
    """
    if record.is_points:
        return Examples(note="Points have no pictures.")
    if record.folder is None:
        return _digits() if record.name == DIGITS.name else Examples(note="This set has no pictures here.")
    images = _mapped(record, split, "images")
    labels = _mapped(record, split, "labels")
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels) or images.shape[3] not in (1, 3):
        raise UserError(f"the arrays of data set '{record.name}' do not fit its record; 'difrob data check' says more")
    if labels.nbytes > MOST_LABEL_BYTES:
        labels = labels[: MOST_LABEL_BYTES // labels.itemsize]
    rows = chosen_rows(np.asarray(labels), record.num_classes)
    step = max(1, -(-max(images.shape[1:3]) // LARGEST_SIDE))
    shown = np.stack([images[row, ::step, ::step] for row in rows]) if rows else np.zeros((0, 1, 1, 1), np.uint8)
    note = f"Every {step}. pixel is shown." if step > 1 else ""
    return Examples(shown, [_class_name(record, int(labels[row])) for row in rows], note)


def chosen_rows(labels: np.ndarray, num_classes: int) -> list[int]:
    """Rows of up to :data:`PER_CLASS` images per class, class by class, at most :data:`MOST` in all."""
    present = np.flatnonzero(np.bincount(labels[(labels >= 0) & (labels < num_classes)], minlength=num_classes))
    if not len(present):
        return []
    if len(present) > MOST:
        present = present[np.linspace(0, len(present) - 1, MOST).astype(int)]
    each = max(1, min(PER_CLASS, MOST // len(present)))
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels, present, sorter=order)
    ends = np.searchsorted(labels, present, side="right", sorter=order)
    return [int(row) for start, end in zip(starts, ends, strict=True) for row in order[start : min(start + each, end)]]


def _mapped(record: DataSetRecord, split: str, array: str) -> np.ndarray:
    assert record.folder is not None
    path = record.folder / f"{split}-{array}.npy"
    try:
        values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise UserError(f"'{path}' is damaged ({error}); remove the data set and add it anew") from None
    return values


def _class_name(record: DataSetRecord, label: int) -> str:
    return record.class_names[label] if 0 <= label < record.num_classes else str(label)


def _digits() -> Examples:
    """The scans out of scikit-learn's own file, without loading scikit-learn into the window."""
    package = importlib.util.find_spec("sklearn")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    path = Path(folders[0]) / "datasets" / "data" / "digits.csv.gz" if folders else None
    if path is None or not path.is_file():
        return Examples(note="scikit-learn, which the scans come with, is not installed here.")
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({error}); install scikit-learn anew") from None
    labels = table[:, -1].astype(np.int64)
    rows = chosen_rows(labels, DIGITS.num_classes)
    images = np.rint(table[rows, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Examples(images, [str(labels[row]) for row in rows], "Taken from all 1,797 scans, whatever their split.")
