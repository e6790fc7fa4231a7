"""CIFAR in its four versions, from folders and archives; the real subset of CIFAR-10."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from support.data_files import cifar_records, images_of, python2_pickle, some_images, source_of

from difrob.data.formats.known import CIFAR10
from difrob.errors import UserError

SHAPE = (32, 32, 3)
ONE, TWO, TEST = (some_images(20, SHAPE, seed=seed) for seed in range(3))


def write_python(folder: Path, protocol: int = 0) -> Path:
    """CIFAR-10 as Python 2 wrote it, or in a protocol of today."""
    folder.mkdir()
    for name, (images, labels) in (("data_batch_1", ONE), ("data_batch_2", TWO), ("test_batch", TEST)):
        values = {
            "batch_label": "some", "labels": labels.tolist(),
            "data": images.transpose(0, 3, 1, 2).reshape(len(images), -1).copy(), "filenames": ["a.png"] * len(images),
        }  # fmt: skip
        (folder / name).write_bytes(pickle.dumps(values, protocol) if protocol else python2_pickle(values))
    names = {"label_names": [f"c{k}" for k in range(10)], "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol) if protocol else python2_pickle(names))
    return folder


def write_binary(folder: Path) -> Path:
    folder.mkdir()
    for name, (images, labels) in (("data_batch_1.bin", ONE), ("data_batch_2.bin", TWO), ("test_batch.bin", TEST)):
        (folder / name).write_bytes(cifar_records(images, labels))
    return folder


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder, folder.name)
    return archive


def test_the_real_subset_is_read_to_the_last_byte(shared_data: Path, tmp_path: Path) -> None:
    source = source_of(shared_data / "cifar10", tmp_path / "scratch")
    assert source.class_names == CIFAR10.class_names and source.flips and not source.official
    assert "not known" in source.notes[0]
    for split, file, labels, count in (
        ("train", "data_batch_1_first4000.bin", "train_labels_50000.u8", 4000),
        ("test", "test_batch_first1000.bin", "test_labels_10000.u8", 1000),
    ):
        known = np.fromfile(shared_data / "cifar10" / labels, np.uint8)[:count]
        assert np.array_equal(source.splits[split].labels, known)
        images = images_of(source, split)
        assert images.shape == (count, *SHAPE)
        assert cifar_records(images, known) == (shared_data / "cifar10" / file).read_bytes()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_pickled_files_of_all_times(tmp_path: Path, protocol: int) -> None:
    source = source_of(write_python(tmp_path / "cifar-10-batches-py", protocol), tmp_path / "scratch")
    assert source.format == "CIFAR-10 python" and source.class_names == tuple(f"c{k}" for k in range(10))
    assert np.array_equal(images_of(source, "train"), np.concatenate([ONE[0], TWO[0]]))
    assert np.array_equal(source.splits["train"].labels, np.concatenate([ONE[1], TWO[1]]))
    assert np.array_equal(images_of(source, "test"), TEST[0])


@pytest.mark.parametrize("write", [write_binary, write_python])
def test_archives_give_what_their_folder_gives(tmp_path: Path, write: object) -> None:
    folder = write(tmp_path / "cifar-10-batches")  # type: ignore[operator]
    source = source_of(packed(folder, tmp_path / "cifar-10.tar.gz"), tmp_path / "scratch")
    assert np.array_equal(images_of(source, "train"), np.concatenate([ONE[0], TWO[0]]))
    assert list(source.files) == ["cifar-10.tar.gz"] and "not the official files" in source.title


def test_batches_are_taken_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number in (10, 9):
        (folder / f"data_batch_{number}.bin").write_bytes(cifar_records(ONE[0][:2], np.array([number - 9, 1])))
    assert source_of(folder, tmp_path / "scratch").splits["train"].labels.tolist() == [0, 1, 1, 1]


def test_cifar_100_has_fine_labels_behind_coarse_ones(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    images, fine = some_images(200, SHAPE, 100)
    (folder / "train.bin").write_bytes(cifar_records(images, fine // 5, fine))
    source = source_of(folder, tmp_path / "scratch")
    assert len(source.class_names) == 100 and np.array_equal(source.splits["train"].labels, fine)
    assert np.array_equal(images_of(source, "train"), images)
    (folder / "train.bin").write_bytes(cifar_records(images, fine, fine // 5))  # the columns are swapped
    with pytest.raises(UserError, match=r"coarse labels\)' has labels 0..99; 0..19"):
        source_of(folder, tmp_path / "scratch")
    (folder / "train.bin").unlink()
    pixels = images.transpose(0, 3, 1, 2).reshape(200, -1).copy()
    for name in ("train", "test"):
        values = {"fine_labels": fine.tolist(), "coarse_labels": (fine // 5).tolist(), "data": pixels}
        (folder / name).write_bytes(python2_pickle(values))
    assert source_of(folder, tmp_path / "scratch").format == "CIFAR-100 python"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (cifar_records(*ONE)[:-1], "61459 bytes, which are no whole CIFAR-10 records"),
        (b"", "0 bytes"),
        (cifar_records(ONE[0], ONE[1] + 1), "labels 1..10; 0..9"),
    ],
)
def test_binary_files_that_do_not_fit(tmp_path: Path, data: bytes, words: str) -> None:
    folder = write_binary(tmp_path / "set")
    (folder / "data_batch_2.bin").write_bytes(data)
    with pytest.raises(UserError, match=words):
        source_of(folder, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": [1, 2]}, "20 images and 2 labels"),
        ({"labels": ["cat"] * 20}, "no list of numbers 'labels'"),
        ({"labels": [11] * 20}, "labels 11..11; 0..9"),
        ({"labels": [10**6] * 20}, "labels 1000000"),
        ({"data": np.zeros((20, 3071), np.uint8)}, "no array 'data' of 3072 bytes"),
    ],
)
def test_pickled_files_that_do_not_fit(tmp_path: Path, change: dict[str, object], words: str) -> None:
    folder = write_python(tmp_path / "set")
    values = {"labels": ONE[1].tolist(), "data": np.zeros((20, 3072), np.uint8), **change}
    (folder / "data_batch_1").write_bytes(python2_pickle(values))
    with pytest.raises(UserError, match=words):
        source_of(folder, tmp_path / "scratch")


def test_archives_cannot_write_elsewhere(tmp_path: Path) -> None:
    archive = tmp_path / "cifar-trap.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("../../data_batch_1.bin", "/etc/other.bin", "x/link.bin"):
            member = tarfile.TarInfo(name)
            data = cifar_records(*ONE)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    source = source_of(archive, tmp_path / "scratch")
    assert [path.name for path in (tmp_path / "scratch").rglob("*")] == ["unpacked", "data_batch_1.bin"]
    assert not (tmp_path.parent / "data_batch_1.bin").exists() and list(source.splits) == ["train"]


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    archive = packed(write_binary(tmp_path / "set"), tmp_path / "cifar.tar.gz")
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"cifar.tar.gz.*damaged or cut off"):
        source_of(archive, tmp_path / "scratch")
