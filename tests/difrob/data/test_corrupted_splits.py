"""Which splits of a data set are the same images under corruptions, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.corrupted_digits import corrupted_digits, write_corrupted
from support.data_files import some_images

from difrob.data.adding import add_data_set
from difrob.data.corrupted_splits import open_corrupted
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.runs.datasets import DIGITS, TOYS, DataSetRecord, SplitRecord

ARRAYS = corrupted_digits(12)


@pytest.fixture
def record(tmp_path: Path, workspace: Workspace) -> DataSetRecord:
    return add_data_set(workspace.datasets, write_corrupted(tmp_path / "Digits-C", ARRAYS), name="digits-c")


def test_a_folder_like_cifar_10_c_is_one_data_set(workspace: Workspace, tmp_path: Path) -> None:
    images, _ = some_images(50, (32, 32, 3))
    folder = write_corrupted(
        tmp_path / "C", {"labels": np.tile(np.arange(10), 5), "fog": images, "spatter": images[::-1]}
    )
    record = add_data_set(workspace.datasets, folder)
    assert record.name == "cifar10-c" and len(record.splits) == 10 and record.corruptions == ("fog", "spatter")
    corrupted = open_corrupted(record)
    assert corrupted.corruptions == ("fog",) and len(corrupted) == 50
    assert np.array_equal(corrupted.split("fog", 3).images, images[20:30])
    assert corrupted.labels.tolist() == list(range(10))


def test_places_follow_corruption_severity_and_row(record: DataSetRecord) -> None:
    corrupted = open_corrupted(record, 7, with_extras=True)
    assert corrupted.corruptions == ("brightness", "gaussian_noise", "speckle_noise")
    assert len(corrupted) == 3 * 5 * 7 and len(corrupted.labels) == 7
    places = [corrupted.place(position) for position in range(len(corrupted))]
    assert places == [(name, k, row) for name in corrupted.corruptions for k in range(1, 6) for row in range(7)]
    for name in corrupted.corruptions:
        for severity in range(1, 6):
            split = corrupted.split(name, severity)
            assert isinstance(split.images, np.memmap)
            assert np.array_equal(split.images, ARRAYS[name][(severity - 1) * 12 : severity * 12])
    assert open_corrupted(record).corruptions == ("brightness", "gaussian_noise")


def test_other_data_sets_have_no_corruptions(record: DataSetRecord) -> None:
    assert DIGITS.corruptions == ()
    for other in (DIGITS, TOYS[0]):
        with pytest.raises(UserError, match=f"'{other.name}' has no splits of corruptions in 5 severities"):
            open_corrupted(other)
    splits = {name: split for name, split in record.splits.items() if name != "brightness-3"}
    assert replace(record, splits=splits).corruptions == ("gaussian_noise", "speckle_noise")


def test_what_cannot_be_the_same_images_is_refused(record: DataSetRecord, tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UserError, match="corruption_images = 13 is more than the 12 images of each corruption"):
        open_corrupted(record, 13)
    fewer = {**record.splits, "gaussian_noise-2": SplitRecord([1] * 10)}
    with pytest.raises(UserError, match="have 10 to 12 images"):
        open_corrupted(replace(record, splits=fewer))
    shuffled = {**ARRAYS, "labels": np.roll(ARRAYS["labels"], 1)}
    shuffled["labels"][30] = (shuffled["labels"][30] + 1) % 10
    mixed = add_data_set(workspace.datasets, write_corrupted(tmp_path / "mixed", shuffled), name="mixed")
    with pytest.raises(UserError, match="'brightness-1' and 'brightness-3' in data set 'mixed' have different labels"):
        open_corrupted(mixed)
    extras = {name: split for name, split in record.splits.items() if name.startswith("speckle")}
    with pytest.raises(UserError, match=r"meant for development \(speckle_noise\); switch corruption_extras on"):
        open_corrupted(replace(record, splits=extras))
