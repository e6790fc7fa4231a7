"""Labelled images leave as pictures, HDF5 or .npz and come back the same; what is not ours is never deleted."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from difrob.cli import main
from difrob.data import stored
from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.exchange import export_hdf5, export_npz
from difrob.runs.exchange_pictures import MARK, class_folders, export_png
from difrob.runs.recorder import RunRecorder
from difrob.specs import GenerateSpec

COUNT = 130
ANIMALS = ["frog", "airplane", "t-shirt/top", "CON"]


def made(
    workspace: Workspace, run_id: str = "made", channels: int = 3, names: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (COUNT, 5, 4, channels), dtype=np.uint8)
    labels = source.permutation(np.arange(COUNT, dtype=np.int64) % 4)
    recorder = RunRecorder(workspace, run_id, GenerateSpec(denoiser="d"))
    recorder.samples(images=images, label=labels, index=np.arange(COUNT))
    if names is not None:
        recorder.attribute("class_names", names)
    recorder.finish(RunState.FINISHED)
    return images, labels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [None, ANIMALS, ["airplane", "cat", "dog", "frog"]])
@pytest.mark.parametrize("target", ["set.npz", "set.h5", "set"])
def test_out_and_in_again(tmp_path: Path, target: str, names: list[str] | None, channels: int) -> None:
    workspace = Workspace(tmp_path / "w")
    images, labels = made(workspace, channels=channels, names=names)
    where = ["--workspace", str(workspace.root)]
    path = tmp_path / target
    assert main(["export", "made", str(path), *where]) == 0
    assert main(["run", "import_images", "--set", f"paths={path}", "--name", "back", *where]) == 0
    reader = workspace.reader(workspace.find("back"))
    order = np.argsort(labels, kind="stable") if target == "set" else np.arange(COUNT)
    assert np.array_equal(reader.array("images"), images[order])
    assert np.array_equal(reader.array("label"), labels[order])
    expected = names if names and target != "set.npz" else ["0", "1", "2", "3"]
    assert reader.attributes()["class_names"] == expected
    assert main(["data", "add", str(path), "--name", "back", "--validation", "0", *where]) == 0
    record = workspace.data_set("back")
    split = stored.stored_split(record, "train")
    assert np.array_equal(split.images, images[order]) and np.array_equal(split.labels, labels[order])
    assert record.class_names == expected


def test_the_file_of_a_run_is_a_data_set(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    images, labels = made(workspace, names=ANIMALS)
    assert (
        main(["data", "add", str(workspace.run_path("made")), "--name", "set", "--workspace", str(tmp_path / "w")]) == 0
    )
    record = workspace.data_set("set")
    assert record.class_names == ANIMALS and record.num_classes == 4
    parts = [stored.stored_split(record, split) for split in ("train", "validation")]
    rows = np.concatenate([part.indices for part in parts])
    assert sorted(rows) == list(range(COUNT))
    assert np.array_equal(np.concatenate([part.images for part in parts]), images[rows])
    assert np.array_equal(np.concatenate([part.labels for part in parts]), labels[rows])


def test_what_other_programs_find(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    images, labels = made(workspace, names=ANIMALS)
    told: list[tuple[int, int]] = []
    reader = workspace.reader("made")
    assert export_hdf5(reader, tmp_path / "set.h5", progress=lambda done, total: told.append((done, total))) == COUNT
    with h5py.File(tmp_path / "set.h5") as file:
        assert set(file) == {"image", "label"} and file["label"].dtype == np.int64 and file["image"].dtype == np.uint8
        assert np.array_equal(file["image"][...], images) and np.array_equal(file["label"][...], labels)
        assert [name.decode() for name in file.attrs["class_names"]] == ANIMALS
    assert export_png(reader, tmp_path / "set", progress=lambda done, total: told.append((done, total))) == COUNT
    assert told == [(COUNT, COUNT)] * 2
    folders = sorted(path.name for path in (tmp_path / "set").iterdir() if path.is_dir())
    assert folders == ["0-frog", "1-airplane", "2-t-shirt_top", "3-CON"]
    for row in (0, 7, COUNT - 1):
        with Image.open(tmp_path / "set" / folders[labels[row]] / f"{row:03d}.png") as picture:
            assert picture.mode == "RGB" and np.array_equal(np.asarray(picture), images[row])
    assert len(list((tmp_path / "set").rglob("*.png"))) == COUNT


def test_folders_stand_in_the_order_of_the_labels() -> None:
    assert class_folders(("ant", "bee", "cow"), 0) == (["ant", "bee", "cow"], ["ant", "bee", "cow"])
    assert class_folders((), 11)[0] == [f"{label:02d}" for label in range(11)]
    for names in (("b", "a"), ("a", "A"), ("B", "a"), ("a/b", "a\\b"), ("../x", "nul"), (" ", "."), ("images", "x,y")):
        folders, words = class_folders(names, 0)
        assert folders == sorted(folders) and len({folder.lower() for folder in folders}) == len(words) == len(names)
        assert all(Path(folder).name == folder and folder.strip(". ") == folder != "images" for folder in folders)


def test_only_what_was_made_by_an_export_is_replaced(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    made(workspace)
    reader, target = workspace.reader("made"), tmp_path / "set"
    export_png(reader, target)
    with pytest.raises(UserError, match="exists already; give --force"):
        export_png(reader, target)
    (target / "0" / "900.png").write_bytes(b"old")
    export_png(reader, target, replace=True)
    assert not (target / "0" / "900.png").exists() and len(list(target.rglob("*.png"))) == COUNT

    for strange in ("notes.txt", "0/mine.png", "0/000.png.txt", "own/1.png"):
        (target / strange).parent.mkdir(exist_ok=True)
        (target / strange).write_bytes(b"mine")
        with pytest.raises(UserError, match="was not written by 'difrob export'"):
            export_png(reader, target, replace=True)
        assert (target / strange).read_bytes() == b"mine"
        (target / strange).unlink()
    (target / "own").rmdir()
    (target / MARK).unlink()
    with pytest.raises(UserError, match="was not made by 'difrob export' and is not deleted"):
        export_png(reader, target, replace=True)
    assert len(list(target.rglob("*.png"))) == COUNT
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(target)
    for name in ("file", "link"):
        with pytest.raises(UserError, match="is no folder"):
            export_png(reader, tmp_path / name, replace=True)
    with pytest.raises(UserError, match="is a folder"):
        export_hdf5(reader, target, replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "set", "w"]


def test_a_full_disk_leaves_the_old_folder_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "w")
    made(workspace)
    reader = workspace.reader("made")
    export_png(reader, tmp_path / "set")
    before = json.loads((tmp_path / "set" / MARK).read_text())
    save, count = Image.Image.save, 0

    def full(self: Any, *arguments: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count > 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    for target in ("set", "new"):
        with pytest.raises(UserError, match="cannot write .*No space left on device"):
            export_png(reader, tmp_path / target, replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "w"]
    assert json.loads((tmp_path / "set" / MARK).read_text()) == before
    assert len(list((tmp_path / "set").rglob("*.png"))) == COUNT


def test_other_channels_are_no_pictures(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    images, _ = made(workspace, channels=2)
    with pytest.raises(UserError, match="have 2 channels; PNG pictures are grey"):
        export_png(workspace.reader("made"), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    for write, target in ((export_npz, "set.npz"), (export_hdf5, "set.h5")):
        assert write(workspace.reader("made"), tmp_path / target) == len(images)


def test_the_format_follows_the_name_or_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(Workspace(tmp_path / "w"))
    for target, options, message in (
        ("set.zip", [], "must end in .npz"), ("set.npz", ["--format", "hdf5"], "must end in .h5"),
        ("set.h5", ["--format", "npz"], "must end in .npz"), ("set", ["--format", "tiff"], "unknown format 'tiff'"),
        ("w", ["--force"], "was not made by 'difrob export'"),
    ):  # fmt: skip
        assert main(["export", "made", str(tmp_path / target), *options, "--workspace", str(tmp_path / "w")]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert main(["export", "made", str(tmp_path / "a.b"), "-f", "png", "--workspace", str(tmp_path / "w")]) == 0
    assert (tmp_path / "a.b" / MARK).is_file()
