"""The list of runs: always right, whatever happened to the index, and quick when it is whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.recorded_runs import record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunReader, RunState, RunSummary, Workspace


def make_runs(workspace: Workspace, count: int = 3) -> list[str]:
    """Finished runs, oldest first."""
    names = [f"run-{number}" for number in range(count)]
    for number, name in enumerate(names):
        with recording(workspace, name, created=1_700_000_000.0 + number) as recorder:
            recorder.metric("loss", 1, number)
            recorder.finish(RunState.FINISHED)
    return names


def truth(workspace: Workspace) -> list[RunSummary]:
    """What the files say, without any index."""
    stems = {path.stem for path in workspace.runs_folder.glob("*.*") if path.suffix in (".h5", ".journal")}
    summaries = [workspace.reader(stem).summary() for stem in stems]
    return sorted(summaries, key=lambda summary: (summary.created, summary.run_id), reverse=True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run files that were opened, by name."""
    names: list[str] = []
    original = RunReader.folded_summary

    def folded_summary(reader: RunReader) -> RunSummary | None:
        names.append(reader.run_id)
        return original(reader)

    monkeypatch.setattr(RunReader, "folded_summary", folded_summary)
    return names


def test_runs_are_listed_newest_first_and_files_are_opened_once(workspace: Workspace, opened: list[str]) -> None:
    names = make_runs(workspace)
    opened.clear()
    assert [summary.run_id for summary in workspace.summaries()] == names[::-1]
    assert sorted(opened) == names
    opened.clear()
    expected = truth(workspace)
    assert workspace.summaries() == expected and not opened
    assert Workspace(workspace.root).summaries() == expected and not opened  # another process finds the index


