"""A disk that fills up while HDF5 writes: the fold fails cleanly, wherever it happens, and the process lives on."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.recorded_runs import WEIGHTS, content_of, record_everything, recording

from difrob.runs import RunState, Workspace, unfailing_file
from difrob.runs.damage.file_parts import damage
from difrob.runs.unfailing_file import UnfailingFile


class SmallDisk:
    """Hands out files that have room for ``room`` more bytes in all."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0

    def open(self, path: Path) -> io.FileIO:
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                view = memoryview(data).cast("B")
                fits = min(len(view), disk.room - disk.used)
                if fits <= 0 and len(view):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                disk.used += fits
                return super().write(view[:fits]) or 0

        return File(path, "x+")


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    disk = SmallDisk(1 << 40)
    monkeypatch.setattr(unfailing_file, "open_new", disk.open)
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 1000.0)
    return disk


def test_the_file_is_what_hdf5_would_have_written_itself(tmp_path: Path) -> None:
    def build(file: h5py.File) -> None:
        for number in range(50):
            group = file.create_group(f"group-{number}")
            group.attrs["text"] = "x" * number * 10
            group["numbers"] = np.arange(number * 100)
        file.create_dataset("texts", data=["x" * 50] * 100, dtype=h5py.string_dtype())
        file["texts"].attrs["more"] = "y"
        del file["group-7"]

    with UnfailingFile(tmp_path / "a.h5") as disk:
        with h5py.File(disk, "w") as file:
            build(file)
        disk.make_durable()
    with h5py.File(tmp_path / "b.h5", "w") as file:
        build(file)
    found: list[dict[str, Any]] = [{}, {}]
    for name, things in zip("ab", found, strict=True):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            file.visititems(lambda path, item, things=things: things.__setitem__(
                path, (dict(item.attrs), item[...].tolist() if isinstance(item, h5py.Dataset) else None)))  # fmt: skip
    assert found[0] == found[1] and len(found[0]) == 99


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 15).round(3))
def test_a_fold_that_finds_no_room_leaves_everything_as_it_was(
    workspace: Workspace, plenty: SmallDisk, share: float
) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {})
        record_everything(recorder, 2)
        recorder.flush()
        path, journal = workspace.run_path("run"), workspace.journal_path("run")
        reader = workspace.reader("run")
        before = content_of(reader), path.read_bytes(), journal.read_bytes()
        plenty.room = plenty.used + int(share * len(before[1]))
        with pytest.MonkeyPatch.context() as impatient:
            impatient.setattr("difrob.runs.full_disk._NO_ROOM", set())
            with pytest.raises(OSError, match="No space left on device") as caught:
                recorder.checkpoint(2, WEIGHTS, {})
        assert caught.value.errno == errno.ENOSPC
        assert (content_of(reader), path.read_bytes(), journal.read_bytes()) == before
        assert sorted(os.listdir(workspace.runs_folder)) == ["run.h5", "run.journal"]
        plenty.room = 1 << 40
        recorder.checkpoint(2, WEIGHTS, {})
        recorder.finish(RunState.FINISHED)
    assert damage(path) == "" and content_of(reader) == before[0]
    assert reader.checkpoint().step == 2 and reader.sample_count() == 8


def test_much_data_after_the_disk_is_full_takes_little_memory(workspace: Workspace, plenty: SmallDisk) -> None:
    import tracemalloc

    rows = np.random.default_rng(0).integers(0, 255, (400, 100_000), dtype=np.uint8)  # 40 MB
    with recording(workspace) as recorder:
        recorder.samples(rows=rows)
        recorder.checkpoint(1, b"", {})
        plenty.room = plenty.used + 100_000
        tracemalloc.start()
        try:
            with pytest.MonkeyPatch.context() as impatient:
                impatient.setattr("difrob.runs.full_disk._NO_ROOM", set())
                with pytest.raises(OSError, match="No space left on device"):
                    recorder.checkpoint(2, b"", {})
            assert tracemalloc.get_traced_memory()[1] < 25_000_000
        finally:
            tracemalloc.stop()
        plenty.room = 1 << 40
        recorder.finish(RunState.FINISHED)
    assert (workspace.reader("run").array("rows") == rows).all()


def test_what_was_written_after_the_failure_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SmallDisk(10)
    monkeypatch.setattr(unfailing_file, "open_new", disk.open)
    random = np.random.default_rng(1)
    expected = bytearray()
    with UnfailingFile(tmp_path / "x") as file:
        for _ in range(200):
            at, data = int(random.integers(0, 300)), random.bytes(int(random.integers(0, 40)))
            file.seek(at)
            assert file.write(data) == len(data) and file.tell() == at + len(data)
            expected[len(expected) :] = bytes(max(0, at + len(data) - len(expected)))
            expected[at : at + len(data)] = data
            file.seek(0)
            assert file.read(400) == bytes(expected) + bytes(400 - len(expected))
        assert file.seek(0, os.SEEK_END) == len(expected)
        with pytest.raises(OSError, match="No space left"):
            file.make_durable()
        with pytest.raises(OSError, match="No space left"):
            file.check()


def test_a_partial_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError):
        UnfailingFile(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.slow
def test_a_run_on_a_disk_that_fills_and_empties_loses_nothing(
    workspace: Workspace, plenty: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.full_disk.WAIT_SECONDS", 0.002)
    monkeypatch.setattr("difrob.runs.full_disk.RETRY_SECONDS", 0.0)
    random = np.random.default_rng(2)

    def some_room(*arguments: Any) -> None:  # somebody tidies up while the run waits
        plenty.room = plenty.used + int(random.integers(0, 300_000))

    with recording(workspace) as recorder:
        monkeypatch.setattr(recorder._control, "wait", some_room)
        some_room()
        for step in range(1, 200):
            recorder.metric("loss", step, step)
            recorder.samples(index=np.array([step]), blob=random.integers(0, 255, (1, 100), dtype=np.uint8))
            if step % 20 == 0:
                some_room()
                recorder.checkpoint(step, random.bytes(2000), {"step": step})
        plenty.room = 1 << 40
        recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    assert reader.metrics()["loss"].step.tolist() == list(range(1, 200)) == reader.array("index").tolist()
    with h5py.File(workspace.run_path("run")) as file:
        assert json.loads(file.attrs["summary"])["state"] == "finished"
    assert damage(workspace.run_path("run")) == ""
