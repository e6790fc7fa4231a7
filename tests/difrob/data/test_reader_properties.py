"""Every reader: small files written here in the published format come back exactly; spoiled ones are refused or read.

HDF5 has tests of its own, because a process of its own looks into its files first.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from faults.hostile_files import flip_bytes, move_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from support.data_files import cifar_records, idx_bytes, images_of, python2_pickle, source_of, write_idx

from difrob.errors import UserError

MOST_BYTES = 256 << 20  # that reading spoiled files of a few kilobytes may take
CIFAR = (32, 32, 3)

Writer = Callable[[Path, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Layout:
    """A published format.

    Attributes:
        write: writes images uint8 [N,H,W,C] and labels [N] into an empty folder.
        num_classes: how many labels there are.
        shape: (H, W, C) where the format knows no other.
        colours: numbers of channels that it knows otherwise.
    """

    write: Writer
    num_classes: int
    shape: tuple[int, int, int] | None = None
    colours: tuple[int, ...] = (1, 3)


def write_npz(folder: Path, images: np.ndarray, labels: np.ndarray, packed: bool = False) -> None:
    (np.savez_compressed if packed else np.savez)(folder / "train.npz", image=images, label=labels)


def write_npy(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


def write_svhn(folder: Path, images: np.ndarray, labels: np.ndarray, packed: bool = False) -> None:
    digits = np.where(labels == 0, 10, labels)[:, None].astype(np.float64 if packed else np.uint8)
    savemat(folder / "train_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": digits}, do_compression=packed)


def write_cifar_python(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    values = {"labels": labels.tolist(), "data": images.transpose(0, 3, 1, 2).reshape(len(images), -1).copy()}
    (folder / "data_batch_1").write_bytes(python2_pickle(values))


def write_folders(folder: Path, images: np.ndarray, labels: np.ndarray, ending: str = ".png") -> None:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / f"class-{label}"
        place.mkdir(exist_ok=True)
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(place / f"{number:03}{ending}")


LAYOUTS = {
    "idx": Layout(lambda f, x, y: void(write_idx(f, (x, y), (x, y))), 256, colours=(1,)),
    "idx.gz": Layout(lambda f, x, y: void(write_idx(f, (x, y), (x, y), packed=True)), 256, colours=(1,)),
    "cifar10": Layout(lambda f, x, y: void((f / "data_batch_1.bin").write_bytes(cifar_records(x, y))), 10, CIFAR),
    "cifar100": Layout(lambda f, x, y: void((f / "train.bin").write_bytes(cifar_records(x, y // 5, y))), 100, CIFAR),
    "cifar10 python": Layout(write_cifar_python, 10, CIFAR),
    "npz": Layout(write_npz, 1000),
    "npz packed": Layout(lambda f, x, y: write_npz(f, x, y, packed=True), 1000),
    "npy": Layout(write_npy, 1000),
    "svhn": Layout(write_svhn, 10, CIFAR),
    "svhn packed": Layout(lambda f, x, y: write_svhn(f, x, y, packed=True), 10, CIFAR),
    "folders": Layout(write_folders, 1),
}


def void(result: object) -> None:
    """For writers that return something."""


def drawn(layout: Layout, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels that fit a format."""
    source = np.random.default_rng(seed)
    shape = layout.shape or (*source.integers(1, 8, 2).tolist(), int(source.choice(layout.colours)))
    images = source.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, source.integers(0, layout.num_classes, count)


