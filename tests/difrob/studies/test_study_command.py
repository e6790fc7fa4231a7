"""``difrob study`` on a real workspace: the record before the runs, the report from their files, what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.waiting import wait_until

from difrob.cli import main
from difrob.cli.queue import read_state
from difrob.errors import UserError
from difrob.runs import Measure, RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.studies.declaration import parse_study
from difrob.studies.plan import Plan, plan_study
from difrob.studies.report import report_on
from difrob.studies.study_records import begin, find_record, is_unchanged, study_records

DECLARED: dict[str, Any] = {
    "title": "Longer training", "claim": "Longer is better.", "source": "nowhere", "seeds": [0, 1, 2],
    "stages": {
        "classifier": {"kind": "train_classifier",
                       "spec": {"data.train_size": 50, "network.channels": [4, 8], "network.features": 8, "steps": 4,
                                "objective": "standard", "validate_every": 4, "validation_attack_steps": 1}},
        "attacked": {"kind": "evaluate",
                     "spec": {"classifier": "@classifier", "images": 20, "attack.steps": 1, "restarts": 1,
                              "sanity_checks": False}},
    },
    "arms": {"short": {"title": "4 steps"}, "long": {"title": "8 steps", "changes": {"classifier.steps": 8}}},
    "outcomes": {"clean": {"stage": "attacked", "result": "clean_accuracy", "better": "higher"}},
    "decisions": [{"test": "contrast", "name": "longer is better", "outcome": "clean",
                   "weights": {"long": 1, "short": -1}, "expected": "positive", "primary": True}],
}  # fmt: skip


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    path = tmp_path / "longer.json"
    path.write_text(json.dumps(DECLARED))
    return path


def finish(workspace: Workspace, plan: Plan, run_id: str, value: float, state: RunState = RunState.FINISHED) -> None:
    recorder = RunRecorder(workspace, run_id, plan.entries[run_id])
    recorder.result("clean_accuracy", Measure(value, unit="share"))
    recorder.finish(state, "" if state is RunState.FINISHED else "the disk was full")


def test_the_record_outlives_and_the_report_counts_only_finished_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    study = parse_study({**DECLARED, "name": "longer"}, "here")
    record = begin(workspace, study, plan_study(study))
    again = find_record(workspace, "longer")
    assert again.study == study and again.plan.cells == record.plan.cells and again.digest == record.digest
    assert list(again.plan.entries) == list(record.plan.entries) and study_records(workspace) == [again]
    assert find_record(workspace, record.study_id[-6:]).study_id == record.study_id

    empty = report_on(workspace, record)
    assert empty.states == {"queued": 12} and not empty.is_complete and empty.verdicts[0].word == "not enough data"
    values = {
        ("short", 0): 0.5,
        ("short", 1): 0.6,
        ("short", 2): 0.55,
        ("long", 0): 0.7,
        ("long", 1): 0.81,
        ("long", 2): 0.74,
    }
    for (arm, seed), value in values.items():
        finish(workspace, record.plan, record.plan.cells[arm, seed, "classifier"], 0.0)
        state = RunState.FAILED if (arm, seed) == ("long", 2) else RunState.FINISHED
        finish(workspace, record.plan, record.plan.cells[arm, seed, "attacked"], value, state)
    report = report_on(workspace, record)
    assert report.states == {"finished": 11, "failed": 1}
    assert report.unfinished == {record.plan.cells["long", 2, "attacked"]: "failed: the disk was full"}
    assert report.cells["long", "clean"].values == {0: 0.7, 1: 0.81}
    assert report.cells["short", "clean"].mean == pytest.approx(0.55)
    assert report.verdicts[0].seeds == 2 and report.verdicts[0].estimate == pytest.approx(0.205)


def test_an_arm_may_be_another_result_of_the_same_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    outcome = {**DECLARED["outcomes"]["clean"], "by_arm": {"long": "robust_accuracy"}}
    arms = {"short": {"title": "clean"}, "long": {"title": "attacked"}}
    study = parse_study({**DECLARED, "name": "two", "arms": arms, "outcomes": {"clean": outcome}}, "here")
    record = begin(workspace, study, plan_study(study))
    run_id = record.plan.cells["short", 0, "attacked"]
    assert record.plan.cells["long", 0, "attacked"] == run_id
    recorder = RunRecorder(workspace, run_id, record.plan.entries[run_id])
    recorder.result("clean_accuracy", Measure(0.75))
    recorder.result("robust_accuracy", Measure(0.5))
    recorder.finish(RunState.FINISHED)
    cells = report_on(workspace, record).cells
    assert cells["short", "clean"].values == {0: 0.75} and cells["long", "clean"].values == {0: 0.5}


def test_a_declaration_is_unchanged_but_for_what_decides_nothing(tmp_path: Path) -> None:
    study = parse_study({**DECLARED, "name": "longer"}, "here")
    record = begin(Workspace(tmp_path), study, plan_study(study))
    assert is_unchanged(record, study.model_copy(update={"seeds": (7,), "minutes": 3.0}))
    assert not is_unchanged(record, parse_study({**DECLARED, "name": "longer", "claim": "Shorter is better."}, "here"))


def test_a_refused_study_says_how_to_go_on(
    workspace: Workspace, declaration: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UserError("the supervisor is of an older kind")

    monkeypatch.setattr("difrob.cli.study.connect", refuse)
    assert main(["study", "run", str(declaration), "--workspace", str(workspace.root)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "older kind; the study was written down" in said and "'difrob study continue longer' tries again" in said
    assert [record.study.name for record in study_records(workspace)] == ["longer"]


def test_list_and_show(declaration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list", "--workspace", str(tmp_path / "w")]) == 0
    assert "digits-generated-data" in capsys.readouterr().out
    assert main(["study", "show", str(declaration)]) == 0
    shown = capsys.readouterr().out
    assert "Longer training" in shown and "classifier.steps = 8" in shown and "12 runs" in shown
    assert "decides (primary): longer is better" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["show", "nothing"], "there is no study 'nothing'"), (["report", "longer"], "has been run"),
     (["run", "digits-generated-data", "--seeds", "1,1"], "not a list of different whole numbers")],
)  # fmt: skip
def test_wrong_use(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace(tmp_path)
    extra = [] if arguments[0] == "show" else ["--workspace", str(tmp_path)]
    assert main(["study", *arguments, *extra]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_record_is_named_and_hides_no_other(tmp_path: Path) -> None:
    from difrob.errors import UserError

    workspace = Workspace(tmp_path)
    study = parse_study({**DECLARED, "name": "longer"}, "here")
    record = begin(workspace, study, plan_study(study))
    (tmp_path / "studies" / "20990101T000000Z-broken-000000.json").write_text('{"version": 1}')
    (tmp_path / "studies" / "20990101T000000Z-newer-000000.json").write_text('{"version": 99}')
    (tmp_path / "studies" / "20990101T000000Z-deep-000000.json").write_text("[" * 200_000)
    assert [r.study_id for r in study_records(workspace)] == [record.study_id]
    with pytest.raises(UserError, match="is damaged"):
        find_record(workspace, "broken")
    with pytest.raises(UserError, match="damaged: it is nested more than 64 deep; its runs are not affected"):
        find_record(workspace, "deep")
    with pytest.raises(UserError, match="version 99; this difrob reads up to 1"):
        find_record(workspace, "newer")


@pytest.mark.slow
def test_a_study_through_the_queue(workspace: Workspace, declaration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(workspace.root)]
    assert main(["study", "run", str(declaration), "--seeds", "0,1", "--json", *where]) == 0
    begun = json.loads(capsys.readouterr().out)
    assert len(begun["runs"]) == 8
    wait_until(lambda: all(s.state.is_end for s in workspace.summaries()) and len(workspace.summaries()) == 8, 240)
    assert main(["study", "report", begun["study_id"], "--json", *where]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["states"] == {"finished": 8} and report["verdicts"][0]["seeds"] == 2
    assert all(0 < cell["mean"] < 1 for cell in report["cells"])
    wait_until(lambda: all(entry.state.is_end for entry in read_state(workspace).entries))
    workspace.remove_run(begun["runs"][-1])
    assert main(["study", "report", "longer", *where]) == 3
    assert "study continue longer" in capsys.readouterr().out
    assert main(["study", "continue", "longer", *where]) == 0
    assert "1 runs queued anew, 0 resumed" in capsys.readouterr().out
    wait_until(lambda: report_on(workspace, find_record(workspace, "longer")).is_complete, 120)
