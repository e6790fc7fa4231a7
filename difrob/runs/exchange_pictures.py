"""Writing the labelled images of a run as a folder of PNG pictures, one sub-folder for each class.

Other programs number the classes in the order of the names of their folders. Where the names of the classes stand in the
order of the labels already, the folders bear them; else each gets its number in front. ``words.txt`` gives the plain names
either way, and ``difrob data add`` reads it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from difrob.errors import UserError
from difrob.runs.exchange import Progress, class_names_of, labelled_images, refusal
from difrob.runs.reader import RunReader

MARK = ".difrob-export.json"
NAMES = "words.txt"
_MOST_NAME = 100
_PICTURE = re.compile(r"\d+\.png")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def export_png(
    reader: RunReader, target: Path, *, replace: bool = False, progress: Progress = lambda done, total: None
) -> int:
    """Write one PNG file for each image, named by its row; the folder appears whole or not at all.

    Args:
        reader: a run with per-sample columns ``images`` (1 or 3 channels) and ``label``.
        target: the folder to make.
        replace: whether a folder that this function made before may be replaced.
        progress: told (images written, all).

    Returns:
        How many images were written.

    Raises:
        UserError: when the run holds no labelled images, or none that are grey or RGB, when the folder exists, or holds
            anything else than such pictures where it may be replaced, or when the disk refuses.
    """
    images, labels = labelled_images(reader)
    if images.shape[-1] not in (1, 3):
        raise UserError(
            f"the images of run '{reader.run_id}' have {images.shape[-1]} channels; PNG pictures are grey (1) or RGB (3). "
            "Choose --format npz or hdf5"
        )
    if len(labels) and labels.min() < 0:
        raise UserError(f"run '{reader.run_id}' has a label {labels.min()}; classes are numbered from 0")
    target = target.absolute()
    if os.path.lexists(target):
        _require_own(target, replace)
    folders, words = class_folders(class_names_of(reader, labels), int(labels.max(initial=0)) + 1)
    partial, old = (target.with_name(f".{target.name}.{what}-{os.getpid()}") for what in ("partial", "old"))
    made = False
    try:
        partial.mkdir()
        made = True
        _write(partial, images, labels, folders, progress)
        lines = (f"{folder}\t{word}\n" for folder, word in zip(folders, words, strict=True))
        (partial / NAMES).write_text("".join(lines), encoding="utf-8")
        mark = {"run": reader.run_id, "images": len(images), "folders": folders}
        (partial / MARK).write_text(json.dumps(mark), encoding="utf-8")
        if os.path.lexists(target):
            _require_own(target, replace)  # it may have been changed meanwhile
            target.rename(old)
            partial.rename(target)
            shutil.rmtree(old)
        else:
            partial.rename(target)
    except OSError as error:
        if os.path.lexists(old) and not os.path.lexists(target):
            with suppress(OSError):
                old.rename(target)
        raise refusal(target, error) from None
    finally:
        if made:
            shutil.rmtree(partial, ignore_errors=True)
    return len(images)


def class_folders(names: tuple[str, ...], num_classes: int) -> tuple[list[str], list[str]]:
    """What the folders of the classes are called, such that their order is that of the labels, and the classes' own names.

    Args:
        names: names of the classes; empty where they are not known.
        num_classes: how many there are where they are not.
    """
    if not names:
        digits = len(str(num_classes - 1))
        return [f"{label:0{digits}d}" for label in range(num_classes)], [str(label) for label in range(num_classes)]
    words = [" ".join(name.replace(",", " ").split()) or str(label) for label, name in enumerate(names)]
    folders = [_file_name(name) for name in names]
    digits = len(str(len(names) - 1))
    # On some systems names that differ only in upper and lower case are one, and on some they sort alike.
    is_in_order = all(one < other and one.lower() < other.lower() for one, other in pairwise(folders))
    if not is_in_order or any(name.lower() in _RESERVED for name in folders):
        folders = [f"{label:0{digits}d}-{name}" for label, name in enumerate(folders)]
    return folders, words


def _file_name(name: str) -> str:
    """A name that is a plain folder on every system."""
    plain = re.sub(r"[^\w .()+-]+|^[. ]+", "_", name)[:_MOST_NAME].rstrip(". ")
    return "_" if plain in ("", "images") else plain


def _write(folder: Path, images: np.ndarray, labels: np.ndarray, folders: list[str], progress: Progress) -> None:
    from PIL import Image

    for name in folders:
        (folder / name).mkdir()
    digits = len(str(max(len(images) - 1, 0)))
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / folders[label] / f"{row:0{digits}d}.png")
        if (row + 1) % 256 == 0 or row + 1 == len(images):
            progress(row + 1, len(images))


def _require_own(target: Path, replace: bool) -> None:
    """Raise UserError unless this is a folder of our pictures alone, and may be replaced."""
    if not replace:
        raise UserError(f"'{target}' exists already; give --force to replace a folder that 'difrob export' made")
    mend = "choose another place, or move it away"
    if target.is_symlink() or not target.is_dir():
        raise UserError(f"'{target}' is no folder; {mend}")
    try:
        folders = set(json.loads((target / MARK).read_text(encoding="utf-8"))["folders"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"'{target}' was not made by 'difrob export' and is not deleted; {mend}") from None
    for entry in target.iterdir():
        if entry.name in (MARK, NAMES) and entry.is_file():
            continue
        strange = [entry]
        if entry.name in folders and entry.is_dir() and not entry.is_symlink():
            strange = [file for file in entry.iterdir() if not _PICTURE.fullmatch(file.name) or file.is_dir()]
        if strange:
            raise UserError(f"'{strange[0]}' was not written by 'difrob export', so '{target}' is not deleted; {mend}")
