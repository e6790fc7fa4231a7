"""HDF5 files: ``image`` and ``label`` (what ``difrob export`` writes), or the file of a generated or imported run.

The file may come from anywhere. It is opened only after another process came back from looking into it; links, numbers in
other files, filters other than the usual ones and claims that the file cannot hold are refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path

import h5py
import numpy as np

from difrob.data.formats.source import (
    MAX_CLASSES,
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
from difrob.runs.damage.guard import require_harmless
from difrob.runs.file_contents import UNREADABLE, group_in, has_link, numbers, read_attributes, system_error
from difrob.runs.schema import Damaged

SUFFIXES = (".h5", ".hdf5", ".hdf")
IMAGE_NAMES, LABEL_NAMES = ("image", "images"), ("label", "labels")
SAMPLES = "samples"  # the group of a run file in which its images and labels lie
MAX_CHUNK = 256 << 20  # a packed chunk is unpacked as a whole, whatever part of it is wanted
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_BUILT_IN_FILTERS = {
    h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF,
}  # fmt: skip


def find(path: Path) -> dict[str, Path]:
    """{split: file}: an HDF5 file holds training images, a folder has ``train.h5``, ``test.h5`` or both."""
    if path.is_file():
        return {"train": path} if path.suffix.lower() in SUFFIXES or _is_signed(path) else {}
    if not path.is_dir():
        return {}
    places = {split: [path / f"{split}{suffix}" for suffix in SUFFIXES] for split in ("train", "test")}
    found = {split: [file for file in files if file.is_file()] for split, files in places.items()}
    return {split: files[0] for split, files in found.items() if files}


def read(path: Path) -> Source:
    """An HDF5 file, or a folder of them.

    Raises:
        UserError: for data sets of other types or shapes, and for files that are damaged or cannot be trusted.
    """
    found = find(path)
    shapes, labels, names = {}, {}, set()
    for split, place in found.items():
        shapes[split], labels[split], named = _header(place)
        names.add(named)
    if len(set(shapes.values())) > 1:
        raise UserError(f"training and test images in '{path}' differ in size: {shapes}")
    class_names = numbered_classes(*labels.values())
    if len(names) > 1:
        raise UserError(f"training and test images in '{path}' name their classes differently")
    if (named := names.pop()) and len(named) >= len(class_names):
        class_names = named
    return Source(
        format="HDF5",
        title=f"HDF5 images '{path.stem}'",
        image_shape=next(iter(shapes.values())),
        class_names=class_names,
        splits={
            split: SourceSplit(check_labels(labels[split], len(class_names), place.name), partial(_images, place))
            for split, place in found.items()
        },
        files=fingerprint({place.name: place for place in found.values()}),
        notes=() if "train" in found else ("no training images: it can only be measured on",),
    )


def _is_signed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


@contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.Dataset, h5py.Dataset, h5py.File]]:
    """(images, labels, the file), not read yet."""
    try:
        require_harmless(path)
        with h5py.File(path, "r", locking=False) as file:
            yield *_pair(file, path), file
    except Damaged as error:
        raise UserError(f"{str(error).removeprefix('run file ')}; get it again") from None
    except UNREADABLE as error:
        if isinstance(failure := system_error(error), OSError):
            raise UserError(f"'{path}' cannot be read: {failure.strerror}") from None
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' is damaged or no HDF5 file that can be read ({what}); get it again") from None


def _pair(file: h5py.File, path: Path) -> tuple[h5py.Dataset, h5py.Dataset]:
    is_run = has_link(file, SAMPLES)
    group = group_in(file, SAMPLES) if is_run else file
    if is_run and path.with_suffix(".journal").exists():
        raise UserError(
            f"'{path}' is a run that is not over, or was interrupted: rows of it still lie in its journal. Let it finish, "
            "or mend it with 'difrob runs recover'"
        )
    found = []
    for names in (IMAGE_NAMES, LABEL_NAMES):
        present = [name for name in names if has_link(group, name)]
        if len(present) != 1:
            raise UserError(
                f"'{path.name}' needs a data set '{names[0]}' of images and labels"
                if not present
                else f"'{path.name}' has both '{names[0]}' and '{names[1]}'; remove one of them"
            )
        found.append(numbers(group, present[0]))
    images, labels = found
    for dataset in found:
        _check_packing(dataset, path)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UserError(
            f"'{images.name}' in '{path.name}' holds {images.dtype} {list(images.shape)}; images are uint8 "
            "[N,height,width,channels]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise UserError(
            f"'{labels.name}' in '{path.name}' holds {labels.dtype} {list(labels.shape)}; labels are whole numbers, one for "
            f"each of the {images.shape[0]} images"
        )
    return images, labels


def _check_packing(dataset: h5py.Dataset, path: Path) -> None:
    """Filters could be programs from elsewhere; and a chunk is unpacked as a whole."""
    packing = dataset.id.get_create_plist()
    filters = {packing.get_filter(number)[0] for number in range(packing.get_nfilters())}
    if filters - _BUILT_IN_FILTERS:
        raise UserError(
            f"'{dataset.name}' in '{path.name}' is packed by filter {min(filters - _BUILT_IN_FILTERS)}, which difrob does "
            "not load; write it with gzip, or unpacked"
        )
    if dataset.chunks is not None and prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK:
        raise UserError(
            f"'{dataset.name}' in '{path.name}' lies in chunks of {list(dataset.chunks)}, more than {MAX_CHUNK >> 20} MiB "
            "each; write it in smaller ones"
        )


def _header(path: Path) -> tuple[tuple[int, int, int], np.ndarray, tuple[str, ...]]:
    """(image shape, labels int64 [N], names of the classes or none)."""
    with _opened(path) as (images, labels, file):
        shape = images.shape
        if not 1 <= shape[0] <= MAX_IMAGES:
            raise UserError(f"'{path.name}' announces {shape[0]} images; 1 to {MAX_IMAGES} are allowed")
        if len(shape) == 4 and shape[3] not in (1, 3) and shape[1] in (1, 3):
            raise UserError(f"'{path.name}' {list(shape)} has its channels first; save it as [N,height,width,channels]")
        image_shape = check_image_shape(shape[1], shape[2], shape[3] if len(shape) == 4 else 1, path.name)
        values = labels[...].astype(np.int64)
        if values.min() < 0:
            raise UserError(f"'{path.name}' has a label {values.min()}; labels are 0, 1, ...")
        return image_shape, values, _class_names(file)


def _class_names(file: h5py.File) -> tuple[str, ...]:
    if has_link(file, SAMPLES):
        names = read_attributes(file).get("class_names", []) if has_link(file, "attributes") else []
    elif "class_names" in file.attrs:
        names = [name.decode() if isinstance(name, bytes) else name for name in np.ravel(file.attrs["class_names"])]
    else:
        return ()
    good = isinstance(names, list) and len(names) <= MAX_CLASSES and all(isinstance(n, str) and n for n in names)
    return tuple(str(name) for name in names) if good and len(set(names)) == len(names) else ()


def _images(path: Path) -> Iterator[np.ndarray]:
    with _opened(path) as (images, _, _):
        at_once = rows_per_block(prod(images.shape[1:]))
        if images.chunks is not None:  # whole chunks, so that none is unpacked twice
            at_once = max(1, at_once // images.chunks[0]) * images.chunks[0]
            at_once = min(at_once, max(1, MAX_CHUNK // prod(images.shape[1:])))
        for first in range(0, len(images), at_once):
            block: np.ndarray = images[first : first + at_once]
            yield block if block.ndim == 4 else block[..., np.newaxis]
