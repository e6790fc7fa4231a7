"""The form tells at the field that an input does not fit, and what is read for it is read elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.input_runs import a_denoiser, a_set, add_images

from difrob.runs import RunState, Workspace
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.models import input_check
from difrob_gui.models.input_check import InputCheck
from difrob_gui.models.spec_fields import check
from difrob_gui.pages.launch import LaunchPage
from difrob_gui.widgets.run_picker import RunOption


@pytest.fixture
def server(qapp: object, tmp_path: Path) -> Iterator[FakeSupervisor]:
    server = FakeSupervisor(tmp_path / "supervisor.sock")
    server.answers["submit"] = lambda args: {"run_ids": ["fresh"]}
    yield server
    server.close()


@pytest.fixture
def page(qtbot: QtBot, server: FakeSupervisor, workspace: Workspace, tmp_path: Path) -> Iterator[LaunchPage]:
    a_denoiser(workspace, "model")
    a_set(workspace, "good", np.arange(20) % 10)
    a_set(workspace, "colours", np.arange(20) % 10, (8, 8, 3))
    add_images(workspace, "holes", np.concatenate([np.arange(40) % 4, [5] * 10]))
    hub = FeedHub(workspace)
    client = SupervisorClient(server.path, tmp_path, autostart=False)
    page = LaunchPage(hub, client)
    qtbot.addWidget(page)
    page.set_run_options([
        RunOption("model", "train_denoiser", "edm", RunState.FINISHED, 10.0),
        RunOption("good", "generate", "good", RunState.FINISHED, 20.0),
        RunOption("colours", "generate", "colours", RunState.FINISHED, 30.0),
        RunOption("later", "generate", "later", RunState.QUEUED, 40.0),
    ])  # fmt: skip
    page.set_data_sets(workspace.data_sets())
    page.resize(900, 700)
    page.show()
    with qtbot.waitSignal(client.connected):
        client.open()
    page.choose_kind("train_classifier")
    yield page
    client.close()
    hub.close()


def choose(page: LaunchPage, **fields: Any) -> None:
    for path, value in fields.items():
        page.form.rows[path.replace("__", ".")].set_value(value)
    page.form.validate()


def told(qtbot: QtBot, page: LaunchPage, path: str) -> str:
    qtbot.waitUntil(lambda: bool(page.form.rows[path].problem.text()))
    return page.form.rows[path].problem.text()


def test_an_unfit_set_is_told_at_its_field_and_not_submitted(
    qtbot: QtBot, page: LaunchPage, server: FakeSupervisor
) -> None:
    choose(page, generated="colours")
    assert "has images of 8 x 8 x 3" in told(qtbot, page, "generated")
    assert page.message.text().startswith("Generated: generated set 'colours'") and page.form.spec is None
    page.header.name.setText("another name")
    page.start()
    assert server.named("submit") == [], "another name makes it no better"
    choose(page, generated="good")
    assert page.form.rows["generated"].problem.text() == "" and page.form.spec is not None
    with qtbot.waitSignal(page.submitted):
        page.start()
    assert len(server.named("submit")) == 1


def test_a_block_a_data_set_and_a_set_that_waits(qtbot: QtBot, page: LaunchPage, server: FakeSupervisor) -> None:
    choose(page, alignment__teacher="denoiser", alignment__denoiser="model", alignment__block="middle")
    assert told(qtbot, page, "alignment.block") == "This denoiser has no block 'middle'; it has block0, block1"
    assert page.form.problems[0].path == "alignment.block" and page.form.valid is not None
    choose(page, alignment__teacher="none")
    choose(page, data__dataset="holes")
    assert "no training image of 1 of its 6 classes" in told(qtbot, page, "data.dataset")
    choose(page, data__dataset="digits")
    assert page.form.spec is not None
    spec = {"kind": "generate", "denoiser": "model", "class_weights": [1.0] * 9 + [0.0]}
    server.set_entries(make_entry("later", spec=spec))
    qtbot.waitUntil(lambda: "later" in page._client.mirror.entries)
    choose(page, generated="later")
    assert "(no image of 9)" in told(qtbot, page, "generated")


def test_what_is_chosen_is_looked_at_again_when_the_workspace_has_changed(
    qtbot: QtBot, page: LaunchPage, workspace: Workspace
) -> None:
    choose(page, data__dataset="holes")
    told(qtbot, page, "data.dataset")
    workspace.remove_data_set("holes")
    add_images(workspace, "holes", np.arange(40) % 4)
    page.set_data_sets(workspace.data_sets())
    qtbot.waitUntil(lambda: page.form.spec is not None)
    assert page.form.rows["data.dataset"].problem.text() == ""


def test_one_question_at_a_time_in_the_reader_thread_and_the_newest_counts(
    qtbot: QtBot, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    go_on = threading.Event()

    def slow(_workspace: Workspace, spec: Any, _waiting: object) -> list[Any]:
        seen.append((spec.steps, threading.get_ident()))
        assert go_on.wait(5)
        return []

    monkeypatch.setattr(input_check, "check_inputs", slow)
    hub = FeedHub(workspace)
    asked, answers = InputCheck(hub), []
    asked.answered.connect(lambda spec, problems: answers.append(spec.steps))
    specs = [check({"kind": "train_denoiser", "steps": steps})[0] for steps in (1, 2, 3)]
    for spec in (specs[0], specs[0], specs[1], specs[2]):
        assert spec is not None
        asked.ask(spec, [], {})
    qtbot.waitUntil(lambda: bool(seen))
    go_on.set()
    qtbot.waitUntil(lambda: bool(answers))
    hub.close()
    assert answers == [3] and [steps for steps, _ in seen] == [1, 3]
    assert all(thread != threading.get_ident() for _, thread in seen)
