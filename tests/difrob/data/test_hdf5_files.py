"""HDF5 files of labelled images: read in blocks, and refused where they are damaged, strange or not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from difrob.data.formats import hdf5, source
from difrob.data.formats.detection import Request, read_source
from difrob.data.formats.source import Source
from difrob.errors import UserError
from difrob.runs.damage.guard import one_helper, require_harmless

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(40, dtype=np.int64) % 4


@pytest.fixture(scope="module", autouse=True)
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The process that looks into files starts once for all tests instead of once for each file."""
    with one_helper():
        require_harmless(written(tmp_path_factory.mktemp("first") / "first.h5"))
        yield


def opened(path: Path, format_name: str = "auto") -> Source:
    return read_source(Request(path, path.parent, None, lambda done, total, what: None), format_name)


def written(path: Path, change: Callable[[h5py.File], None] | None = None, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in (arrays or {"image": IMAGES, "label": LABELS}).items():
            file[name] = values
        if change is not None:
            change(file)
    return path


def test_images_and_labels_come_back(tmp_path: Path) -> None:
    found = opened(written(tmp_path / "set.h5"))
    assert found.format == "HDF5" and found.image_shape == (6, 5, 3) and found.class_names == tuple("0123")
    split = found.splits["train"]
    assert np.array_equal(np.concatenate(list(split.blocks())), IMAGES) and np.array_equal(split.labels, LABELS)
    assert split.labels.dtype == np.int64 and set(found.files) == {"set.h5"}
    # Other names, whole numbers of other types, grey images without channels, any ending.
    grey = opened(written(tmp_path / "grey.data", images=IMAGES[..., 0], labels=LABELS.astype(np.uint8)))
    assert grey.image_shape == (6, 5, 1)
    assert np.array_equal(np.concatenate(list(grey.splits["train"].blocks())), IMAGES[..., :1])

    def named(file: h5py.File) -> None:
        file.attrs["class_names"] = ["ape", "Bär", "cat", "dog", "emu"]

    assert opened(written(tmp_path / "named.h5", named)).class_names == ("ape", "Bär", "cat", "dog", "emu")

    def too_few(file: h5py.File) -> None:
        file.attrs["class_names"] = ["ape", "bear"]

    assert opened(written(tmp_path / "few.h5", too_few)).class_names == tuple("0123")


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    written(folder / "train.h5")
    written(folder / "test.hdf5", image=IMAGES[:7], label=LABELS[:7])
    found = opened(folder)
    assert {name: len(split.labels) for name, split in found.splits.items()} == {"train": 40, "test": 7}
    written(folder / "test.hdf5", image=IMAGES[:7, :3], label=LABELS[:7])
    with pytest.raises(UserError, match="differ in size"):
        opened(folder)
    (folder / "train.h5").unlink()
    assert opened(folder).notes == ("no training images: it can only be measured on",)


@pytest.mark.parametrize("packed", [False, True])
def test_many_images_are_read_block_by_block(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", 1 << 20)
    count, shape = 50_000, (8, 8, 1)
    images = np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)
    with h5py.File(tmp_path / "large.h5", "w") as file:
        packing = {"chunks": (3000, *shape), "compression": "gzip", "shuffle": True} if packed else {}
        file.create_dataset("image", data=images, **packing)
        file["label"] = np.arange(count) % 10
    split = opened(tmp_path / "large.h5").splits["train"]
    at_once = (1 << 20) // 64
    first = 0
    rows = []
    for block in split.blocks():
        assert np.array_equal(block, images[first : first + len(block)])
        rows.append(len(block))
        first += len(block)
    assert first == count and max(rows) <= at_once and len(rows) == -(-count // max(rows))
    assert max(rows) % 3000 == 0 or not packed  # no chunk is unpacked twice


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": IMAGES}, "needs a data set 'label'"),
        ({"label": LABELS}, "needs a data set 'image'"),
        ({"image": IMAGES, "images": IMAGES, "label": LABELS}, "has both 'image' and 'images'"),
        ({"image": IMAGES / 255, "label": LABELS}, "holds float64"),
        ({"image": IMAGES[0], "label": LABELS[:6] / 2}, "holds float64"),
        ({"image": IMAGES, "label": LABELS[:-1]}, "one for each of the 40 images"),
        ({"image": IMAGES, "label": LABELS[:, None]}, "one for each of the 40 images"),
        ({"image": IMAGES, "label": LABELS - 1}, "has a label -1"),
        ({"image": IMAGES, "label": LABELS + 100_000}, "at most 100000 classes"),
        ({"image": IMAGES.transpose(0, 3, 1, 2), "label": LABELS}, "has its channels first"),
        ({"image": np.concatenate([IMAGES, IMAGES], axis=3), "label": LABELS}, "6 channels"),
        ({"image": IMAGES.reshape(40, -1), "label": LABELS}, "images are uint8"),
        ({"image": np.array([b"text"] * 40), "label": LABELS}, "does not hold numbers"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(written(tmp_path / "set.h5", **arrays))


def elsewhere(file: h5py.File) -> None:
    file["image"] = h5py.ExternalLink("other.h5", "/image")


def soft(file: h5py.File) -> None:
    file["real"], file["image"] = IMAGES, h5py.SoftLink("/real")


def outside(file: h5py.File) -> None:
    file.create_dataset("image", IMAGES.shape, np.uint8, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "image", IMAGES.shape)
    file.create_virtual_dataset("image", layout)


def claimed(file: h5py.File) -> None:
    file.create_dataset("image", (40, 4096, 4096, 3), np.uint8)


def bomb(file: h5py.File) -> None:
    file.create_dataset("image", (40, 2000, 2000, 3), np.uint8, chunks=(1, 500, 500, 3), compression="gzip")
    file["image"][0, :500, :500] = np.zeros((500, 500, 3), dtype=np.uint8)


def group(file: h5py.File) -> None:
    file.create_group("image")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (elsewhere, "link to another place"), (soft, "link to another place"), (outside, "keeps its numbers in other files"),
        (virtual, "keeps its numbers in other files"), (claimed, "which the file does not hold"),
        (bomb, "which the file does not hold"), (group, "is not a dataset"),
    ],
)  # fmt: skip
def test_nothing_is_followed_or_believed(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    written(tmp_path / "other.h5")
    with pytest.raises(UserError, match=message):
        opened(written(tmp_path / "set.h5", change, label=LABELS))


def test_chunks_and_filters_that_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_CHUNK", 1000)

    def chunked(file: h5py.File) -> None:
        file.create_dataset("image", data=IMAGES, chunks=(20, 6, 5, 3), compression="lzf")

    with pytest.raises(UserError, match=r"lies in chunks of \[20, 6, 5, 3\]"):
        opened(written(tmp_path / "set.h5", chunked, label=LABELS))

    def scaled(file: h5py.File) -> None:
        file.create_dataset("image", data=IMAGES, chunks=(2, 6, 5, 3), scaleoffset=0)

    with pytest.raises(UserError, match="is packed by filter 6, which difrob does not load"):
        opened(written(tmp_path / "scaled.h5", scaled, label=LABELS))


def test_a_run_that_is_not_over_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "run.h5", **{"samples/images": IMAGES, "samples/label": LABELS})
    assert len(opened(path).splits["train"].labels) == 40
    (tmp_path / "run.journal").write_bytes(b"rows")
    with pytest.raises(UserError, match="is a run that is not over"):
        opened(path)
