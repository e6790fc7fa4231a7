"""Writing the labelled images of a run for other programs, block by block.

The ``.npz`` has the arrays ``image`` (uint8 [N,H,W,C]) and ``label`` (int64 [N]) that the released training code of Wang
et al. 2023 reads.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from difrob.errors import UserError
from difrob.runs.reader import RunReader

ROWS = 4096

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
    if target.exists() and not replace:
        raise UserError(f"'{target}' exists already; give --force to overwrite it")
    partial = target.with_name(f".{target.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            _write_array(archive, "image.npy", images, progress)
            _write_array(archive, "label.npy", labels, lambda done, total: None)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise UserError(
            f"cannot write '{target}': {error.strerror or error}; free some room or choose another place"
        ) from None
    finally:
        with suppress(OSError):
            partial.unlink()
    return len(images)


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
