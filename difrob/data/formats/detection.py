"""Which format a path is in, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from difrob.data.formats import arrays, cifar, class_folders, hdf5, idx, svhn
from difrob.data.formats.source import Source
from difrob.errors import UserError

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    Attributes:
        path: file or folder.
        scratch: folder for what must be unpacked; it stays until the images have been read.
        size: side of the images in pixels, for pictures only.
        progress: told (done, total, what).
    """

    path: Path
    scratch: Path
    size: int | None
    progress: Progress


@dataclass(frozen=True)
class Format:
    """A way to publish a data set: does this path look like it, and how is it read."""

    recognises: Callable[[Path], bool]
    read: Callable[[Request], Source]


# In this order: folders of classes come last, because anything may lie in folders.
FORMATS = {
    "idx": Format(lambda path: bool(idx.find(path)), lambda request: idx.read(request.path)),
    "cifar": Format(cifar.recognises, lambda request: cifar.read(request.path, request.scratch)),
    "svhn": Format(lambda path: bool(svhn.find(path)), lambda request: svhn.read(request.path)),
    "arrays": Format(lambda path: bool(arrays.find(path)), lambda request: arrays.read(request.path)),
    "corrupted": Format(
        lambda path: bool(arrays.find_corrupted(path)), lambda request: arrays.read_corrupted(request.path)
    ),
    "hdf5": Format(lambda path: bool(hdf5.find(path)), lambda request: hdf5.read(request.path)),
    "folders": Format(
        class_folders.recognises, lambda request: class_folders.read(request.path, request.size, request.progress)
    ),
}
FORMAT_HELP = (
    "idx (MNIST, Fashion-MNIST), cifar (CIFAR-10 and -100, binary or python, folder or tar.gz), svhn (.mat), arrays "
    "(.npz with image and label, or .npy pairs), corrupted (CIFAR-10-C), hdf5 (image and label, or the file of a run), "
    "folders (one folder of PNG or JPEG per class)"
)


def read_source(request: Request, format_name: str = "auto") -> Source:
    """Headers and labels of the data set at a path, checked.

    Raises:
        UserError: for a path that is missing or in no known format, and for whatever the reader finds wrong.
    """
    path = request.path
    if not path.exists():
        raise UserError(f"there is no file or folder '{path}'")
    if format_name not in ("auto", *FORMATS):
        raise UserError(f"unknown format '{format_name}'; formats: auto, {', '.join(FORMATS)}")
    try:
        name, place = _detect(path) if format_name == "auto" else (format_name, path)
        if not FORMATS[name].recognises(place):
            raise UserError(f"'{place}' is not in the format '{name}'; formats: {FORMAT_HELP}")
        if request.size is not None and name != "folders":
            raise UserError("--size is for folders of pictures; the images of this format have their size")
        return FORMATS[name].read(Request(place, request.scratch, request.size, request.progress))
    except OSError as error:
        raise UserError(f"'{error.filename or path}' cannot be read: {error.strerror or error}") from None


def _detect(path: Path) -> tuple[str, Path]:
    """The format, and the place: the path itself, its folder (of an idx file), or the one folder in it that fits."""
    for name, known in FORMATS.items():
        if known.recognises(path):
            return name, path
    if path.is_file():
        if idx.find(path.parent) and "-idx" in path.name.replace(".", "-"):
            return "idx", path.parent
        raise UserError(f"'{path}' is in no known format; formats: {FORMAT_HELP}")
    inside = [
        (name, folder)
        for folder in sorted(path.iterdir())
        if folder.is_dir()
        for name, known in FORMATS.items()
        if name != "folders" and known.recognises(folder)
    ]
    if len(inside) == 1:
        return inside[0]
    if inside:
        places = ", ".join(f"'{folder}' ({name})" for name, folder in inside)
        raise UserError(f"'{path}' holds several data sets; give one of them: {places}")
    raise UserError(f"'{path}' is in no known format; formats: {FORMAT_HELP}")
