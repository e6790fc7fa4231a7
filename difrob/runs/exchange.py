"""Writing the labelled images of a run for other programs, block by block.

The ``.npz`` has the arrays ``image`` (uint8 [N,H,W,C]) and ``label`` (int64 [N]) that the released training code of Wang
et al. 2023 reads; the HDF5 file has data sets of the same names, and the names of the classes as an attribute. Folders of
pictures are written by :mod:`difrob.runs.exchange_pictures`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from difrob.errors import UserError
from difrob.runs.reader import RunReader

ROWS = 4096
MOST_NAMES_BYTES = 60_000  # an attribute of an HDF5 file holds 64 KiB

Progress = Callable[[int, int], None]


def export_npz(
    reader: RunReader, target: Path, *, replace: bool = False, progress: Progress = lambda done, total: None
) -> int:
    """Write images and labels of a run; the file appears whole or not at all.

    Args:
        reader: a run with per-sample columns ``images`` and ``label``: a generated or imported set.
        target: the file to write.
        replace: whether an existing file may be overwritten.
        progress: told (images written, all).

    Returns:
        How many images were written.

    Raises:
        UserError: when the run holds no labelled images, the file exists, or the disk refuses.
    """
    images, labels = labelled_images(reader)
    with _new_file(target, replace=replace) as partial, zipfile.ZipFile(partial, "w", allowZip64=True) as archive:
        _write_array(archive, "image.npy", images, progress)
        _write_array(archive, "label.npy", labels, lambda done, total: None)
    return len(images)


def export_hdf5(
    reader: RunReader, target: Path, *, replace: bool = False, progress: Progress = lambda done, total: None
) -> int:
    """The same as an HDF5 file: ``image`` uint8 [N,H,W,C], ``label`` int64 [N], and the attribute ``class_names`` where the
    run knows them. Nothing is packed, so that the images can be mapped.

    Args and raises as for :func:`export_npz`.
    """
    images, labels = labelled_images(reader)
    names = class_names_of(reader, labels)
    with _new_file(target, replace=replace) as partial, h5py.File(partial, "w") as file:
        image = file.create_dataset("image", images.shape, np.uint8)
        for start in range(0, len(images), ROWS):
            image[start : start + ROWS] = images[start : start + ROWS]
            progress(min(start + ROWS, len(images)), len(images))
        file.create_dataset("label", data=labels)
        encoded = np.array([name.encode() for name in names], dtype="S")
        if names and encoded.nbytes <= MOST_NAMES_BYTES:
            file.attrs.create("class_names", encoded, dtype=h5py.string_dtype("utf-8", encoded.dtype.itemsize))
    return len(images)


def class_names_of(reader: RunReader, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes, in the order of the labels; empty where the run does not know them all."""
    names = reader.attributes().get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return ()
    return tuple(names) if len(set(names)) == len(names) > int(labels.max(initial=0)) else ()


@contextmanager
def _new_file(target: Path, *, replace: bool) -> Iterator[Path]:
    """A file beside the target, which takes its place when all went well."""
    if target.exists() and not replace:
        raise UserError(f"'{target}' exists already; give --force to overwrite it")
    if target.is_dir():
        raise UserError(f"'{target}' is a folder; give the name of a file")
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise refusal(target, error) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def refusal(target: Path, error: OSError) -> UserError:
    """What to say when the disk refuses."""
    return UserError(f"cannot write '{target}': {error.strerror or error}; free some room or choose another place")


def labelled_images(reader: RunReader) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N,H,W,C], mapped where they are many, and labels int64 [N] of a run.

    Raises:
        UserError: when the run holds none.
    """
    images, labels = reader.array("samples/images"), reader.array("samples/label")
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
        raise UserError(f"run '{reader.run_id}' holds no labelled images; export a generated or an imported set")
    return images, labels.astype(np.int64)


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray, progress: Progress) -> None:
    with archive.open(name, "w", force_zip64=True) as entry:
        _write_header(entry, array)
        for start in range(0, len(array), ROWS):
            entry.write(np.ascontiguousarray(array[start : start + ROWS]).tobytes())
            progress(min(start + ROWS, len(array)), len(array))


def _write_header(entry: IO[bytes], array: np.ndarray) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(entry, header)
