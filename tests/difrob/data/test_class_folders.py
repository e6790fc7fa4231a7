"""Folders of pictures: layouts, sizes, colours, and pictures that are none."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.data_files import images_of, some_images, source_of

from difrob.errors import UserError
from difrob.runs.datasets import SourceFile

PIXELS = some_images(12, (8, 8, 3), 3)[0]


def write_pictures(folder: Path, pixels: np.ndarray = PIXELS, classes: tuple[str, ...] = ("cat", "dog", "eel")) -> Path:
    """As many pictures in each class, in the order of classes and names."""
    for number, image in enumerate(pixels):
        place = folder / classes[number * len(classes) // len(pixels)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(place / f"{number:03}.png")
    return folder


def test_imagenet_layout(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "train")
    write_pictures(tmp_path / "set" / "val", PIXELS[::-1])
    (tmp_path / "set" / "train" / "cat" / "notes.txt").write_text("no picture")
    source = source_of(tmp_path / "set", tmp_path / "scratch")
    assert source.class_names == ("cat", "dog", "eel") and list(source.splits) == ["train", "test"]
    assert np.array_equal(images_of(source, "train"), PIXELS)
    assert np.array_equal(images_of(source, "test"), PIXELS[::-1])
    assert source.splits["train"].labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_tiny_imagenet_layout(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    for number, image in enumerate(PIXELS):
        for place in (folder / "train" / f"n0{number % 2}" / "images", folder / "val" / "images"):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"val_{number:02}.png")
    lines = [f"val_{number:02}.png\tn0{1 - number % 2}\t0\t0\t8\t8" for number in range(12)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (folder / "words.txt").write_text("n00\tgoldfish, Carassius auratus\nn01\tsalamander\nn02\tunused\n")
    source = source_of(folder, tmp_path / "scratch")
    assert source.class_names == ("goldfish", "salamander")
    assert source.splits["test"].labels.tolist() == [1, 0] * 6
    assert np.array_equal(images_of(source, "test"), PIXELS)
    (folder / "val" / "val_annotations.txt").write_text("../../secret.png\tn00\n")
    with pytest.raises(UserError, match="line 1 of .* does not name a picture and a class"):
        source_of(folder, tmp_path / "scratch", "folders")


def test_the_sum_is_over_what_the_pictures_hold(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_pictures(folder / "train")
    write_pictures(folder / "val", PIXELS[::-1])

    def sums() -> dict[str, SourceFile]:
        source = source_of(folder, tmp_path / "scratch")
        for split in source.splits.values():
            assert sum(len(block) for block in split.blocks()) == 12
        return dict(source.files)

    def expected(part: str) -> SourceFile:
        """By hand, from the folder alone."""
        files = sorted((folder / part).rglob("*.png"))
        lines = [(f.relative_to(folder).as_posix(), f.stat().st_size, md5(f.read_bytes()).hexdigest()) for f in files]
        text = "".join(f"{name}\t{size}\t{digest}\n" for name, size, digest in lines)
        return SourceFile(sum(size for _, size, _ in lines), md5(text.encode()).hexdigest())

    before = sums()
    assert before == {"(pictures of train)": expected("train"), "(pictures of test)": expected("val")}
    changed = folder / "train" / "dog" / "004.png"
    Image.fromarray(PIXELS[4]).save(changed, compress_level=0)
    plain, size = sums(), changed.stat().st_size
    Image.fromarray(255 - PIXELS[4]).save(changed, compress_level=0)
    assert changed.stat().st_size == size
    assert sums()["(pictures of train)"].md5 != plain["(pictures of train)"].md5
    assert sums()["(pictures of test)"] == before["(pictures of test)"]


def test_grey_pictures_stay_grey_and_mixed_ones_become_colour(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "grey", PIXELS[..., :1])
    source = source_of(folder, tmp_path / "scratch")
    assert source.image_shape == (8, 8, 1) and np.array_equal(images_of(source, "train"), PIXELS[..., :1])
    Image.fromarray(PIXELS[0]).save(folder / "cat" / "999.png")
    source = source_of(folder, tmp_path / "scratch")
    assert source.image_shape == (8, 8, 3)
    assert np.array_equal(images_of(source, "train")[0], np.repeat(PIXELS[0, :, :, :1], 3, axis=2))


def test_pictures_are_scaled_and_their_middle_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 200, 90)  # the square in the middle
    write_pictures(tmp_path / "set", np.stack([wide, wide, wide]))
    source = source_of(tmp_path / "set", tmp_path / "scratch", size=10)
    images = images_of(source, "train")
    assert images.shape == (3, 10, 10, 3) and "pictures were scaled to 10x10 pixels" in source.notes
    assert (images[:, :, 2:-2] == (10, 200, 90)).all()
    small = source_of(write_pictures(tmp_path / "small"), tmp_path / "scratch", size=16)
    assert images_of(small, "train").shape == (12, 16, 16, 3)


def test_pictures_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    Image.fromarray(PIXELS[0, :7]).save(folder / "dog" / "odd.png")
    with pytest.raises(UserError, match=r"is 8x8 pixels, .*odd.png' 8x7; .*data add.*--size"):
        source_of(folder, tmp_path / "scratch")


def test_pictures_that_are_none_are_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    bad = folder / "eel" / "zzz.png"
    whole = (folder / "cat" / "000.png").read_bytes()
    bad.write_bytes(b"GIF89a" + bytes(50))
    with pytest.raises(UserError, match=r"zzz.png' is no PNG or JPEG picture"):
        source_of(folder, tmp_path / "scratch")
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"zzz.png' is damaged or cut off"):
        images_of(source_of(folder, tmp_path / "scratch"), "train")
    bad.write_bytes(whole.replace(b"IHDR" + bytes([0, 0, 0, 8]), b"IHDR" + bytes([0, 15, 0, 8])))
    with pytest.raises(UserError, match=r"zzz.png'"):
        source_of(folder, tmp_path / "scratch")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(bad)
    with pytest.raises(UserError, match=r"zzz.png' has pixels of type I;16"):
        source_of(folder, tmp_path / "scratch")


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pictures(tmp_path / "set")
    monkeypatch.setattr("difrob.data.formats.class_folders.MAX_PIXELS", 63)
    with pytest.raises(UserError, match="announces 8x8 pixels; 63 are allowed"):
        source_of(folder, tmp_path / "scratch")


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set" / "train", PIXELS[:4], ("cat", "dog"))
    write_pictures(tmp_path / "set" / "test")
    with pytest.raises(UserError, match="have a class 'eel' without training images"):
        source_of(tmp_path / "set", tmp_path / "scratch")


def test_paths_in_no_format(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for path, words in (
        ("empty", "in no known format; formats: idx"),
        ("notes.txt", "in no known"),
        ("gone", "no file"),
    ):
        with pytest.raises(UserError, match=words):
            source_of(tmp_path / path, tmp_path / "scratch")
    with pytest.raises(UserError, match="not in the format 'svhn'"):
        source_of(tmp_path / "empty", tmp_path / "scratch", "svhn")
    with pytest.raises(UserError, match="unknown format 'zip'"):
        source_of(tmp_path / "empty", tmp_path / "scratch", "zip")
