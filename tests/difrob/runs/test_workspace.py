"""Names, places and the bin of a workspace."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from support.recorded_runs import content_of, record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunState, Workspace, default_workspace, new_run_id

BAD_IDS = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "a..b",
    "a\\b",
    "a b",
    "-a",
    ".a",
    "a\n",
    "a\0",
    "ä",
    "x" * 152,
    "~",
]


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_an_id_that_is_no_plain_name_reaches_no_file(workspace: Workspace, run_id: str) -> None:
    secret = workspace.root / "x.h5"
    secret.write_bytes(b"x")
    for ask in (
        workspace.run_path, workspace.journal_path, workspace.output_path, workspace.reader, workspace.feed,
        workspace.remove_run, workspace.restore_run,
    ):  # fmt: skip
        with pytest.raises(UserError, match=re.escape(f"'{run_id}' is not a run id")):
            ask(run_id)
    with pytest.raises(UserError, match="not a run id"):
        recording(workspace, run_id).__enter__()
    assert secret.read_bytes() == b"x"


@pytest.mark.parametrize("run_id", ["a", "a.b", "a-b_c.D9", "x" * 151, "run.h5", "a.journal"])
def test_plain_names_are_run_ids_and_their_files_do_not_collide(workspace: Workspace, run_id: str) -> None:
    for name in (run_id, "a.b.c"):
        with recording(workspace, name) as recorder:
            recorder.finish(RunState.FINISHED)
    assert {summary.run_id for summary in workspace.summaries()} == {run_id, "a.b.c"}
    paths = [workspace.run_path(run_id), workspace.journal_path(run_id), workspace.output_path(run_id)]
    assert [path.name for path in paths] == [f"{run_id}.h5", f"{run_id}.journal", f"{run_id}.output"]
    assert all(path.parent == workspace.runs_folder for path in paths)


@pytest.mark.parametrize("name", ["", "A Name: with / everything!", "ünï", "---", "x" * 500, "../../etc"])
def test_fresh_ids_are_plain_names_and_differ(workspace: Workspace, name: str) -> None:
    ids = {new_run_id("train_denoiser", name) for _ in range(50)}
    assert len(ids) == 50
    for run_id in ids:
        assert re.fullmatch(r"\d{8}T\d{6}Z-[a-z0-9_-]+-[0-9a-f]{6}", run_id) and len(run_id) < 80
        workspace.run_path(run_id)


def test_a_run_is_found_by_id_name_beginning_or_end(workspace: Workspace) -> None:
    for number, (run_id, name) in enumerate([("2024-old-aaa", "old"), ("2024-new-bbb", "same"), ("2025-new-ccc", "same"),
                                             ("2026-x", "2024-old-aaa")]):  # fmt: skip
        with recording(workspace, run_id, created=1_700_000_000.0 + number) as recorder:
            recorder._summary = recorder._summary.__class__(**{**vars(recorder._summary), "name": name})
            recorder.finish(RunState.FINISHED)
    assert workspace.find("2024-old-aaa") == "2024-old-aaa"  # an id goes before a newer run of that name
    assert workspace.find("old") == "2024-old-aaa"
    with pytest.raises(UserError, match="2 runs are called 'same': 2025-new-ccc, 2024-new-bbb; name one by its id"):
        workspace.find("same")  # not silently the newest
    shutil.copy(workspace.run_path("2024-old-aaa"), workspace.run_path("2027-old-aaa"))
    assert workspace.find("old") == "2024-old-aaa" and workspace.find("2027") == "2027-old-aaa"
    assert workspace.find("2025") == "2025-new-ccc" and workspace.find("bbb") == "2024-new-bbb"
    with pytest.raises(UserError, match="'2024' fits 2 runs: 2024-new-bbb, 2024-old-aaa"):
        workspace.find("2024")
    for text in ("gone", "", "new"):
        with pytest.raises(UserError, match=f"there is no run '{text}'"):
            workspace.find(text)


def test_a_run_goes_into_the_bin_and_comes_back(workspace: Workspace) -> None:
    for run_id in ("run", "run.2"):
        with recording(workspace, run_id) as recorder:
            record_everything(recorder)
            recorder.finish(RunState.FINISHED)
    workspace.output_path("run").write_text("said")
    content, listed = content_of(workspace.reader("run")), workspace.summaries()
    assert workspace.remove_run("run") == workspace.root / "bin" / "run.h5"
    assert [summary.run_id for summary in workspace.summaries()] == ["run.2"]
    assert not workspace.output_path("run").exists()
    with pytest.raises(UserError, match="no run 'run'"):
        workspace.remove_run("run")
    workspace.restore_run("run")
    assert workspace.summaries() == listed and content_of(workspace.reader("run")) == content
    assert workspace.output_path("run").read_text() == "said" and not list((workspace.root / "bin").iterdir())


def test_what_a_dead_writer_left_goes_into_the_bin_as_a_whole(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.flush()
    content = content_of(workspace.reader("run"))
    workspace.remove_run("run")
    assert not list(workspace.runs_folder.iterdir())
    workspace.restore_run("run")
    assert content_of(workspace.reader("run")) == content


def test_a_live_run_stays(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        with pytest.raises(UserError, match="'run' is running and being written; stop it first"):
            workspace.remove_run("run")
        recorder.finish(RunState.FINISHED)
    assert workspace.reader("run").summary().state is RunState.FINISHED


def test_nothing_is_overwritten_by_restoring(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="no run 'run' in the bin"):
        workspace.restore_run("run")
    with recording(workspace) as recorder:
        recorder.finish(RunState.FINISHED)
    workspace.remove_run("run")
    workspace.run_path("run").write_bytes(b"another")
    with pytest.raises(UserError, match="there is a run 'run' again"):
        workspace.restore_run("run")
    assert workspace.run_path("run").read_bytes() == b"another"


def test_a_bin_that_cannot_be_made_is_told_and_nothing_moves(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.finish(RunState.FINISHED)
    (workspace.root / "bin").write_text("in the way")
    with pytest.raises(UserError, match="run 'run' cannot be moved to"):
        workspace.remove_run("run")
    assert workspace.run_path("run").exists()


def test_places_that_are_no_workspace_are_told_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot make a workspace at .*--workspace or DIFROB_WORKSPACE"):
            Workspace(place)
        with pytest.raises(UserError, match="is not a workspace"):
            Workspace(place, create=False)
    with pytest.raises(UserError, match="is not a workspace"):
        Workspace(tmp_path / "new", create=False)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="cannot tell which folder"):
        Workspace("~nobody-of-that-name/x")
    Workspace(tmp_path / "new" / "deep")
    assert Workspace(tmp_path / "new" / "deep", create=False).summaries() == []


def test_a_workspace_that_cannot_be_written_is_told(workspace: Workspace) -> None:
    workspace.require_writable()
    workspace.runs_folder.rmdir()
    workspace.runs_folder.write_text("in the way")
    with pytest.raises(UserError, match="cannot write into the workspace .*free some room"):
        workspace.require_writable()


def test_the_default_workspace_is_the_users_or_the_chosen_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_workspace() == Path(os.environ["XDG_DATA_HOME"]) / "difrob" / "workspace"
    monkeypatch.setenv("DIFROB_WORKSPACE", "/somewhere")
    assert default_workspace() == Path("/somewhere")
    monkeypatch.setenv("DIFROB_WORKSPACE", "~/there")
    assert default_workspace() == Path.home() / "there"


# The folder of sockets


def test_sockets_lie_in_a_private_folder_and_are_short(workspace: Workspace, tmp_path: Path) -> None:
    path = Path(workspace.socket_path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    deep = Workspace(tmp_path / ("x" * 200))
    assert len(deep.socket_path) == len(workspace.socket_path) and deep.socket_path != workspace.socket_path
    (tmp_path / "link").symlink_to(workspace.root)
    assert Workspace(tmp_path / "link").socket_path == workspace.socket_path


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o704])
def test_a_folder_that_others_may_enter_is_refused(workspace: Workspace, mode: int) -> None:
    folder = Path(workspace.socket_path).parent
    folder.chmod(mode)
    with pytest.raises(UserError, match=f"is not private to you .*mode {mode:o}.*chmod 700"):
        workspace.socket_path  # noqa: B018
    folder.chmod(0o700)
    assert workspace.socket_path


def test_a_link_or_a_file_in_place_of_the_folder_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "difrob").symlink_to(elsewhere)
    with pytest.raises(UserError, match="not private"):
        workspace.socket_path  # noqa: B018
    (tmp_path / "difrob").unlink()
    (tmp_path / "difrob").write_text("x")
    with pytest.raises(UserError, match="cannot make the folder .* for sockets"):
        workspace.socket_path  # noqa: B018


def test_somebody_elses_folder_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace.socket_path
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UserError, match="not private to you"):
        workspace.socket_path  # noqa: B018
