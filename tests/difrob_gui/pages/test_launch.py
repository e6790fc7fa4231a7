"""The Launch page: from a card to entries in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.fake_workspace import FakeWorkspace

from difrob.runs import RunState
from difrob.specs import KINDS, Preset
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.pages.launch import COMPACT_BELOW, LaunchPage
from difrob_gui.widgets.run_picker import RunOption

OPTIONS = [
    RunOption("den", "train_denoiser", "edm", RunState.FINISHED, 10.0),
    RunOption("gen", "generate", "digits 5k", RunState.RUNNING, 20.0),
    RunOption("cls", "train_classifier", "trades", RunState.FINISHED, 30.0),
]


@pytest.fixture
def server(qapp: object, tmp_path: Path) -> Iterator[FakeSupervisor]:
    server = FakeSupervisor(tmp_path / "supervisor.sock")
    server.answers["submit"] = lambda args: {"run_ids": [f"run{i}" for i, _ in enumerate(args["entries"])]}
    yield server
    server.close()


@pytest.fixture
def page(qtbot: QtBot, server: FakeSupervisor, tmp_path: Path) -> Iterator[LaunchPage]:
    workspace = FakeWorkspace(tmp_path)
    hub = FeedHub(workspace)
    client = SupervisorClient(workspace.socket_path, tmp_path, autostart=False)
    page = LaunchPage(hub, client)
    qtbot.addWidget(page)
    page.set_run_options(OPTIONS)
    page.resize(900, 700)
    page.show()
    with qtbot.waitSignal(client.connected):
        client.open()
    yield page
    client.close()
    hub.close()


def submitted(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> list[dict[str, Any]]:
    with qtbot.waitSignal(page.submitted):
        page.start()
    return server.named("submit")[-1]["entries"]


def test_a_card_for_each_kind_with_its_title_and_summary(qtbot: QtBot, page: LaunchPage) -> None:
    assert list(page._cards) == list(KINDS)
    for kind, card in page._cards.items():
        assert card.text() == KINDS[kind].title and card.summary == KINDS[kind].summary
        qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
        assert page.kind == kind and card.isChecked()
        assert page._title.text() == KINDS[kind].title
        assert page.form.isVisible()


def test_one_run(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    page.choose_kind("train_denoiser")
    page.header.name.setText("first")
    page.header.name.textEdited.emit("first")
    assert page.message.text() == "Will submit 1 run with seed 0 on any device."
    (entry,) = submitted(qtbot, page, server)
    assert entry["spec"]["kind"] == "train_denoiser" and entry["spec"]["name"] == "first"
    assert entry["spec"]["seed"] == 0 and entry["lane"] == "any" and entry["after"] == []
    assert page.start_button.isEnabled()
    assert page.header.name.text() == "", "the next run wants a name of its own"


def test_one_entry_per_seed(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    page.choose_kind("train_denoiser")
    page.header.name.setText("x" * 80)
    page.header.seed.setText("5")
    page.header.count.setValue(3)
    assert page.start_button.text() == "Start 3 runs"
    assert "3 runs with seeds 5 to 7" in page.message.text()
    entries = submitted(qtbot, page, server)
    assert [entry["spec"]["seed"] for entry in entries] == [5, 6, 7]
    assert [entry["spec"]["name"][-6:] for entry in entries] == ["seed 5", "seed 6", "seed 7"]
    assert all(len(entry["spec"]["name"]) == 80 for entry in entries)


def test_a_live_input_is_waited_for_and_a_finished_one_is_not(
    qtbot: QtBot, page: LaunchPage, server: FakeSupervisor
) -> None:
    page.choose_kind("train_classifier")
    page.form.rows["generated"].editor.set_value("gen")
    page.form.validate()
    assert "after “digits 5k”" in page.message.text()
    (entry,) = submitted(qtbot, page, server)
    assert entry["after"] == ["gen"] and entry["spec"]["generated"] == "gen"
    page.choose_kind("evaluate")
    page.form.rows["classifier"].editor.set_value("cls")
    (entry,) = submitted(qtbot, page, server)
    assert entry["after"] == [] and entry["spec"]["classifier"] == "cls"


def test_what_is_missing_is_said_and_nothing_is_submitted(
    qtbot: QtBot, page: LaunchPage, server: FakeSupervisor
) -> None:
    page.choose_kind("certify")
    assert page.message.text() == "Classifier: must be given"
    page.start()
    assert page.form.rows["classifier"].problem.isVisible()
    assert server.named("submit") == []
    page.header.seed.setText("-1")
    page.header.seed.textEdited.emit("-1")
    assert "seed" in page.header.problem.text()


def test_a_refusal_of_the_supervisor_is_told_and_the_form_stays(
    qtbot: QtBot, page: LaunchPage, server: FakeSupervisor
) -> None:
    def refuse(_args: dict[str, Any]) -> None:
        raise ValueError("the queue is full")

    server.answers["submit"] = refuse
    page.choose_kind("train_denoiser")
    page.form.rows["steps"].set_value(9)
    with qtbot.waitSignal(page.failed) as told:
        page.start()
    assert told.args == ["Not submitted: the queue is full"]
    assert page.form.rows["steps"].editor.value() == 9
    assert page.start_button.isEnabled()


def test_a_second_start_while_one_is_on_its_way_does_nothing(
    qtbot: QtBot, page: LaunchPage, server: FakeSupervisor
) -> None:
    page.choose_kind("train_denoiser")
    with qtbot.waitSignal(page.submitted):
        page.start()
        assert not page.start_button.isEnabled() and page.start_button.text() == "Submitting …"
        page.start()
    assert len(server.named("submit")) == 1


def test_duplicate_with_changes(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    spec = {"kind": "train_classifier", "name": "beta 2", "seed": 4, "beta": 2.0, "generated": "gen"}
    page.duplicate(spec, "beta 2")
    assert page.kind == "train_classifier"
    assert page.header.name.text() == "beta 2" and page.header.seed.text() == "4"
    assert page._banner.isVisible() and "beta 2" in page._banner_text.text()
    assert page.form.changed_paths() == []
    line = page.form.rows["beta"].editor.inner
    assert isinstance(line, QLineEdit)
    line.selectAll()
    qtbot.keyClicks(line, "3")
    assert page.form.changed_paths() == ["beta"]
    (entry,) = submitted(qtbot, page, server)
    assert entry["spec"]["beta"] == 3.0 and entry["spec"]["seed"] == 4 and entry["spec"]["generated"] == "gen"
    page._banner_button.click()
    assert page.form.rows["beta"].editor.value() == 5.0 and not page._banner.isVisible()


def test_editing_a_waiting_entry_saves_it_in_place(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    spec = {"kind": "train_denoiser", "name": "slow", "seed": 1, "steps": 4000}
    page.edit(make_entry("waiting", spec=spec, lane="cpu"), "slow")
    assert page.start_button.text() == "Save"
    assert not page.header.count.isEnabled()
    page.form.rows["steps"].editor.set_value(10)
    with qtbot.waitSignal(page.saved) as told:
        page.start()
    assert told.args == ["waiting"]
    (call,) = server.named("edit")
    assert call["run_id"] == "waiting" and call["spec"]["steps"] == 10 and call["lane"] == "cpu"
    assert server.named("submit") == []
    assert page.start_button.text() == "Start" and page.header.count.isEnabled()


def test_leaving_an_edit_submits_anew(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    page.edit(make_entry("waiting", spec={"kind": "train_denoiser", "name": "n", "seed": 0}), "n")
    page._banner_button.click()
    submitted(qtbot, page, server)
    assert server.named("edit") == []


def test_presets_fill_the_form_and_keep_inputs(qtbot: QtBot, page: LaunchPage) -> None:
    page._on_presets(
        [
            Preset("fast", "train_classifier", "Fast", "A quick look.", {"steps": 20, "objective": "standard"}),
            Preset("other", "train_denoiser", "Other", "For another kind.", {}),
        ]
    )
    page.choose_kind("train_classifier")
    assert [page.presets.box.itemText(row) for row in range(page.presets.box.count())] == ["Defaults", "Fast"]
    page.form.rows["generated"].editor.set_value("gen")
    page.presets.box.setCurrentIndex(1)
    page.presets.box.activated.emit(1)
    assert page.presets.text.text() == "A quick look."
    assert page.form.spec.steps == 20 and page.form.spec.generated == "gen"
    page.presets.box.setCurrentIndex(0)
    page.presets.box.activated.emit(0)
    assert page.form.spec.steps == 600 and page.form.spec.generated == "gen"


def test_lanes_come_from_the_supervisor(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    server.set_entries(lanes=["cpu", "cuda:0"])
    qtbot.waitUntil(lambda: page.header.lane.count() == 3)
    assert [page.header.lane.itemText(row) for row in range(3)] == ["Any device", "CPU", "GPU 0"]
    page.header.lane.setCurrentIndex(2)
    page.choose_kind("train_denoiser")
    (entry,) = submitted(qtbot, page, server)
    assert entry["lane"] == "cuda:0"


def test_a_run_of_an_unknown_kind_is_refused_in_words(qtbot: QtBot, page: LaunchPage) -> None:
    with qtbot.waitSignal(page.failed) as told:
        page.duplicate({"kind": "magic"}, "m")
    assert "does not know the method “magic”" in told.args[0]


def test_help_follows_the_focus(qtbot: QtBot, page: LaunchPage) -> None:
    page.choose_kind("train_classifier")
    page.activateWindow()
    page.form.rows["beta"].focused.emit("beta")
    assert "Weight of the robust term" in page._help.text()
    assert "Wang et al. 2023" in page._help.text()


def test_cards_shrink_before_the_form_does(qtbot: QtBot, page: LaunchPage) -> None:
    wide = page._methods.width()
    page.resize(COMPACT_BELOW - 60, 600)
    assert page._methods.width() < wide
    assert all(card.height() >= card.heightForWidth(card.width()) for card in page._cards.values())


def test_the_chosen_card_comes_into_sight(qtbot: QtBot, page: LaunchPage) -> None:
    page.resize(900, 400)
    for kind in (list(KINDS)[-1], next(iter(KINDS))):
        page.choose_kind(kind)
        qtbot.waitUntil(lambda kind=kind: _in_sight(page, kind))


def _in_sight(page: LaunchPage, kind: str) -> bool:
    card = page._cards[kind]
    return card.isChecked() and card.visibleRegion().boundingRect().height() == card.height()
