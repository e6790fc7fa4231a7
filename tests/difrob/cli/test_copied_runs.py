"""A copy of a run file is shown as one, counts as no run, and is compared with nothing that it repeats."""

from __future__ import annotations

import json
import shutil

import pytest
from support.recorded_runs import recording

from difrob.cli import main
from difrob.runs import Measure, RunState, Workspace


@pytest.fixture
def place(workspace: Workspace) -> list[str]:
    """A workspace with two runs of one name, and copies of the first one's file."""
    for run_id in ("first", "second"):
        with recording(workspace, run_id) as recorder:
            recorder.result("frechet_distance", Measure(0.5))
            recorder.finish(RunState.FINISHED)
    for run_id in ("copy-1", "copy-2"):
        shutil.copy(workspace.run_path("first"), workspace.run_path(run_id))
    return ["-w", str(workspace.root)]


def test_copies_are_listed_as_copies(
    place: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["runs", *place]) == 0
    assert capsys.readouterr().out.count("a run (copy of") == 2
    assert main(["runs", "--json", *place]) == 0
    told = {run["run_id"]: run["copy_of"] for run in json.loads(capsys.readouterr().out)}
    assert told == {"first": "", "second": "", "copy-1": "first", "copy-2": "first"}
    assert main(["show", "copy-1", *place]) == 0
    assert "a run (copy of first)" in capsys.readouterr().out
    main(["doctor", *place])
    assert "2 runs and 2 copies" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("pair", [("first", "copy-1"), ("copy-2", "first"), ("copy-1", "copy-2")])
def test_a_run_is_not_compared_with_its_copy(
    place: list[str], pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *pair, "second", *place]) == 2
    assert "is a copy of that of 'first', so it is the same run twice" in capsys.readouterr().err
    assert main(["compare", "second", "copy-1", *place]) == 0
    assert "(copy of first)" in " ".join(capsys.readouterr().out.split())


def test_a_name_that_two_runs_bear_is_refused_with_both_ids(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "a run", *place]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "2 runs are called 'a run': second, first; name one by its id" in told and "did you mean" not in told
