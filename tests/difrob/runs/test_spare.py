"""Retention of checkpoints, and what a workspace can spare."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recorded_runs import WEIGHTS, content_of, record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.damage.file_parts import damage
from difrob.runs.retention import Retention, read_retention, write_retention
from difrob.runs.spare import Kind, find_spare, free

LAST = Retention(1, False)


def run_with_checkpoints(workspace: Workspace, run_id: str = "run", state: RunState = RunState.FINISHED) -> Path:
    with recording(workspace, run_id) as recorder:
        record_everything(recorder)
        for step in range(1, 6):
            recorder.checkpoint(step, WEIGHTS + bytes([step]), {"step": step}, best=step == 2)
        recorder.finish(state)
    return workspace.run_path(run_id)


def steps_of(path: Path) -> list[int]:
    with h5py.File(path) as file:
        return [int(key) for key in file["checkpoints"]]


@given(st.integers(1, 6), st.booleans(), st.sets(st.integers(0, 30)), st.data())
def test_the_newest_always_stays(last: int, keep_best: bool, steps: set[int], data: st.DataObject) -> None:
    keys = {f"{step:012d}" for step in steps}
    best = data.draw(st.sampled_from([None, *sorted(keys)]))
    kept = Retention(last, keep_best).kept(keys, best)
    assert kept <= keys and len(kept) <= last + keep_best
    assert set(sorted(keys)[-last:]) <= kept and (not keep_best or best is None or best in kept)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [2, 4, 5]), (Retention(1, True), [2, 5]), (Retention(3, False), [3, 4, 5]), (LAST, [5]),
        (Retention(9), [1, 2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_a_run_keeps_what_the_workspace_says(
    workspace: Workspace, setting: Retention | None, expected: list[int]
) -> None:
    if setting is not None:
        write_retention(workspace.root, setting)
        assert read_retention(workspace.root) == setting
    assert steps_of(run_with_checkpoints(workspace)) == expected
    assert [path.name for path in workspace.root.iterdir() if path.suffix == ".partial"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "are not right"), ("[]", "holds no object"), ('{"keep_last": 0}', "'keep_last' must be a whole number"),
        ('{"keep_last": true}', "'keep_last' must"), ('{"keep_last": 1e9}', "'keep_last' must"),
        ('{"keep_best": "yes"}', "'keep_best' must be true or false"), ('{"keep_lats": 1}', "no setting 'keep_lats'"),
        ("[" * 50_000, "are not right"), ("\xff", "are not right"), (" " * 70_000, "larger than"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_stop_a_run_at_its_start_and_the_mend_is_named(
    workspace: Workspace, text: str, words: str
) -> None:
    (workspace.root / "workspace.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=words) as caught:
        recording(workspace).__enter__()
    assert "workspace.json" in str(caught.value) and "difrob runs keep --last 2 --best" in str(caught.value)
    assert list(workspace.runs_folder.iterdir()) == []
    write_retention(workspace.root, Retention())
    assert json.loads((workspace.root / "workspace.json").read_text()) == {"keep_last": 2, "keep_best": True}


def test_checkpoints_beyond_the_retention_are_freed_and_nothing_else_changes(workspace: Workspace) -> None:
    path = run_with_checkpoints(workspace)
    reader = workspace.reader("run")
    before, summary = content_of(reader), reader.summary()
    assert find_spare(workspace, Retention()) == []
    (spare,) = find_spare(workspace, LAST)
    assert (spare.kind, spare.run_id, spare.size) == (Kind.CHECKPOINTS, "run", 2 * (len(WEIGHTS) + 1))
    assert steps_of(path) == [2, 4, 5]  # only shown so far
    assert free(workspace, spare, LAST) > 0
    assert steps_of(path) == [5] and content_of(reader) == before and damage(path) == ""
    after = reader.summary()
    assert (after.state, after.ended, after.reason) == (summary.state, summary.ended, summary.reason)
    assert find_spare(workspace, LAST) == [] and not workspace.journal_path("run").exists()
    with pytest.raises(UserError):
        Retention(0)


def test_a_run_whose_last_checkpoint_is_damaged_keeps_the_one_it_would_go_on_from(workspace: Workspace) -> None:
    path = run_with_checkpoints(workspace, state=RunState.INTERRUPTED)
    with h5py.File(path, "r+") as file:
        file["checkpoints/000000000005/weights"][0] ^= 1
    (spare,) = find_spare(workspace, LAST)
    with pytest.raises(
        UserError, match="step 5 of run 'run' is damaged, so the others stay; 'difrob runs recover run'"
    ):
        free(workspace, spare, LAST)
    assert steps_of(path) == [2, 4, 5] and workspace.reader("run").newest_whole_checkpoint()[0].step == 4  # type: ignore[union-attr]


def test_live_and_dead_runs_are_not_touched(workspace: Workspace) -> None:
    path = run_with_checkpoints(workspace, state=RunState.INTERRUPTED)
    (spare,) = find_spare(workspace, LAST)
    for name in (".run.0123abcd.partial", "run.output", "run.h5.damaged"):
        path.with_name(name).write_bytes(b"x")
    others = [thing for thing in find_spare(workspace, LAST) if thing.kind is not Kind.CHECKPOINTS]
    assert {thing.kind for thing in others} == {Kind.PARTIAL, Kind.OUTPUT, Kind.DAMAGED}
    with recording(workspace, resume=True) as recorder:
        recorder.flush()
        assert [thing.kind for thing in find_spare(workspace, LAST)] == []
        for thing in (spare, *others):
            with pytest.raises(UserError, match="being written"):
                free(workspace, thing, LAST)
    assert steps_of(path) == [2, 4, 5] and find_spare(workspace, LAST)  # dead now: the leftovers, but no checkpoints
    assert Kind.CHECKPOINTS not in {thing.kind for thing in find_spare(workspace, LAST)}
    with pytest.raises(UserError, match="was not brought to rest; 'difrob runs recover run'"):
        free(workspace, spare, LAST)
    assert workspace.journal_path("run").exists() and steps_of(path) == [2, 4, 5]


def test_only_what_is_old_enough_is_spared(workspace: Workspace) -> None:
    path = run_with_checkpoints(workspace)
    old, new = path.with_name("run.h5.damaged"), path.with_name("run.h5.damaged-2")
    for leftover in (old, new):
        leftover.write_bytes(b"xyz")
    long_ago = time.time() - 10 * 86_400
    os.utime(old, (long_ago, long_ago))
    assert [thing.path for thing in find_spare(workspace, LAST, older_than=5)] == [old]
    assert free(workspace, find_spare(workspace, LAST, older_than=5)[0], LAST) == 3
    assert not old.exists() and new.exists()


def test_the_bin_and_the_database_are_emptied(workspace: Workspace) -> None:
    run_with_checkpoints(workspace)
    workspace.summaries()
    workspace.remove_run("run")
    assert workspace.binned_runs() == ["run"]
    (binned,) = [thing for thing in find_spare(workspace, LAST) if thing.kind is Kind.BIN]
    assert free(workspace, binned, LAST) == binned.size and workspace.binned_runs() == []
    assert free(workspace, binned, LAST) == 0  # somebody else was quicker
    for thing in find_spare(workspace, LAST):
        assert thing.kind is Kind.DATABASE
        free(workspace, thing, LAST)
    assert find_spare(workspace, LAST) == [] and workspace.summaries() == []
