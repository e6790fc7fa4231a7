"""Whether files are the published ones: said where sums are known, and left open where none are."""

from __future__ import annotations

import gzip
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from support.data_files import cifar_records, some_images, source_of, write_idx

from difrob.data.formats.known import (
    CIFAR10,
    CIFAR10_C,
    CIFAR100,
    FASHION_MNIST,
    MNIST,
    SVHN,
    KnownSet,
    compared,
)
from difrob.runs.datasets import SourceFile

PUBLISHED = (MNIST, FASHION_MNIST, CIFAR10, CIFAR100, SVHN, CIFAR10_C)


def files_of(**sums: str) -> dict[str, SourceFile]:
    """Files with these sums, ``__`` in their names standing for a full stop and ``_`` for a dash."""
    return {name.replace("__", ".").replace("_", "-"): SourceFile(1, value) for name, value in sums.items()}


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.name)
def test_official_files_are_recognised_whatever_they_are_called(known: KnownSet) -> None:
    assert len(set(known.md5.values())) == len(known.md5) and all(len(value) == 32 for value in known.md5.values())
    for named in ("{}", "renamed-{}"):
        comparison = compared(known, {named.format(name): SourceFile(1, value) for name, value in known.md5.items()})
        assert comparison.official and comparison.title == f"{known.title}, official files" and not comparison.note


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.name)
def test_other_files_in_a_form_with_sums_are_told_apart(known: KnownSet) -> None:
    name, value = next(iter(known.md5.items()))
    another = list(known.md5.values())[1]
    for files in (
        {name: SourceFile(1, "0" * 32)},
        {name: SourceFile(1, another)},  # official, but another one of them
        {"a": SourceFile(1, value), "b": SourceFile(1, value)},  # one file twice
        {},
    ):
        comparison = compared(known, files)
        assert not comparison.official and not comparison.undecided
        assert comparison.title == f"{known.title}, not the official files" and not comparison.note


def test_files_in_a_form_without_sums_are_left_open() -> None:
    unpacked = compared(FASHION_MNIST, files_of(train_images_idx3_ubyte="1" * 32, train_labels_idx1_ubyte="2" * 32))
    assert unpacked.undecided and unpacked.title == "Fashion-MNIST, not compared with the official files"
    assert unpacked.note == (
        "no official sum of Fashion-MNIST is known for 'train-images-idx3-ubyte' and 1 more, so whether these are the "
        "official files is not known; sums are known for train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )
    dotted = compared(FASHION_MNIST, files_of(train_images__idx3_ubyte="1" * 32))
    assert dotted.undecided and "'train-images.idx3-ubyte', so" in dotted.note
    mixed = compared(FASHION_MNIST, files_of(a__gz="3" * 32, train_labels_idx1_ubyte="2" * 32))
    assert not mixed.undecided, "a packed file that is not the official one settles it"
    assert compared(CIFAR10, files_of(data_batch_1__bin="1" * 32)).undecided
    assert compared(
        CIFAR10, files_of(cifar_10_python__tar="1" * 32)
    ).undecided  # the archive unzipped, but not unpacked


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_that_could_be_fashion_mnist_are_not_called_other_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr("difrob.data.formats.idx.PUBLISHED_SHAPES", {"train": (30, 28, 28), "test": (20, 28, 28)})
    train, test = some_images(30, (28, 28, 1)), some_images(20, (28, 28, 1), seed=1)
    source = source_of(write_idx(tmp_path / "set", train, test, packed), tmp_path / "scratch")
    assert not source.official
    if packed:
        assert source.title == "idx files, not the official files of a known set" and not source.notes
    else:
        assert source.title == "idx files, not compared with all official files"
        assert "of Fashion-MNIST is known for 't10k-images-idx3-ubyte' and 3 more" in source.notes[0]
        assert len(source.notes) == 1, "of MNIST the sums of unpacked files are known, and these are others"
    fewer = source_of(write_idx(tmp_path / "fewer", train, train, packed), tmp_path / "scratch")
    assert fewer.title == "idx files, not the official files of a known set" and not fewer.notes


def test_the_real_mnist_is_official_unpacked_too(shared_data: Path, tmp_path: Path) -> None:
    for file in (shared_data / "mnist").glob("*.gz"):
        (tmp_path / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(file.read_bytes()))
    source = source_of(tmp_path, tmp_path / "scratch")
    assert source.official and source.title == "MNIST, official files" and not source.notes


def test_unpacked_binary_cifar_is_left_open_and_its_archive_is_not(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data_batch_1.bin").write_bytes(cifar_records(*some_images(20, (32, 32, 3))))
    source = source_of(tmp_path / "set", tmp_path / "scratch")
    assert source.title == "CIFAR-10, not compared with the official files" and not source.official
    assert "no official sum of CIFAR-10 is known for 'data_batch_1.bin', so" in source.notes[0]


def test_the_sum_of_the_labels_of_cifar_10_c_is_that_of_the_test_labels_five_times(shared_data: Path) -> None:
    labels = np.fromfile(shared_data / "cifar10" / "test_labels_10000.u8", np.uint8)
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (50000,), }".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + np.tile(labels, 5).tobytes()
    assert md5(data).hexdigest() == CIFAR10_C.md5["labels.npy"]


def test_corrupted_cifar_is_held_against_its_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "CIFAR-10-C").mkdir()
    np.save(folder / "labels.npy", np.tile(np.arange(10), 5).astype(np.uint8))
    np.save(folder / "fog.npy", some_images(50, (32, 32, 3))[0])
    made = source_of(folder, tmp_path / "scratch")
    assert made.title == "CIFAR-10-C, not the official files" and not made.official
    sums = {file.name: md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    monkeypatch.setattr("difrob.data.formats.arrays.CIFAR10_C", replace(CIFAR10_C, md5={**CIFAR10_C.md5, **sums}))
    source = source_of(folder, tmp_path / "scratch")
    assert source.title == "CIFAR-10-C, official files" and source.official, "some of its corruptions are enough"
    (folder / "fog.npy").rename(folder / "snow.npy")
    assert not source_of(folder, tmp_path / "scratch").official, "fog is not snow"
