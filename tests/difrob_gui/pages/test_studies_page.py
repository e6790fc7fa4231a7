"""The Studies page: what is shipped, what was begun, how it stands, and what its buttons ask of the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from support.gui_fakes import FakeClient

from difrob.runs import Measure, RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.studies.declaration import parse_study
from difrob.studies.plan import plan_study
from difrob.studies.study_records import StudyRecord, begin
from difrob.worker.messages import Entry
from difrob_gui.feeds import FeedHub
from difrob_gui.models.study_shelf import StudyList, StudyShelf, read_studies
from difrob_gui.pages.studies import StudiesPage

PATIENCE = 30_000
DECLARED: dict[str, Any] = {
    "name": "longer", "title": "Is longer better?", "claim": "Longer is better.", "source": "nowhere", "seeds": [0, 1, 2],
    "stages": {
        "classifier": {"kind": "train_classifier", "spec": {"steps": 4, "objective": "standard"}},
        "attacked": {"kind": "evaluate", "spec": {"classifier": "@classifier", "images": 20}},
    },
    "arms": {"short": {"title": "4 steps"}, "long": {"title": "8 steps", "changes": {"classifier.steps": 8}}},
    "outcomes": {"clean": {"stage": "attacked", "result": "clean_accuracy", "better": "higher"}},
    "decisions": [
        {"test": "contrast", "name": "longer is better", "outcome": "clean", "weights": {"long": 1, "short": -1},
         "expected": "positive", "primary": True},
        {"test": "contrast", "name": "longer is worse", "outcome": "clean", "weights": {"long": -1, "short": 1},
         "expected": "positive"},
    ],
}  # fmt: skip


def begun(workspace: Workspace) -> StudyRecord:
    study = parse_study(DECLARED, "here")
    return begin(workspace, study, plan_study(study))


def finish(workspace: Workspace, record: StudyRecord, run_id: str, value: float | None) -> None:
    recorder = RunRecorder(workspace, run_id, record.plan.entries[run_id])
    if value is None:
        recorder.finish(RunState.FAILED, "the disk was full")
        return
    recorder.result("clean_accuracy", Measure(value, unit="share"))
    recorder.finish(RunState.FINISHED, "")


def finish_all(workspace: Workspace, record: StudyRecord) -> None:
    for (arm, seed, stage), run_id in record.plan.cells.items():
        finish(workspace, record, run_id, 0.5 + 0.2 * (arm == "long") + 0.001 * seed * (stage == "attacked"))


@pytest.fixture
def make_page(qtbot: QtBot, workspace: Workspace) -> Iterator[Callable[[], StudiesPage]]:
    made: list[tuple[StudiesPage, FeedHub]] = []

    def make() -> StudiesPage:
        hub = FeedHub(workspace)
        page = StudiesPage(hub, FakeClient(), StudyShelf(hub))
        made.append((page, hub))
        qtbot.addWidget(page)
        page.resize(800, 800)
        page.show()
        page.shelf.refresh()
        qtbot.waitUntil(lambda: page.shelf.is_read and hub.is_complete, timeout=PATIENCE)
        return page

    yield make
    for page, hub in made:
        page.close_down()
        hub.close()


def client_of(page: StudiesPage) -> FakeClient:
    assert isinstance(page._client, FakeClient)
    return page._client


def test_what_is_shipped_is_explained_before_anything_runs(qtbot: QtBot, make_page: Callable[[], StudiesPage]) -> None:
    page = make_page()
    shown = page.current
    assert shown is not None and shown.record is None and shown.runs > 0
    assert page.view.title.text() == shown.study.title and page.view.claim.text() == shown.study.claim
    assert page.view.verdicts.words == ["To be decided"] * len(shown.study.decisions)
    assert page.view.begin_button.text() == "Begin" and not page.view.continue_button.isVisible()
    assert page.allows("study.run") and not page.allows("study.continue")
    assert page.view.arms.rowCount() == len(shown.study.arms)
    page.view.seeds.setText("1, 1")
    assert not page.view.begin_button.isEnabled() and "whole numbers" in page.view.seeds_problem.text()


def test_beginning_writes_the_record_and_queues_every_run(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    page = make_page()
    page.view.seeds.setText("5")
    with qtbot.waitSignal(page.notice, timeout=PATIENCE) as told:
        page.view.begin()
    assert told.args[1] == "good"
    name, args = client_of(page).calls[-1]
    (found,) = read_studies(workspace).begun
    assert name == "submit" and [entry["run_id"] for entry in args["entries"]] == found.run_ids
    assert found.study.seeds == (5,)
    qtbot.waitUntil(lambda: page.current is not None and page.current.key == found.key, timeout=PATIENCE)
    assert page.view.begin_button.text() == "Begin anew" and page.view.continue_button.isVisible()


def test_a_queue_that_refuses_leaves_the_record_and_says_the_mend(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    page = make_page()
    client_of(page).error = "no supervisor"
    with qtbot.waitSignal(page.notice, timeout=PATIENCE) as told:
        page.view.begin()
    assert "not queued: no supervisor" in told.args[0] and "Continue" in told.args[0]
    assert len(read_studies(workspace).begun) == 1


def test_the_report_of_a_finished_study(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    record = begun(workspace)
    finish_all(workspace, record)
    page = make_page()
    assert page.current is not None and page.current.key == record.study_id
    qtbot.waitUntil(lambda: page.view.verdicts.words == ["Supported", "Contradicted"], timeout=PATIENCE)
    qtbot.waitUntil(lambda: page.view.states.text() == "12 finished", timeout=PATIENCE)
    assert page.view.arms.index(1, 1).data().startswith("70.1 % [")
    assert page.view.arms.index(1, 2).data() == "classifier.steps = 8"
    assert not page.view.continue_button.isEnabled()
    assert page.model.index(0, 1).data() == "12 of 12 runs"
    with qtbot.waitSignal(page.compare_wanted) as told:
        page.compare()
    assert sorted(told.args[0]) == sorted(
        id_ for (_, _, stage), id_ in record.plan.cells.items() if stage == "attacked"
    )


def test_news_of_runs_brings_a_new_report_and_nothing_else_does(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    record = begun(workspace)
    page = make_page()
    qtbot.waitUntil(lambda: page.view.verdicts.words == ["Not enough data"] * 2, timeout=PATIENCE)
    asked: list[str] = []
    page.shelf.reported.connect(lambda key, *_: asked.append(key))
    page._stand()
    qtbot.wait(100)
    assert asked == []
    finish_all(workspace, record)
    page._feeds.refresh()
    qtbot.waitUntil(lambda: page.view.verdicts.words == ["Supported", "Contradicted"], timeout=PATIENCE)
    assert asked and set(asked) == {record.study_id}


def test_continuing_asks_for_what_is_missing_only(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    record = begun(workspace)
    first, second, third, *rest = record.plan.entries
    finish(workspace, record, first, 0.5)
    finish(workspace, record, second, None)
    page = make_page()
    client = client_of(page)
    client.mirror.entries[third] = Entry(run_id=third, spec={"kind": "evaluate"}, state=RunState.QUEUED)
    client.entry_changed.emit(third)
    qtbot.waitUntil(lambda: page.view.states.text() == "1 finished, 1 failed, 1 queued, 9 not begun", timeout=PATIENCE)
    assert "the disk was full" in page.view.unfinished.text()
    with qtbot.waitSignal(page.notice) as told:
        page.go_on()
    assert told.args[0] == "9 runs queued anew, 1 resumed."
    assert [name for name, _ in client.calls] == ["submit", "resume"] and client.calls[1][1] == {"run_id": second}
    assert [entry["run_id"] for entry in client.calls[0][1]["entries"]] == rest


def test_a_record_that_cannot_be_read_does_not_hide_the_others(
    qtbot: QtBot, make_page: Callable[[], StudiesPage], workspace: Workspace
) -> None:
    record = begun(workspace)
    (workspace.root / "studies" / "20200101T000000Z-broken-ffffff.json").write_text("{")
    assert [shown.key for shown in read_studies(workspace).begun] == [record.study_id]
    page = make_page()
    page.shelf.studies = StudyList(problems=["study 'x' is broken"])
    page.shelf.changed.emit()
    assert "study 'x' is broken" in page.problem.message
