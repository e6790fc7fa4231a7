"""Labelled images leave as .npz and come back, block by block; large columns are mapped, not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from difrob.cli import main
from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.exchange import export_npz
from difrob.runs.recorder import RunRecorder
from difrob.specs import GenerateSpec


def made(
    workspace: Workspace, run_id: str = "made", count: int = 5000, **columns: Any
) -> tuple[np.ndarray, np.ndarray]:
    """A generated set of noise."""
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 7
    recorder = RunRecorder(workspace, run_id, GenerateSpec(denoiser="d"))
    for start in range(0, count, 1700):
        rows = slice(start, start + 1700)
        recorder.samples(**(columns or {"images": images[rows], "label": labels[rows], "index": labels[rows]}))
    recorder.finish(RunState.FINISHED)
    return images, labels


def test_what_is_written_is_what_numpy_reads(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    images, labels = made(workspace)
    told: list[tuple[int, int]] = []
    target = tmp_path / "set.npz"
    count = export_npz(workspace.reader("made"), target, progress=lambda done, total: told.append((done, total)))
    assert count == 5000 and told == [(4096, 5000), (5000, 5000)]
    with np.load(target, allow_pickle=False) as archive:
        assert set(archive.files) == {"image", "label"}
        assert np.array_equal(archive["image"], images) and np.array_equal(archive["label"], labels)
        assert archive["label"].dtype == np.int64
    with pytest.raises(UserError, match="exists already; give --force"):
        export_npz(workspace.reader("made"), target)
    assert export_npz(workspace.reader("made"), target, replace=True) == 5000
    assert [path.name for path in tmp_path.glob("*.npz*")] == ["set.npz"] and not list(tmp_path.glob(".*partial"))


def test_a_run_without_labelled_images_and_a_full_folder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    made(workspace, "numbers", radius=np.zeros(3), label=np.zeros(3, dtype=np.int64))
    with pytest.raises(UserError, match="has no 'samples/images'"):
        export_npz(workspace.reader("numbers"), tmp_path / "x.npz")
    made(workspace, "floats", images=np.zeros((3, 2, 2, 1)), label=np.zeros(3, dtype=np.int64))
    with pytest.raises(UserError, match="holds no labelled images"):
        export_npz(workspace.reader("floats"), tmp_path / "x.npz")
    made(workspace)
    with pytest.raises(UserError, match="cannot write"):
        export_npz(workspace.reader("made"), tmp_path / "no" / "such" / "x.npz")


def test_large_columns_are_mapped_and_stay_good_when_the_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.file_contents.MAPPED_BYTES", 1000)
    workspace = Workspace(tmp_path)
    images, _ = made(workspace)
    mapped = workspace.reader("made").array("images")
    base: Any = mapped
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base).__name__ == "mmap" and not mapped.flags.writeable
    workspace.run_path("made").unlink()
    made(workspace, "made", count=10)
    assert np.array_equal(mapped, images) and len(workspace.reader("made").array("label")) == 10


def test_out_and_in_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path / "w")
    images, labels = made(workspace)
    target = tmp_path / "set.npz"
    where = ["--workspace", str(workspace.root)]
    assert main(["export", "made", str(target), *where]) == 0
    assert "5000 images written" in capsys.readouterr().out
    assert main(["run", "import_images", "--set", f"paths={target}", "--name", "back", *where]) == 0
    reader = workspace.reader(workspace.find("back"))
    assert np.array_equal(reader.array("images"), images) and np.array_equal(reader.array("label"), labels)
    assert main(["export", "made", str(tmp_path / "set.zip"), *where]) == 2
    assert "must end in .npz" in capsys.readouterr().err
