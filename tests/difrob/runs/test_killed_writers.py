"""A writer killed at random moments, and the order in which things reach the disk."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.recorded_runs import WEIGHTS, content_of, record_everything, recording

from difrob.runs import RunState, Workspace
from difrob.runs.damage.file_parts import damage
from difrob.runs.recovery import recover


class Nursery:
    """Processes that record and are killed."""

    def __init__(self, workspace: Workspace) -> None:
        command = [sys.executable, str(Path(__file__).parents[2] / "support" / "kill_nursery.py"), str(workspace.root)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, order: str, seconds: float | None = None, *, early: bool = False) -> tuple[int, int, bool]:
        """Start a recorder and kill it; acknowledged rows and samples, and whether it finished.

        Args:
            seconds: from the moment that it could record until it is killed; None lets it finish.
            early: count from its start.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        lines: list[list[str]] = []
        words: set[str] = set()
        victim: int | None = None
        for line in self.process.stdout:
            lines.append(line.split())
            words.add(lines[-1][0])
            assert "error" not in words, line
            if lines[-1][0] == "pid":
                victim = int(lines[-1][1])
            if seconds is not None and victim is not None and (early or "ack" in words):
                time.sleep(seconds)
                os.kill(victim, signal.SIGKILL)
                seconds = None
            if "dead" in words:
                break
        acknowledged = [(int(line[1]), int(line[2])) for line in lines if line[0] == "ack"]
        return *max(acknowledged, default=(0, 0)), ["finished"] in lines

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


@pytest.fixture
def nursery(workspace: Workspace) -> Iterator[Nursery]:
    nursery = Nursery(workspace)
    assert nursery.run("first finishes")[2]  # the interpreter is warm from here on
    yield nursery
    nursery.close()


def check_rows(workspace: Workspace, run_id: str, rows: int, samples: int) -> int:
    """Everything acknowledged is there once, in order, and right; returns how many rows there are."""
    reader = workspace.reader(run_id)
    series = reader.metrics().get("loss")
    count = 0 if series is None else len(series.step)
    assert count >= rows
    if series is not None:
        np.testing.assert_array_equal(series.step, np.arange(1, count + 1))
        np.testing.assert_array_equal(series.value, series.step / 2)
        np.testing.assert_array_equal(series.low, np.where(series.step % 2, np.nan, series.step / 4))
    found = reader.sample_count()
    assert found >= samples
    if found:
        np.testing.assert_array_equal(reader.array("index"), np.arange(1, found + 1))
        np.testing.assert_array_equal(reader.array("table"), np.arange(1, found + 1)[:, None] * np.ones((1, 20)))
    return count


def test_fifty_kills_lose_no_acknowledged_row(workspace: Workspace, nursery: Nursery) -> None:
    moments = random.Random(5)
    kinds = {"nothing yet": 0, "journal only": 0, "with file": 0, "recovered": 0}
    for number in range(50):
        run_id = f"run-{number}"
        rows, samples, _ = nursery.run(run_id, moments.choice([0.015, 0.1]) * moments.random(), early=number < 15)
        path, journal = workspace.run_path(run_id), workspace.journal_path(run_id)
        if not journal.exists():
            assert not path.exists() and rows == 0
            kinds["nothing yet"] += 1
            continue
        if path.exists():
            with h5py.File(path) as file:
                assert file.attrs["run_id"] == run_id and len(file["checkpoints"]) <= 2
            kinds["with file"] += 1
        else:
            kinds["journal only"] += 1
        if journal.stat().st_size:  # else it was killed before its header was there
            assert workspace.reader(run_id).summary().state is RunState.INTERRUPTED
            before = check_rows(workspace, run_id, rows, samples)
            summary = recover(workspace.reader(run_id))
            assert summary is not None and summary.state is RunState.INTERRUPTED and "killed" in summary.reason
            assert check_rows(workspace, run_id, rows, samples) == before
            assert damage(path) == "" and workspace.reader(run_id).summary() == summary
            with h5py.File(path) as file:
                assert file.attrs["status"] == "interrupted" and len(file["samples"]) in (0, 2)
            kinds["recovered"] += 1
        else:
            recover(workspace.reader(run_id))
        assert (
            not journal.exists() and recover(workspace.reader(run_id) if path.exists() else _ghost(workspace)) is None
        )
        assert not list(workspace.runs_folder.glob(f".{run_id}.*"))
    assert kinds["recovered"] >= 35 and kinds["with file"] >= 35, kinds


def _ghost(workspace: Workspace) -> Any:
    from difrob.runs import RunReader

    return RunReader("ghost", workspace.run_path("ghost"), workspace.journal_path("ghost"))


