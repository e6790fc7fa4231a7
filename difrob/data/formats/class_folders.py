"""Folders of pictures, one for each class: ImageNet, TinyImageNet, and whatever is laid out like them.

Pictures are decoded by Pillow. One that is not square, or not of the wanted size, is scaled (bicubic, antialiased) until
its shorter side fits, and its centre is cut out. Turning marks of cameras are not followed, as usual with these sets, and
transparency is dropped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

import numpy as np

from difrob.data.formats.source import Source, SourceSplit, check_image_shape, check_labels, rows_per_block
from difrob.errors import UserError
from difrob.runs.datasets import SourceFile

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".png", ".jpg", ".jpeg"}
TRAIN_FOLDERS, TEST_FOLDERS = ("train",), ("test", "val")  # the test images of ImageNet and TinyImageNet have no labels
MAX_PIXELS = 100_000_000
MAX_AT_ONCE = 256
MAX_THREADS = 8
MAX_LISTING = 64 << 20
_GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "La", "RGBa", "RGBX"}

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Picture(NamedTuple):
    path: Path
    class_id: str


class _Look(NamedTuple):
    """What the beginning of a picture says."""

    width: int
    height: int
    is_grey: bool


def recognises(path: Path) -> bool:
    """Whether there are pictures in folders of classes."""
    return bool(_split_folders(path))


def read(path: Path, size: int | None, progress: Callable[[int, int, str], None]) -> Source:
    """A folder with ``train/<class>/...`` and ``val`` or ``test`` alike, or with the folders of the classes themselves.

    Args:
        path: the folder.
        size: side of the images in pixels; None to take them as they are, if they are all alike.
        progress: told (done, total, what) while the beginnings of the pictures are looked at.

    Raises:
        UserError: for pictures that cannot be read, or that differ in size while no size is given.
    """
    _require_pillow()
    pictures = {split: _pictures_of(folder) for split, folder in _split_folders(path).items()}
    pictures = {split: found for split, found in pictures.items() if found}
    if not pictures:
        raise UserError(f"'{path}' has no folders of classes with pictures ({', '.join(sorted(SUFFIXES))}) in them")
    everything = [picture.path for found in pictures.values() for picture in found]
    looks = _look_at(everything, progress)
    height, width = (size, size) if size is not None else _common_size(everything, looks)
    channels = 1 if all(look.is_grey for look in looks) else 3
    shape = check_image_shape(height, width, channels, str(path))
    class_ids = sorted({picture.class_id for picture in pictures.get("train", next(iter(pictures.values())))})
    splits: dict[str, SourceSplit] = {}
    files: dict[str, SourceFile] = {}
    for split, found in pictures.items():
        strange = {picture.class_id for picture in found} - set(class_ids)
        if strange:
            raise UserError(f"the {split} images in '{path}' have a class '{min(strange)}' without training images")
        numbers = {class_id: number for number, class_id in enumerate(class_ids)}
        labels = np.array([numbers[picture.class_id] for picture in found])
        splits[split] = SourceSplit(
            check_labels(labels, len(class_ids), split),
            partial(_images, path, [picture.path for picture in found], shape, f"(pictures of {split})", files),
        )
    notes = [] if "train" in splits else ["no training images: it can only be measured on"]
    if size is not None and any((look.height, look.width) != (size, size) for look in looks):
        notes.append(f"pictures were scaled to {size}x{size} pixels")
    return Source(
        format="class folders",
        title=f"pictures in '{path.name}'",
        image_shape=shape,
        class_names=_class_names(path, class_ids),
        splits=splits,
        files=files,
        notes=tuple(notes),
    )


def _split_folders(path: Path) -> dict[str, Path]:
    """{split: folder}. Of ``test`` and ``val`` the one that has labels."""
    if not path.is_dir():
        return {}
    found = {}
    for split, names in (("train", TRAIN_FOLDERS), ("test", TEST_FOLDERS)):
        for name in names:
            if (path / name).is_dir() and _has_classes(path / name):
                found[split] = path / name
                break
    return found or ({"train": path} if _has_classes(path) else {})


def _has_classes(folder: Path) -> bool:
    if (folder / "val_annotations.txt").is_file():
        return True
    return any(_first_picture(entry) for entry in folder.iterdir() if entry.is_dir() and entry.name != "images")


def _first_picture(folder: Path) -> bool:
    inner = folder / "images" if (folder / "images").is_dir() else folder
    return any(file.suffix.lower() in SUFFIXES for file in inner.iterdir())


def _pictures_of(folder: Path) -> list[_Picture]:
    """In the order of classes, then of file names, whatever the order on the disk."""
    if (folder / "val_annotations.txt").is_file():
        return _annotated(folder)
    found = []
    for entry in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        inner = entry / "images" if (entry / "images").is_dir() else entry  # TinyImageNet
        files = sorted(file for file in inner.iterdir() if file.suffix.lower() in SUFFIXES)
        found += [_Picture(file, entry.name) for file in files]
    return found


def _annotated(folder: Path) -> list[_Picture]:
    """TinyImageNet's validation images: all in one folder, their classes in a table."""
    table = _text(folder / "val_annotations.txt")
    found = []
    for number, line in enumerate(table.splitlines(), 1):
        columns = line.split("\t")
        if len(columns) < 2 or Path(columns[0]).name != columns[0]:
            raise UserError(f"line {number} of '{folder / 'val_annotations.txt'}' does not name a picture and a class")
        found.append(_Picture(folder / "images" / columns[0], columns[1].strip()))
    return found


