"""Names, paths and results are printed as they are, whatever brackets they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from difrob.cli import doctor, main
from difrob.cli.doctor import Finding
from difrob.cli.run import print_outcome
from difrob.runs import Measure, RunState, Workspace, new_run_id
from difrob.runs.causes import Cause
from difrob.runs.recorder import RunRecorder
from difrob.specs import parse_spec

NAMES = ("[/red] a", "[bold]b", ":smile: c")


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """One run per name; the first one has failed, and says why in brackets."""
    for name in NAMES:
        spec = parse_spec({"kind": "train_denoiser", "name": name})
        recorder = RunRecorder(workspace, new_run_id(spec.kind, name), spec)
        recorder.result("loss", Measure(0.5, 0.4, 0.6, description="of [all] images [/dim]"))
        recorder.note("look at [/this]", "warning")
        failed = name == NAMES[0]
        recorder.finish(*((RunState.FAILED, "no [/file]", Cause.BAD_INPUT) if failed else (RunState.FINISHED,)))
    return workspace


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return " ".join(capsys.readouterr().out.split())


def test_runs_are_listed_shown_and_compared(filled: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(filled.root)]
    listed = told(capsys, "runs", *place)
    assert all(name in listed for name in NAMES)
    shown = told(capsys, "show", NAMES[0], *place)
    assert "[/red] a train_denoiser failed no [/file]" in shown and "of [all] images [/dim]" in shown
    compared = told(capsys, "compare", *NAMES, *place)
    assert "results (value [interval])" in compared and all(name in compared for name in NAMES)


def test_an_outcome_names_reason_and_warnings(filled: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(filled.reader(filled.find(NAMES[0])).summary(), filled)
    outcome = " ".join(capsys.readouterr().out.split())
    assert "failed [/red] a: no [/file]" in outcome and "warning: look at [/this]" in outcome
    assert "loss: 0.5 [0.4, 0.6] of [all] images [/dim]" in outcome


def test_a_mend_is_printed_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding("Qt", "note", "in [/here]", "pip install -e '.[gui,test]'")
    monkeypatch.setattr(doctor, "window_findings", lambda: [finding])
    main(["doctor", "-w", str(workspace.root)])
    printed = capsys.readouterr().out
    assert "in [/here]" in printed and "pip install -e '.[gui,test]'" in printed


def test_one_run_cannot_be_compared(filled: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", NAMES[1], "-w", str(filled.root)]) == 2
    assert "two or more" in capsys.readouterr().err


def test_a_folder_may_have_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path / "[/x]")
    assert "[/x]" in told(capsys, "runs", "-w", str(workspace.root))