def test_a_run_killed_again_and_again_and_resumed_each_time_is_whole_at_the_end(
    workspace: Workspace, nursery: Nursery
) -> None:
    moments = random.Random(6)
    samples = 0
    for _ in range(12):
        rows, samples, _ = nursery.run("run", 0.06 * moments.random())
        if workspace.run_path("run").exists():
            check_rows(workspace, "run", rows, samples)
    rows, samples, finished = nursery.run("run finishes")
    assert finished and rows > 20
    assert check_rows(workspace, "run", rows, samples) == rows
    assert workspace.reader("run").sample_count() == samples
    assert workspace.reader("run").summary().state is RunState.FINISHED
    assert damage(workspace.run_path("run")) == ""
    assert [path.name for path in workspace.runs_folder.iterdir() if "run" in path.name] == ["run.h5"]


# Power loss: what had not been forced onto the disk may be gone, in any order


def name_of(descriptor: int) -> str:
    return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_journal_is_cleared_only_after_the_file_is_durable(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace, ftruncate = os.fsync, os.replace, os.ftruncate

    def on_fsync(descriptor: int) -> None:
        events.append(f"sync {'file' if name_of(descriptor).endswith('.partial') else name_of(descriptor)}")
        fsync(descriptor)

    def on_replace(source: Path, target: Path) -> None:
        events.append(f"rename to {Path(target).name}")
        replace(source, target)

    def on_truncate(descriptor: int, size: int) -> None:
        events.append(f"clear {name_of(descriptor)}")
        ftruncate(descriptor, size)

    monkeypatch.setattr("difrob.runs.recorder.SYNC_SECONDS", 1e9)
    with recording(workspace) as recorder:
        record_everything(recorder)
        monkeypatch.setattr(os, "fsync", on_fsync)
        monkeypatch.setattr(os, "replace", on_replace)
        monkeypatch.setattr(os, "ftruncate", on_truncate)
        recorder.checkpoint(1, WEIGHTS, {})
        assert events == ["sync file", "rename to run.h5", "sync runs", "clear run.journal"]


@pytest.mark.parametrize("step", ["h5py.File", "os.fsync", "os.replace"])
def test_a_fold_that_fails_midway_leaves_file_and_journal_as_they_were(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {})
        record_everything(recorder, 2)
        recorder.flush()
        reader = workspace.reader("run")
        before = content_of(reader), workspace.run_path("run").read_bytes(), workspace.journal_path("run").read_bytes()

        open_file = h5py.File

        def fail(*arguments: Any, **options: Any) -> Any:
            if arguments[1:] == ("r",):
                return open_file(*arguments, **options)
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(step, fail)
            broken.setattr("difrob.runs.recorder.SYNC_SECONDS", 1e9)
            with pytest.raises(OSError, match="Input/output error"):
                recorder.checkpoint(2, WEIGHTS, {})
        after = content_of(reader), workspace.run_path("run").read_bytes(), workspace.journal_path("run").read_bytes()
        assert after == before
        assert not list(workspace.runs_folder.glob(".*"))
        recorder.checkpoint(2, WEIGHTS, {})
        recorder.finish(RunState.FINISHED)
    assert content_of(reader) == before[0] and reader.checkpoint().step == 2


def test_a_journal_that_comes_back_after_its_fold_doubles_nothing(workspace: Workspace) -> None:
    """After a power loss the folder may hold the new file and the journal as it was before it was cleared."""
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        recorder.flush()
        journal = workspace.journal_path("run")
        saved = journal.read_bytes()
        recorder.checkpoint(1, WEIGHTS, {})
        folded = content_of(workspace.reader("run"))
    journal.write_bytes(saved)
    reader = workspace.reader("run")
    assert content_of(reader) == folded and reader.sample_count() == 4
    summary = recover(reader)
    assert summary is not None and summary.state is RunState.INTERRUPTED
    assert content_of(reader) == folded and reader.sample_count() == 4


@pytest.mark.parametrize("cleared", [False, True])
def test_a_journal_left_beside_the_file_of_a_finished_run_does_not_undo_the_end(
    workspace: Workspace, cleared: bool
) -> None:
    """Killed between the last fold and deleting the journal, or the deletion was undone by a power loss."""
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.flush()
        journal = workspace.journal_path("run")
        saved = shutil.copy(journal, workspace.root / "saved")
        finished = recorder.finish(RunState.FINISHED)
    data = Path(saved).read_bytes()
    header_end = 8 + 8 + int.from_bytes(data[8:12], "little")
    journal.write_bytes(data[:header_end] if cleared else data)
    assert workspace.reader("run").summary() == finished
    assert workspace.feed("run").poll().summary == finished
    assert workspace.summaries() == [finished]
    assert recover(workspace.reader("run")) == finished
    assert not journal.exists() and workspace.reader("run").summary() == finished