@contextmanager
def bounded_memory() -> Iterator[None]:
    """The resident memory may grow by at most :data:`MOST_BYTES`; unchecked where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")
    before = resident(status, "VmRSS")
    yield
    assert resident(status, "VmHWM") - before < MOST_BYTES


def resident(status: Path, name: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(f"{name}:"))


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 9))
def test_what_is_written_is_read(name: str, seed: int, count: int) -> None:
    layout = LAYOUTS[name]
    images, labels = drawn(layout, seed, count)
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place) / "set").mkdir()
        layout.write(folder, images, labels)
        source = source_of(folder, Path(place) / "scratch")
        for split in source.splits.values():
            assert np.array_equal(split.labels, labels) and split.labels.dtype == np.int64
        for split_name in source.splits:
            found = images_of(source, split_name)
            assert found.dtype == np.uint8 and np.array_equal(found, images)
    assert source.image_shape == images.shape[1:] and len(source.class_names) > labels.max()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), labels=st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_folders_come_in_the_order_of_classes_then_of_names(seed: int, labels: list[int]) -> None:
    images, _ = drawn(LAYOUTS["folders"], seed, len(labels))
    order = np.argsort(labels, kind="stable")
    with tempfile.TemporaryDirectory() as place:
        write_folders(Path(place), images, np.array(labels))
        source = source_of(Path(place), Path(place) / "scratch", "folders")
        assert np.array_equal(images_of(source, "train"), images[order])
    names = sorted({f"class-{label}" for label in labels})
    assert source.class_names == tuple(names)
    assert [names[label] for label in source.splits["train"].labels] == [f"class-{label}" for label in sorted(labels)]


def read_spoiled(name: str, seed: int) -> bool:
    """Whether spoiled files were read. Raises whatever reading raises except UserError, and AssertionError for nonsense."""
    layout, chance = LAYOUTS[name], random.Random(f"{name} {seed}")
    images, labels = drawn(layout, seed, chance.randrange(1, 9))
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place) / "set").mkdir()
        writer = layout.write
        if name == "folders" and chance.random() < 0.5:
            write_folders(folder, images, labels, ".jpg")
        else:
            writer(folder, images, labels)
        file = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        spoil = chance.choice([flip_bytes, move_bytes])
        file.write_bytes(spoil(file.read_bytes(), chance))
        try:
            source = source_of(
                folder, Path(place) / "scratch", "auto", None if chance.random() < 0.5 else size_of(name)
            )
            for split_name, split in source.splits.items():
                count = 0
                for block in split.blocks():
                    assert block.dtype == np.uint8 and block.shape[1:] == source.image_shape
                    count += len(block)
                assert count == len(split.labels), split_name
                assert 0 <= split.labels.min() <= split.labels.max() < len(source.class_names)
        except UserError as error:
            assert str(error)
            return False
    return True


def size_of(name: str) -> int | None:
    return 5 if name == "folders" else None


@pytest.mark.parametrize("name", LAYOUTS)
def test_spoiled_files_are_refused_or_read(name: str) -> None:
    with bounded_memory():

        @settings(max_examples=30, deadline=None)
        @given(seed=st.integers(0, 2**32))
        def spoiled(seed: int) -> None:
            read_spoiled(name, seed)

        spoiled()


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_cut_is_refused(name: str) -> None:
    """A file that ends too early, wherever it is cut, unless what is missing was no image (the end mark of a PNG).

    Unpacked CIFAR tells by nothing that whole records are missing, so no cut is made there.
    """
    layout = LAYOUTS[name]
    images, labels = drawn(layout, 7, 3)
    refused = 0
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place) / "set").mkdir()
        layout.write(folder, images, labels)
        file = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        whole = file.read_bytes()
        record = len(whole) // 3 if name in ("cifar10", "cifar100") else len(whole)
        places = {0, 1, 3, 4, 7, 16, *range(40, len(whole), max(1, len(whole) // 20)), len(whole) - 1}
        for length in sorted(length for length in places if length == 0 or length % record):
            file.write_bytes(whole[:length])
            try:
                source = source_of(folder, Path(place) / "scratch")
                for split in source.splits:
                    assert np.array_equal(images_of(source, split), images), f"cut to {length} of {len(whole)} bytes"
            except UserError:
                refused += 1
                continue
            assert name == "folders" and length > len(whole) - 20
    assert refused >= 15


def test_the_writer_of_idx_here_is_the_published_format() -> None:
    assert idx_bytes(np.array([[[1, 2]], [[3, 4]]])) == bytes(
        [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4]
    )
