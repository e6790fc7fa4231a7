"""Files that HDF5 reads for ever or crashes at: whoever meets one lives on, and so do the other runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import psutil
import pytest
from support.recorded_runs import WEIGHTS, record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.care import Verdict, check
from difrob.runs.damage import guard, seal
from difrob.runs.damage.guard import require_harmless
from difrob.runs.damage.inspection import Inspector
from difrob.runs.recovery import recover
from difrob.runs.schema import Damaged


@pytest.fixture(autouse=True)
def own_helper() -> Iterator[None]:
    """Nothing is remembered from other tests, and no helper is left behind."""
    guard.forget()
    yield
    assert not helpers()


def ended_run(workspace: Workspace, run_id: str = "run") -> Path:
    with recording(workspace, run_id) as recorder:
        record_everything(recorder)
        recorder.checkpoint(1, WEIGHTS, {"step": 1})
        recorder.finish(RunState.FINISHED)
    return workspace.run_path(run_id)


def make_endless(path: Path) -> None:
    """Blank what a heap says of its second text, as a page of a disk that went blank does: HDF5 never gets past it."""
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    size = int.from_bytes(data[heap + 24 : heap + 32], "little")
    second = heap + 32 + (size + 7) // 8 * 8
    data[second : second + 16] = bytes(16)
    path.write_bytes(data)


def helpers() -> list[psutil.Process]:
    """The processes that look into files for this one."""
    return [
        process for process in psutil.Process().children() if "difrob.runs.damage.inspection_child" in process.cmdline()
    ]


def test_the_endless_file_of_these_tests_is_one(workspace: Workspace) -> None:
    path = ended_run(workspace)
    make_endless(path)
    code = "import sys, h5py; file = h5py.File(sys.argv[1]); dict(file.attrs)"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code, str(path)], timeout=4)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were looked through by a helper."""
    found: list[Path] = []
    peril = Inspector.peril

    def noting(inspector: Inspector, path: Path) -> str:
        found.append(path)
        return peril(inspector, path)

    monkeypatch.setattr(Inspector, "peril", noting)
    return found


def test_what_difrob_wrote_is_read_without_any_helper(workspace: Workspace, looked: list[Path]) -> None:
    for number in range(3):
        ended_run(workspace, f"run-{number}")
    assert len(workspace.summaries()) == 3 and workspace.feed("run-0").poll().metrics
    assert not looked


def test_an_endless_file_is_listed_as_damaged_beside_the_others(workspace: Workspace) -> None:
    for name in ("a", "b", "c"):
        make_endless(path) if (path := ended_run(workspace, name)).stem == "b" else None
    listed = {summary.run_id: summary for summary in workspace.summaries()}
    assert listed["b"].damaged and "reads the texts at byte" in listed["b"].reason
    assert listed["a"].state is listed["c"].state is RunState.FINISHED
    with pytest.raises(UserError, match="is damaged: HDF5 reads the texts at byte"):
        workspace.feed("b").poll()
    assert workspace.reader("b").summary().damaged


def test_an_endless_file_is_recovered_at_once_but_for_its_texts(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.checkpoint(1, WEIGHTS, {"step": 1})
        recorder.metric("loss", 2, 2.0)
        recorder.flush()
    path, reader = workspace.run_path("run"), workspace.reader("run")
    before = reader.array("samples/radius").tolist()
    make_endless(path)
    (finding,) = [finding for finding in check(workspace) if finding.file == path.name]
    assert finding.verdict is Verdict.DAMAGED
    summary = recover(reader)
    assert summary is not None and not summary.damaged and "its file was damaged" in summary.reason
    assert reader.array("samples/radius").tolist() == before and seal.holds(path)
    assert reader.metrics("loss")["loss"].step.tolist() == [1, 2]  # the journal still has the first one, too
    assert path.with_name("run.h5.damaged").exists()


def test_a_file_that_another_program_changed_is_looked_through_once(workspace: Workspace, looked: list[Path]) -> None:
    path = ended_run(workspace)
    with h5py.File(path, "r+") as file:
        file.attrs["comment"] = "seen"
    for _ in range(3):
        assert not workspace.reader("run").summary().damaged
    assert looked == [path]
    os.utime(path, (1, 1))
    assert workspace.reader("run").metrics() and looked == [path, path]


def test_damage_that_hdf5_reports_is_harmless(workspace: Workspace) -> None:
    path = ended_run(workspace)
    for data in (b"", b"no HDF5", path.read_bytes()[:3000], path.read_bytes()[:-5000]):
        path.write_bytes(data)
        guard.forget()
        require_harmless(path)
        assert workspace.reader("run").summary().damaged


def test_a_piece_that_takes_too_long_is_named_and_the_next_file_finds_a_new_helper(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, sound = ended_run(workspace), ended_run(workspace, "sound")
    for path in (slow, sound):
        with h5py.File(path, "r+") as file:
            file.attrs["comment"] = "changed"
    shutil.move(slow, slow.with_suffix(".kept"))
    os.mkfifo(slow)  # opening it waits for ever for somebody to write
    monkeypatch.setattr(guard, "LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(seal, "holds", lambda path: False)
    with pytest.raises(Damaged, match="reading it takes longer than 1 s"):
        require_harmless(slow)
    require_harmless(sound)


def test_many_files_and_threads_share_one_helper_and_one_that_was_killed_is_replaced(workspace: Workspace) -> None:
    paths = [ended_run(workspace, f"run-{number}") for number in range(4)]
    for path in paths:
        make_endless(path)
    found: list[str] = []

    def look(path: Path) -> None:
        try:
            require_harmless(path)
        except Damaged as error:
            found.append(str(error))

    with guard.one_helper():
        threads = [threading.Thread(target=look, args=(path,)) for path in paths[:3] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        (process,) = helpers()
        process.kill()
        process.wait(10)
        with pytest.raises(Damaged, match="reads the texts"):
            require_harmless(paths[3])
        assert [other.pid for other in helpers()] != [process.pid]


def test_the_index_looks_through_all_foreign_files_with_one_helper(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        with h5py.File(ended_run(workspace, f"run-{number}"), "r+") as file:
            file.attrs["comment"] = "changed"
    started: list[float] = []
    start = Inspector.__init__

    def noting(inspector: Inspector, limit_seconds: float) -> None:
        started.append(limit_seconds)
        start(inspector, limit_seconds)

    monkeypatch.setattr(Inspector, "__init__", noting)
    assert [summary.damaged for summary in workspace.summaries()] == [False] * 4
    assert started == [guard.LIMIT_SECONDS]
