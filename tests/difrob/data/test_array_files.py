"""NumPy files, CIFAR-10-C, and the MATLAB files of SVHN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from support.data_files import images_of, some_images, source_of

from difrob.errors import UserError

IMAGES, LABELS = some_images(40, (6, 5, 3), 4)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_of_generated_images(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "1m.npz", image=IMAGES, label=LABELS)
    source = source_of(tmp_path / "1m.npz", tmp_path / "scratch")
    assert list(source.splits) == ["train"] and source.class_names == ("0", "1", "2", "3") and not source.flips
    assert np.array_equal(images_of(source, "train"), IMAGES)
    assert np.array_equal(source.splits["train"].labels, LABELS)


@pytest.mark.parametrize("order", ["C", "F"])
def test_pairs_of_npy_files_and_grey_images_without_channels(tmp_path: Path, order: Any) -> None:
    grey = np.asarray(IMAGES[..., 0], order=order)
    for split, rows in (("train", slice(0, 30)), ("test", slice(30, 40))):
        np.save(tmp_path / f"{split}-images.npy", np.asarray(grey[rows], order=order))
        np.save(tmp_path / f"{split}-labels.npy", LABELS[rows].astype(np.uint8))
    source = source_of(tmp_path, tmp_path / "scratch")
    assert source.image_shape == (6, 5, 1)
    assert np.array_equal(images_of(source, "train"), IMAGES[:30, :, :, :1])
    assert np.array_equal(images_of(source, "test"), IMAGES[30:, :, :, :1])


def test_large_arrays_come_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.data.formats.source.BLOCK_BYTES", 6 * 5 * 3 * 7)
    np.savez(tmp_path / "set.npz", image=IMAGES, label=LABELS)
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    for path in (tmp_path / "set.npz", tmp_path):
        source = source_of(path, tmp_path / "scratch")
        assert [len(block) for block in source.splits["train"].blocks()] == [7] * 5 + [5]
        assert np.array_equal(images_of(source, "train"), IMAGES)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": IMAGES}, "needs an array 'image' and one 'label'; it holds: image"),
        ({"image": IMAGES, "label": LABELS[:-1]}, r"\[40, 6, 5, 3\].*\[39\] do not go together"),
        ({"image": IMAGES.astype(np.float32), "label": LABELS}, "holds float32"),
        ({"image": IMAGES.astype(np.int16), "label": LABELS}, "holds int16"),
        ({"image": IMAGES, "label": LABELS - 1}, "has a label -1"),
        ({"image": IMAGES, "label": LABELS + 0.5}, "holds float64"),
        ({"image": IMAGES, "label": LABELS * 10**8}, "a label 300000000"),
        ({"image": IMAGES.transpose(0, 3, 1, 2), "label": LABELS}, "channels first"),
        ({"image": np.concatenate([IMAGES, IMAGES], axis=3)[..., :4], "label": LABELS}, "4 channels"),
        ({"image": IMAGES[:0], "label": LABELS[:0]}, "announces 0 images"),
        ({"image": IMAGES, "label": np.array([{}] * 40)}, "objects"),
    ],
)
def test_npz_files_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UserError, match=words):
        source_of(tmp_path / "set.npz", tmp_path / "scratch")


def test_cut_off_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    whole = (tmp_path / "images.npy").read_bytes()
    for data, words in ((whole[:-1], "claims 3600 bytes"), (whole + b"x", "more bytes"), (b"\x93NUMPY", "no array")):
        (tmp_path / "images.npy").write_bytes(data)
        with pytest.raises(UserError, match=words):
            source_of(tmp_path, tmp_path / "scratch")


def test_corrupted_test_images_become_a_split_for_each_severity(tmp_path: Path) -> None:
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    labels = np.tile(np.arange(10), 5)
    fog, snow = some_images(50, (32, 32, 3))[0], some_images(50, (32, 32, 3), seed=1)[0]
    for name, array in (("labels", labels.astype(np.uint8)), ("fog", fog), ("snow", snow)):
        np.save(folder / f"{name}.npy", array)
    source = source_of(folder, tmp_path / "scratch")
    assert list(source.splits) == [f"{name}-{k}" for name in ("fog", "snow") for k in range(1, 6)]
    assert source.default_name == "cifar10-c" and source.class_names[3] == "cat"
    assert np.array_equal(images_of(source, "fog-1"), fog[:10])
    assert np.array_equal(images_of(source, "snow-5"), snow[40:])
    assert np.array_equal(source.splits["snow-5"].labels, labels[40:])
    np.save(folder / "frost.npy", fog[:49])
    with pytest.raises(UserError, match="frost.npy.*do not go together"):
        source_of(folder, tmp_path / "scratch")


def write_svhn(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        images, labels = some_images(30, (32, 32, 3), seed=len(split))
        values = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)}
        savemat(folder / f"{split}_32x32.mat", {**values, **changes}, do_compression=split == "train")
    return folder


def test_svhn_is_turned_round_and_ten_means_zero(tmp_path: Path) -> None:
    (folder := write_svhn(tmp_path / "svhn")).joinpath("extra_32x32.mat").touch()
    source = source_of(folder, tmp_path / "scratch")
    assert list(source.splits) == ["train", "test"] and not source.flips
    assert source.notes == ("extra_32x32.mat was left out",)
    for split in ("train", "test"):
        images, labels = some_images(30, (32, 32, 3), seed=len(split))
        assert np.array_equal(images_of(source, split), images)
        assert np.array_equal(source.splits[split].labels, labels)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X": np.zeros((32, 32, 3), np.uint8)}, "is no SVHN file"),
        ({"y": np.ones((29, 1))}, "is no SVHN file"),
        ({"y": np.full((30, 1), 11)}, "labels 11..11"),
        ({"y": np.full((30, 1), np.nan)}, "'train_32x32.mat' has a label nan; labels are whole numbers from 0 to 10"),
        ({"y": np.array([[3.0]] * 29 + [[4.5]])}, "'train_32x32.mat' has a label 4.5; labels are whole numbers"),
        ({"y": np.full((30, 1), 1e300)}, r"has a label 1e\+300"),
        ({"y": np.array([[{}]] * 30, object)}, "labels that are no numbers"),
        ({"y": np.full((30, 1), 1j)}, "labels that are no numbers"),
        ({"y": np.array([[0], [10]] * 15)}, "both labels 0 and 10"),
    ],
)
def test_svhn_files_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        source_of(write_svhn(tmp_path / "svhn", **changes), tmp_path / "scratch")


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32, np.float64])
def test_svhn_labels_may_be_of_any_type_of_whole_numbers(tmp_path: Path, kind: Any) -> None:
    y = (np.arange(30) % 10 + 1)[:, None].astype(kind)
    source = source_of(write_svhn(tmp_path / "svhn", y=y), tmp_path / "scratch")
    assert source.splits["train"].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 3


def test_svhn_images_of_another_type_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="float64 images instead of bytes"):
        source_of(write_svhn(tmp_path / "svhn", X=np.zeros((32, 32, 3, 30))), tmp_path / "scratch")
    file = write_svhn(tmp_path / "svhn") / "train_32x32.mat"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(UserError, match=r"'train_32x32.mat' is (damaged|no SVHN file)"):
        images_of(source_of(file, tmp_path / "scratch"), "train")
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF")
    with pytest.raises(UserError, match="version 7.3"):
        source_of(file, tmp_path / "scratch")
