"""The idx format: the real MNIST, round trips, and everything that can be wrong with a file."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_files import idx_bytes, images_of, some_images, source_of, write_idx

from difrob.errors import UserError

TRAIN, TEST = some_images(30, (5, 4, 1)), some_images(20, (5, 4, 1), seed=1)


def test_mnist_is_read_to_the_last_byte(shared_data: Path, tmp_path: Path) -> None:
    source = source_of(shared_data / "mnist", tmp_path / "scratch")
    assert source.official and source.title == "MNIST, official files" and not source.flips
    assert (source.default_name, source.image_shape, source.class_names) == ("mnist", (28, 28, 1), tuple("0123456789"))
    assert {name: len(split.labels) for name, split in source.splits.items()} == {"train": 60_000, "test": 10_000}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        raw = gzip.decompress((shared_data / "mnist" / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        digest = hashlib.sha256()
        for block in source.splits[split].blocks():
            digest.update(block.tobytes())
        assert digest.digest() == hashlib.sha256(raw[16:]).digest()
    assert source.splits["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(source.splits["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(tmp_path: Path, packed: bool) -> None:
    source = source_of(write_idx(tmp_path / "set", TRAIN, TEST, packed), tmp_path / "scratch")
    assert not source.official and "not the official files" in source.title
    for split, (images, labels) in (("train", TRAIN), ("test", TEST)):
        assert np.array_equal(images_of(source, split), images)
        assert np.array_equal(source.splits[split].labels, labels)


def test_one_of_its_files_or_the_folder_above_names_the_set(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "above" / "raw", TRAIN, TEST)
    for path in (folder / "train-images-idx3-ubyte", tmp_path / "above"):
        assert source_of(path, tmp_path / "scratch").format == "idx"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "announces 30 images of 5x4, 616 bytes, but has 615"),
        ("train-images-idx3-ubyte", lambda data: data + b"x", "but has 617"),
        ("train-images-idx3-ubyte", lambda data: data[:7], "9 bytes are missing"),
        ("train-images-idx3-ubyte", lambda data: b"\x00\x00\x0d" + data[3:], "begins with 00 00 0d 03"),
        ("train-images-idx3-ubyte", lambda data: idx_bytes(TRAIN[1]), "swapped"),
        ("train-labels-idx1-ubyte", lambda data: idx_bytes(TRAIN[0][..., 0]), "swapped"),
        ("train-labels-idx1-ubyte", lambda data: idx_bytes(TRAIN[1][:-2]), "30 images, .* has 28 labels"),
        ("train-labels-idx1-ubyte", lambda data: data + b"\0", "more bytes than its header"),
        ("train-images-idx3-ubyte", lambda data: struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 5, 4), "4294967295 images"),
        ("train-images-idx3-ubyte", lambda data: struct.pack(">HBB3I", 0, 8, 3, 30, 2**31, 4), "sides of 1 to"),
        ("train-images-idx3-ubyte", lambda data: struct.pack(">HBB3I", 0, 8, 3, 10**8, 4096, 4096), "but has 16"),
        ("train-images-idx3-ubyte", lambda data: struct.pack(">HBB3I", 0, 8, 3, 0, 5, 4), "announces 0 images"),
        (
            "t10k-images-idx3-ubyte",
            lambda data: idx_bytes(TEST[0][:, :4, :, 0]),
            "are 5x4, those in .* 4x4",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, change: object, words: str) -> None:
    folder = write_idx(tmp_path / "set", TRAIN, TEST)
    (folder / name).write_bytes(change((folder / name).read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=words):
        source_of(folder, tmp_path / "scratch")


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "set", TRAIN, TEST)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="has test images but no test labels"):
        source_of(folder, tmp_path / "scratch")
    for file in folder.glob("t*k-*"):
        file.unlink()
    assert list(source_of(folder, tmp_path / "scratch").splits) == ["train"]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 600), place=st.integers(0, 600), value=st.integers(0, 255))
def test_a_damaged_packed_file_is_refused_or_gives_images(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, value: int
) -> None:
    folder = write_idx(tmp_path_factory.mktemp("set"), TRAIN, TEST, packed=True)
    file = folder / "train-images-idx3-ubyte.gz"
    data = bytearray(file.read_bytes())
    data[place % len(data)] = value
    file.write_bytes(bytes(data[: len(data) - cut % 50]))
    try:
        images = images_of(source_of(folder, folder / "scratch"), "train")
    except UserError as error:
        assert file.name in str(error)
    else:
        assert images.shape == (30, 5, 4, 1)
