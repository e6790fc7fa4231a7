"""Examples of a data set: few, evenly over the classes, and the very images that lie there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.data_files import some_images

from difrob.data.digits import digits
from difrob.data.stored import array_path, stored_split
from difrob.errors import UserError
from difrob.runs.datasets import BUILT_IN, DIGITS, DataSetRecord, SplitRecord
from difrob_gui.models.data_examples import LARGEST_SIDE, MOST, PER_CLASS, chosen_rows, read_examples


def stored(folder: Path, count: int, classes: int, shape: tuple[int, ...] = (8, 8, 1)) -> DataSetRecord:
    """A data set whose arrays lie where the engine puts them."""
    images, labels = some_images(count, shape, classes)
    for name, array in (("images", images), ("labels", labels), ("indices", np.arange(count))):
        np.save(array_path(folder, "train", name), array)
    return DataSetRecord(
        "own", "own", "arrays", (shape[2], shape[0], shape[1]), [f"class {k}" for k in range(classes)],
        {"train": SplitRecord(np.bincount(labels, minlength=classes).tolist())}, flips=False, digest="x", folder=folder,
    )  # fmt: skip


def test_the_first_of_each_class_as_the_engine_reads_them(tmp_path: Path) -> None:
    record = stored(tmp_path, 300, 10)
    examples = read_examples(record, "train")
    theirs = stored_split(record, "train")
    rows = [row for k in range(10) for row in np.flatnonzero(theirs.labels == k)[:PER_CLASS]]
    assert np.array_equal(examples.images, np.asarray(theirs.images)[rows])
    assert examples.captions == [f"class {k}" for k in range(10) for _ in range(PER_CLASS)]
    assert examples.note == ""


@pytest.mark.parametrize("classes", [1, 3, 30, 99, 100, 101, 1000])
def test_never_too_many_and_over_all_classes(classes: int) -> None:
    labels = np.tile(np.arange(classes), 20)
    rows = chosen_rows(labels, classes)
    assert 0 < len(rows) <= MOST
    seen = labels[rows]
    assert np.all(np.diff(seen) >= 0) and len(set(seen.tolist())) == min(classes, MOST)
    assert seen[0] == 0 and seen[-1] == classes - 1


def test_classes_without_images_are_left_out() -> None:
    assert chosen_rows(np.array([4, 4, 2]), 6) == [2, 0, 1]
    assert chosen_rows(np.array([], dtype=np.int64), 6) == []


def test_large_images_are_thinned(tmp_path: Path) -> None:
    record = stored(tmp_path, 4, 2, (250, 120, 3))
    examples = read_examples(record, "train")
    assert max(examples.images.shape[1:3]) <= LARGEST_SIDE and examples.images.shape[3] == 3
    assert "Every 3. pixel" in examples.note


def test_the_built_in_scans_are_those_of_the_engine() -> None:
    examples = read_examples(DIGITS, "train")
    assert examples.images.shape == (100, 8, 8, 1) and examples.captions[:1] + examples.captions[-1:] == ["0", "9"]
    everything = {(image.tobytes(), int(label)) for part in digits().values()
                  for image, label in zip(part.images, part.labels, strict=True)}  # fmt: skip
    shown = zip(examples.images, examples.captions, strict=True)
    assert all((image.tobytes(), int(caption)) in everything for image, caption in shown)
    assert "no pictures" in read_examples(BUILT_IN["toy-ring"], "").note


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    record = stored(tmp_path, 30, 3)
    with pytest.raises(UserError, match="cannot be read"):
        read_examples(record, "test")
    array_path(tmp_path, "train", "images").write_bytes(b"no array at all")
    with pytest.raises(UserError, match="damaged"):
        read_examples(record, "train")
    np.save(array_path(tmp_path, "train", "images"), np.zeros((30, 8, 8), np.uint8))
    with pytest.raises(UserError, match="do not fit its record"):
        read_examples(replace(record), "train")