def test_the_index_holds_what_the_files_say(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        summary = recorder.finish(RunState.FAILED, "because")
    workspace.summaries()
    assert Workspace(workspace.root).summaries() == [summary] == truth(workspace)
    assert summary.size == workspace.run_path("run").stat().st_size


def delete(database: Path) -> None:
    database.unlink()


def garbage(database: Path) -> None:
    database.write_bytes(b"garbage" * 1000)


def half(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def sql(*statements: str) -> Any:
    def act(database: Path) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return act


HARM = {
    "deleted": delete,
    "garbage": garbage,
    "half": half,
    "a folder in its place": a_folder,
    "another table": sql(
        "DROP TABLE run_index", "CREATE TABLE run_index (a, b)", "INSERT INTO run_index VALUES (1, 2)"
    ),
    "no JSON": sql("UPDATE run_index SET summary = '{'"),
    "a list": sql("UPDATE run_index SET summary = '[]'"),
    "a number": sql("UPDATE run_index SET summary = 5"),
    "nothing": sql("UPDATE run_index SET summary = NULL"),
    "unknown state": sql("UPDATE run_index SET summary = replace(summary, 'finished', 'odd')"),
    "missing fields": sql('UPDATE run_index SET summary = \'{"state": "finished"}\''),
    "bytes": sql("UPDATE run_index SET summary = x'00ff'"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_harmed_index_changes_nothing_in_the_list(workspace: Workspace, harm: str) -> None:
    make_runs(workspace)
    expected = workspace.summaries()
    HARM[harm](workspace.database)
    for _ in range(2):
        assert Workspace(workspace.root).summaries() == expected
    if harm not in ("garbage", "half", "a folder in its place", "another table"):
        opened: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunReader, "folded_summary", lambda reader: opened.append(reader.run_id))
            assert Workspace(workspace.root).summaries() == expected
        assert not opened  # it has been mended


def test_the_other_tables_of_the_database_are_left_alone(workspace: Workspace) -> None:
    sql("CREATE TABLE queue (x)", "INSERT INTO queue VALUES (5)")(workspace.database)
    make_runs(workspace)
    workspace.summaries()
    with closing(sqlite3.connect(workspace.database)) as connection:
        assert connection.execute("SELECT x FROM queue").fetchall() == [(5,)]
        assert connection.execute("SELECT count(*) FROM run_index").fetchone() == (3,)


def test_a_database_that_somebody_holds_makes_the_list_no_less_right(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_runs(workspace)
    connect = sqlite3.connect
    with closing(connect(workspace.database)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: connect(path, timeout=0.05))
        assert workspace.summaries() == truth(workspace)
    assert Workspace(workspace.root).summaries() == truth(workspace)


def test_changed_removed_new_and_damaged_files_are_noticed(workspace: Workspace, opened: list[str]) -> None:
    names = make_runs(workspace)
    before = {summary.run_id: summary for summary in workspace.summaries()}
    with h5py.File(workspace.run_path(names[0]), "r+") as file:
        file.attrs["summary"] = file.attrs["summary"].replace("a run", "renamed")
    workspace.run_path(names[1]).unlink()
    shutil.copy(workspace.run_path(names[2]), workspace.runs_folder / "copy.h5")
    workspace.run_path("damaged").write_bytes(b"no HDF5")
    opened.clear()
    listed = {summary.run_id: summary for summary in workspace.summaries()}
    assert sorted(opened) == ["copy", "damaged", names[0]]
    assert listed[names[0]].name == "renamed" and names[1] not in listed
    assert listed[names[2]] == before[names[2]]
    assert listed["copy"] == dataclasses.replace(
        before[names[2]], run_id="copy", written_as=names[2], copy_of=names[2]
    )  # its name counts, not what it was
    assert listed["damaged"].damaged and "damaged" in listed["damaged"].reason
    assert listed["damaged"].state is RunState.FAILED
    with closing(sqlite3.connect(workspace.database)) as connection:
        assert {row[0] for row in connection.execute("SELECT file FROM run_index")} == {names[0], names[2], "copy"}
    shutil.copy(workspace.run_path(names[2]), workspace.run_path("damaged"))
    assert not {summary.run_id: summary for summary in workspace.summaries()}["damaged"].damaged


def test_live_runs_are_listed_as_they_stand(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        for step in (1, 2):
            recorder.progress(step, 10)
            recorder.flush()
            assert [(s.state, s.progress.done) for s in workspace.summaries()] == [(RunState.RUNNING, step)]
        recorder.checkpoint(2, b"", {})
        assert workspace.summaries() == truth(workspace) and workspace.summaries()[0].has_checkpoint
        finished = recorder.finish(RunState.FINISHED)
    assert workspace.summaries() == [finished]


def test_other_files_in_the_folder_are_passed_over(workspace: Workspace) -> None:
    names = make_runs(workspace, 1)
    for name in (
        ".hidden.h5",
        ".h5",
        "notes.txt",
        "h5",
        "x.h5.damaged",
        "x.journal.damaged",
        ".run.partial",
        "x.output",
    ):
        (workspace.runs_folder / name).write_bytes(b"x")
    (workspace.runs_folder / "folder.h5").mkdir()
    (workspace.runs_folder / "link.h5").symlink_to(workspace.root / "nowhere")
    assert [summary.run_id for summary in workspace.summaries()] == names


def test_a_file_that_vanishes_while_the_folder_is_listed_is_left_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = make_runs(workspace)
    scandir = os.scandir

    def racing(folder: Path) -> Any:
        entries = list(scandir(folder))
        workspace.run_path(names[1]).unlink(missing_ok=True)

        class Listing(list):  # type: ignore[type-arg]
            def __enter__(self) -> Any:
                return iter(entries)

            def __exit__(self, *arguments: object) -> None: ...

        return Listing()

    monkeypatch.setattr(os, "scandir", racing)
    assert [summary.run_id for summary in workspace.summaries()] == [names[2], names[0]]


@pytest.mark.parametrize(
    "change",
    [{"created": "yesterday"}, {"created": None}, {"ended": [1]}, {"spec": 5}, {"results": {"r": {}}}, {"results": [1]},
     {"results": {"r": {"value": "much"}}}, {"progress": {"done": "x"}}, {"progress": 1}, {"parents": "x"}, {"state": 7}],
)  # fmt: skip
def test_a_summary_of_the_wrong_types_is_damage_and_hides_no_other(
    workspace: Workspace, change: dict[str, Any]
) -> None:
    names = make_runs(workspace, 2)
    with h5py.File(workspace.run_path(names[0]), "r+") as file:
        file.attrs["summary"] = json.dumps(json.loads(file.attrs["summary"]) | change)
    listed = {summary.run_id: summary for summary in workspace.summaries()}
    assert listed[names[0]].damaged and not listed[names[1]].damaged


def test_a_summary_of_a_later_version_is_read_as_far_as_it_is_known(workspace: Workspace) -> None:
    names = make_runs(workspace, 1)
    before = workspace.summaries()
    with h5py.File(workspace.run_path(names[0]), "r+") as file:
        summary = json.loads(file.attrs["summary"])
        file.attrs["summary"] = json.dumps(summary | {"x": 1, "progress": {**summary["progress"], "x": 1}})
    assert workspace.summaries() == [dataclasses.replace(before[0], size=workspace.run_path(names[0]).stat().st_size)]


def test_a_folder_that_is_gone_is_told_in_a_sentence(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root)
    with pytest.raises(UserError, match="folder of runs .* cannot be read: No such file"):
        workspace.summaries()


def test_threads_and_processes_list_the_same_at_once(workspace: Workspace) -> None:
    make_runs(workspace, 5)
    expected = [summary.run_id for summary in truth(workspace)]
    code = (
        "import sys; from difrob.runs import Workspace\n"
        "for _ in range(10): names = [s.run_id for s in Workspace(sys.argv[1]).summaries()]\n"
        "print(*names)"
    )
    command = [sys.executable, "-c", code, str(workspace.root)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found: list[list[str]] = []
    shared = Workspace(workspace.root)

    def look() -> None:
        for number in range(10):
            folder = shared if number % 2 else Workspace(workspace.root)
            found.append([summary.run_id for summary in folder.summaries()])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        assert process.communicate(timeout=60)[0].split() == expected and process.returncode == 0
    assert found == [expected] * 40


def test_without_time_the_newest_runs_come_first_and_the_others_with_the_next_calls(
    workspace: Workspace, opened: list[str]
) -> None:
    names = make_runs(workspace, 4)
    opened.clear()
    listed = []
    for left in (3, 2, 1, 0):
        listed.append([summary.run_id for summary in workspace.summaries(within=0)])
        assert workspace.unlisted_runs == left
    assert listed == [names[:-2:-1], names[:-3:-1], names[:-4:-1], names[::-1]]
    assert sorted(opened) == names
    assert workspace.summaries() == truth(workspace)


def test_a_run_that_has_changed_keeps_its_row_until_there_is_time_for_it(workspace: Workspace) -> None:
    names = make_runs(workspace, 3)
    before = workspace.summaries()
    for name in names:
        os.utime(workspace.run_path(name), (1, 1))
    assert workspace.summaries(within=0) == before
    assert workspace.unlisted_runs == 2
    assert workspace.summaries() == before and workspace.unlisted_runs == 0


def copies_in(workspace: Workspace) -> dict[str, str]:
    return {summary.run_id: summary.copy_of for summary in workspace.summaries()}


def test_a_copied_file_is_told_by_the_id_in_it(workspace: Workspace) -> None:
    make_runs(workspace, 2)
    shutil.copy(workspace.run_path("run-0"), workspace.run_path("a-copy"))
    shutil.copy(workspace.run_path("run-0"), workspace.run_path("run-0-again"))
    expected = {"run-0": "", "run-1": "", "a-copy": "run-0", "run-0-again": "run-0"}
    assert copies_in(workspace) == expected
    assert copies_in(Workspace(workspace.root)) == expected  # as the index says it
    workspace.run_path("run-0").rename(workspace.run_path("renamed"))
    assert copies_in(workspace) == {"run-1": "", "a-copy": "", "renamed": "a-copy", "run-0-again": "a-copy"}
    for name in ("a-copy", "run-0-again"):
        workspace.run_path(name).unlink()
    assert copies_in(workspace) == {"run-1": "", "renamed": ""}, "a file that was only renamed is no copy"


def test_a_copy_that_goes_on_is_a_run_of_its_own(workspace: Workspace) -> None:
    with recording(workspace, "first") as recorder:
        recorder.checkpoint(1, b"weights", {})
        recorder.finish(RunState.INTERRUPTED)
    shutil.copy(workspace.run_path("first"), workspace.run_path("second"))
    assert copies_in(workspace) == {"first": "", "second": "first"}
    with recording(workspace, "second", resume=True) as recorder:
        recorder.finish(RunState.FINISHED)
    assert copies_in(workspace) == {"first": "", "second": ""}


def test_a_row_of_before_copies_were_told_apart_is_read_anew(workspace: Workspace, opened: list[str]) -> None:
    make_runs(workspace, 1)
    shutil.copy(workspace.run_path("run-0"), workspace.run_path("copy"))
    workspace.summaries()
    sql("UPDATE run_index SET summary = json_remove(summary, '$.written_as')")(workspace.root / "workspace.db")
    opened.clear()
    assert copies_in(Workspace(workspace.root)) == {"run-0": "", "copy": "run-0"} and sorted(opened) == [
        "copy",
        "run-0",
    ]