def _class_names(path: Path, class_ids: list[str]) -> tuple[str, ...]:
    """From ``words.txt`` beside the folders where it lies there (id, tab, words), else the names of the folders."""
    if not (path / "words.txt").is_file():
        return tuple(class_ids)
    rows = (line.partition("\t") for line in _text(path / "words.txt").splitlines())
    words = {class_id: name.split(",")[0].strip() for class_id, _, name in rows}
    names = [words.get(class_id) or class_id for class_id in class_ids]
    twice = {name for name in names if names.count(name) > 1}
    return tuple(
        f"{name} ({class_id})" if name in twice else name for name, class_id in zip(names, class_ids, strict=True)
    )


def _text(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(MAX_LISTING)


def _require_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UserError("pictures need Pillow, which is not installed; run: pip install pillow") from None


def _in_threads(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """Pillow decodes outside Python's lock, so threads do it side by side."""
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(work, items))


def _look_at(paths: list[Path], progress: Callable[[int, int, str], None]) -> list[_Look]:
    looks: list[_Look] = []
    for first in range(0, len(paths), MAX_AT_ONCE):
        looks += _in_threads(_look, paths[first : first + MAX_AT_ONCE])
        progress(len(looks), len(paths), "looking at the pictures")
    return looks


def _look(path: Path) -> _Look:
    with _opened(path) as picture:
        if picture.mode not in _GREY_MODES | _COLOUR_MODES:
            raise UserError(f"'{path}' has pixels of type {picture.mode}; convert it to 8 bits for each channel")
        return _Look(picture.width, picture.height, picture.mode in _GREY_MODES)


def _opened(path: Path, file: BinaryIO | None = None) -> Image:
    """The picture at a path, or in the file that was opened there.

    Raises:
        UserError: for what is no picture, or one of more than :data:`MAX_PIXELS`.
    """
    import PIL.Image

    try:
        picture = PIL.Image.open(file or path, formats=("PNG", "JPEG"))
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"'{path}' is no PNG or JPEG picture ({error}); get it again or remove it") from None
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise UserError(f"'{path}' announces {picture.width}x{picture.height} pixels; {MAX_PIXELS} are allowed")
    return picture


def _common_size(paths: list[Path], looks: list[_Look]) -> tuple[int, int]:
    for path, look in zip(paths, looks, strict=True):
        if (look.height, look.width) != (looks[0].height, looks[0].width):
            raise UserError(
                f"'{paths[0]}' is {looks[0].width}x{looks[0].height} pixels, '{path}' {look.width}x{look.height}; "
                "'difrob data add' brings all to one size, which is given with --size"
            )
    return looks[0].height, looks[0].width


def _images(
    folder: Path, paths: list[Path], shape: tuple[int, int, int], name: str, files: dict[str, SourceFile]
) -> Iterator[np.ndarray]:
    """All pictures in their order. With the last block ``files`` has one entry for all of them.

    Its sum is over the names below ``folder``, the sizes and the MD5 sums of the pictures, one line each. They are read
    whole for decoding anyway, so their sums cost no further reading. (The sum that earlier versions noted, of a "list of all
    pictures", was over names and sizes alone.)
    """
    at_once = min(MAX_AT_ONCE, rows_per_block(int(np.prod(shape))))
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for first in range(0, len(paths), at_once):
        chosen = paths[first : first + at_once]
        decoded = _in_threads(partial(_decode, shape=shape), chosen)
        for path, (_, file) in zip(chosen, decoded, strict=True):
            digest.update(
                f"{path.relative_to(folder).as_posix()}\t{file.bytes}\t{file.md5}\n".encode(errors="surrogateescape")
            )
            size += file.bytes
        files[name] = SourceFile(size, digest.hexdigest())
        yield np.stack([image for image, _ in decoded])


def _decode(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, SourceFile]:
    """One picture, uint8 [H,W,C], and the file that it was decoded from."""
    height, width, channels = shape
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            read = SourceFile(file.tell(), digest.hexdigest())
            file.seek(0)
            with _opened(path, file) as picture:
                image = picture.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"'{path}' is damaged or cut off ({error}); get it again or remove it") from None
    if (image.height, image.width) != (height, width):
        image = _fitted(image, height)
    return np.asarray(image, dtype=np.uint8).reshape(shape), read


def _fitted(image: Image, side: int) -> Image:
    """Scaled until the shorter side is ``side``, then the square in the middle."""
    import PIL.Image

    factor = side / min(image.width, image.height)
    width, height = (max(side, round(factor * length)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    scaled = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return scaled.crop((left, top, left + side, top + side))
