"""Reading a data set of the workspace: every split is a memory map."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from difrob.data.images import ImageSet
from difrob.errors import UserError
from difrob.inputs.misfits import missing_split, refuse
from difrob.runs.datasets import DataSetRecord, SplitRecord

_ARRAYS = {"images": np.uint8, "labels": np.int64, "indices": np.int64}
_BLOCK_BYTES = 16 << 20


def set_digest(splits: dict[str, SplitRecord]) -> str:
    """One digest of all arrays of all splits."""
    digest = hashlib.blake2b(digest_size=16)
    for split in sorted(splits):
        for array, value in sorted(splits[split].digests.items()):
            digest.update(f"{split}/{array}={value}\n".encode())
    return digest.hexdigest()


def array_path(folder: Path, split: str, array: str) -> Path:
    """Where an array of a split lies."""
    return folder / f"{split}-{array}.npy"


def stored_split(record: DataSetRecord, split: str) -> ImageSet:
    """One split, its images mapped into memory and read when they are looked at.

    Raises:
        UserError: for a split that the set does not have, and for files that do not fit the record.
    """
    refuse(missing_split(record, split))
    images, labels, indices = (_mapped(record, split, array) for array in _ARRAYS)
    if len(labels) and not 0 <= labels.min() <= labels.max() < record.num_classes:
        raise _damaged(record, f"{split} has labels {labels.min()}..{labels.max()}")
    return ImageSet(images, np.array(labels), record.num_classes, record.name, split, np.array(indices))


def check_stored(record: DataSetRecord) -> Iterator[tuple[int, int]]:
    """Read every byte again and hold it against the digests; gives (bytes done, bytes in all) as it goes.

    Raises:
        UserError: at the first array that is not as it was written.
    """
    arrays = [(split, array, _mapped(record, split, array)) for split in record.splits for array in _ARRAYS]
    total, done = sum(values.nbytes for _, _, values in arrays), 0
    for split, array, values in arrays:
        digest = hashlib.blake2b(digest_size=16)
        at_once = max(1, _BLOCK_BYTES // max(1, values[:1].nbytes))
        for first in range(0, len(values), at_once):
            block = np.ascontiguousarray(values[first : first + at_once])
            digest.update(block.data)
            done += block.nbytes
            yield done, total
        if digest.hexdigest() != record.splits[split].digests.get(array):
            raise _damaged(record, f"{split}-{array}.npy is not as it was written")
        if array == "labels":
            counts = np.bincount(values, minlength=record.num_classes).tolist()
            if counts != record.splits[split].per_class:
                raise _damaged(record, f"the classes of {split} are not counted right")
    if set_digest(record.splits) != record.digest:
        raise _damaged(record, "the digest of the whole does not fit its parts")


def _mapped(record: DataSetRecord, split: str, array: str) -> np.ndarray:
    """An array as a read-only memory map, its type and shape held against the record."""
    if record.folder is None:
        raise ValueError(f"'{record.name}' is built in and lies in no folder")
    path = array_path(record.folder, split, array)
    count = record.splits[split].images
    channels, height, width = record.image_shape
    shape = (count, height, width, channels) if array == "images" else (count,)
    try:
        values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise _damaged(record, f"{path.name} is missing") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise _damaged(record, f"{path.name}: {error}") from None
    if values.dtype != _ARRAYS[array] or values.shape != shape:
        raise _damaged(record, f"{path.name} holds {values.dtype} {list(values.shape)} instead of {list(shape)}")
    return values


def _damaged(record: DataSetRecord, what: str) -> UserError:
    return UserError(
        f"data set '{record.name}' is damaged ({what}); remove it with 'difrob data rm {record.name}' and add it anew"
    )
