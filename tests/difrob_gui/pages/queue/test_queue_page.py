"""The Queue page: order, holding, removing with undo, policy; keys, buttons and the mouse."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.queue_window import Window, shown, text

from difrob.runs import RunState
from difrob.worker.messages import QueueState
from difrob_gui.models.queue_model import LANE, POSITION, PROGRESS, RUN, STATE, WAITS, QueueModel
from difrob_gui.pages.queue import QueuePage, queue_cell


def test_rows_in_words(page: QueuePage) -> None:
    assert shown(page) == ["live", "a", "b", "c", "d"]
    assert [text(page, run_id, POSITION) for run_id in shown(page)] == ["", "1", "2", "3", "4"]
    assert text(page, "live", STATE) == "Running" and text(page, "live", PROGRESS) == "50 %"
    assert text(page, "live", LANE) == "cpu"
    assert text(page, "b", WAITS) == "live" and text(page, "b", STATE) == "Queued"
    assert text(page, "c", STATE) == "Blocked"
    assert page.model.row("c").detail == "needs “ended”, which did not finish"
    tip = page.model.index(0, PROGRESS).data(Qt.ItemDataRole.ToolTipRole)
    assert "30 of 60 steps" in tip and "2 min" in tip
    assert page._summary.text() == "1 running · 4 waiting"


def test_a_run_on_several_gpus_names_them_all(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    assert queue_cell(page.model.index(0, LANE)).title == "CPU"
    waiting = make_entry("a", reason="needs 2 GPUs at once; free: 1 of 2")
    server.set_entries(make_entry("live", RunState.RUNNING, on_lane="cuda:0,cuda:1"), waiting)
    qtbot.waitUntil(lambda: shown(page) == ["live", "a"])
    lane = page.model.index(0, LANE)
    assert lane.data() == "cuda:0, cuda:1" and queue_cell(lane).title == "GPUs 0, 1"
    assert lane.data(Qt.ItemDataRole.ToolTipRole) == "Runs on 2 GPUs: cuda:0, cuda:1"
    assert lane.data(Qt.ItemDataRole.AccessibleTextRole) == "Lane: cuda:0, cuda:1"
    assert page.model.row("a").detail == "needs 2 GPUs at once; free: 1 of 2"


def test_ended_entries_are_shown_when_asked_for(qtbot: QtBot, page: QueuePage) -> None:
    assert page.show_ended.text() == "Show ended (1)"
    page.show_ended.click()
    assert shown(page)[-1] == "ended"
    assert text(page, "ended", STATE) == "Failed" and page.model.row("ended").detail == "out of memory"


@pytest.mark.parametrize(
    ("chosen", "key", "expected"),
    [
        (["b"], Qt.Key.Key_Up, {"run_ids": ["b"], "before": "a"}),
        (["b"], Qt.Key.Key_Down, {"run_ids": ["b"], "before": "d"}),
        (["c"], Qt.Key.Key_Home, {"run_ids": ["c"], "before": "a"}),
        (["a", "b"], Qt.Key.Key_End, {"run_ids": ["a", "b"], "before": None}),
        (["b", "c"], Qt.Key.Key_Down, {"run_ids": ["b", "c"], "before": None}),
        (["a", "d"], Qt.Key.Key_Up, {"run_ids": ["a", "d"], "before": "b"}),
    ],
)
def test_moving_by_keys(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor, chosen: list[str], key: Qt.Key, expected: dict[str, Any]
) -> None:
    page.select(chosen)
    page.table.setFocus()
    qtbot.keyClick(page.table, key, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: bool(server.named("move")))
    assert server.named("move") == [expected]


@pytest.mark.parametrize(("chosen", "step"), [(["a"], "up"), (["a"], "top"), (["d"], "down"), (["live"], "up")])
def test_moves_that_change_nothing_are_off(window: Window, page: QueuePage, chosen: list[str], step: str) -> None:
    page.select(chosen)
    assert not window.table[f"queue.{step}"].isEnabled()
    page.commands.move(step)


def test_the_selection_follows_the_entry_when_the_order_changes(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor
) -> None:
    page.select(["d"])
    server.event("order", run_ids=["ended", "live", "d", "a", "b", "c"])
    qtbot.waitUntil(lambda: shown(page) == ["live", "d", "a", "b", "c"])
    assert [row.run_id for row in page.chosen()] == ["d"]


def test_drag_and_drop_asks_for_the_move(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    model = page.model
    data = model.mimeData([model.index(4, RUN), model.index(4, STATE), model.index(3, RUN)])
    assert not model.dropMimeData(data, Qt.DropAction.MoveAction, 1, 0, QModelIndex())
    qtbot.waitUntil(lambda: bool(server.named("move")))
    assert server.named("move") == [{"run_ids": ["c", "d"], "before": "a"}]
    model.dropMimeData(model.mimeData([model.index(1, RUN)]), Qt.DropAction.MoveAction, -1, -1, QModelIndex())
    qtbot.waitUntil(lambda: len(server.named("move")) == 2)
    assert server.named("move")[1] == {"run_ids": ["a"], "before": None}
    assert shown(page) == ["live", "a", "b", "c", "d"], "only the supervisor moves rows"
    assert not model.flags(model.index(0, RUN)) & Qt.ItemFlag.ItemIsDragEnabled, "live runs stay"
    assert model.flags(model.index(1, RUN)) & Qt.ItemFlag.ItemIsDragEnabled


def test_hold_and_release(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    page.select(["a", "live", "b"])
    page.commands.hold()
    qtbot.waitUntil(lambda: len(server.named("hold")) == 2)
    assert server.named("hold") == [{"run_id": "a", "held": True}, {"run_id": "b", "held": True}]
    server.event("entry", entry=make_entry("a", held=True), position=2)
    qtbot.waitUntil(lambda: text(page, "a", STATE) == "Held")
    page.select(["a"])
    page.commands.hold()
    qtbot.waitUntil(lambda: len(server.named("hold")) == 3)
    assert server.named("hold")[2] == {"run_id": "a", "held": False}


def test_a_live_entry_cannot_be_removed(window: Window, page: QueuePage, server: FakeSupervisor) -> None:
    page.select(["live", "a"])
    assert not window.table["queue.remove"].isEnabled()
    page.commands.remove()
    assert server.calls == []


def test_a_refused_removal_is_told(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    def refuse(_args: dict[str, Any]) -> None:
        raise ValueError("run 'b' waits for 'a'")

    server.answers["remove"] = refuse
    page.select(["a"])
    with qtbot.waitSignal(page.commands.failed) as told:
        page.commands.remove()
    assert told.args == ["Not removed: run 'b' waits for 'a'"]


def test_edit_is_for_one_waiting_entry(qtbot: QtBot, window: Window, page: QueuePage) -> None:
    page.select(["live"])
    assert not window.table["queue.edit"].isEnabled()
    page.select(["a", "b"])
    assert not window.table["queue.edit"].isEnabled()
    page.select(["a"])
    with qtbot.waitSignal(page.edit_wanted) as told:
        qtbot.keyClick(page.table, Qt.Key.Key_F2)
    assert told.args[0].run_id == "a" and told.args[1] == "a"


def test_duplicate(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    page.select(["a"])
    page.commands.duplicate()
    qtbot.waitUntil(lambda: server.named("duplicate") == [{"run_id": "a"}])


def test_pausing_the_whole_queue(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    qtbot.mouseClick(page.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: server.named("pause_queue") == [{"paused": True}])
    server.set_settings(paused=True)
    qtbot.waitUntil(page._banner.isVisible)
    assert page.pause_button.text() == "Let it go on"
    qtbot.mouseClick(page.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(server.named("pause_queue")) == 2)
    assert server.named("pause_queue")[1] == {"paused": False}


def test_settings_reach_the_supervisor(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    settings = page.settings
    server.set_settings(on_failure="stop", cpu_lanes=2, stuck_minutes=None)
    qtbot.waitUntil(lambda: settings.policy.currentData() == "stop")
    settings.policy.setCurrentIndex(settings.policy.findData("go_on"))
    settings.policy.activated.emit(settings.policy.currentIndex())
    settings.cpu_lanes.stepUp()
    settings.stuck.setValue(45)
    qtbot.waitUntil(lambda: bool(server.named("set_cpu_lanes") and server.named("set_stuck_minutes")))
    assert server.named("set_policy") == [{"on_failure": "go_on"}]
    assert server.named("set_cpu_lanes") == [{"count": 3}] and server.named("set_stuck_minutes") == [{"minutes": 45}]


def test_an_empty_queue_says_what_to_do(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    server.set_entries()
    qtbot.waitUntil(page._empty.isVisible)
    assert "Launch page" in page._empty_text.text()


def test_a_lost_link_says_that_the_table_is_old(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    server.die()
    qtbot.waitUntil(lambda: "last known" in page._summary.text())
    assert len(shown(page)) == 5


def test_the_model_keeps_qts_rules(qapp: object) -> None:
    model = QueueModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    entries = [make_entry(name) for name in "abcdef"]
    model.set_state(QueueState(entries=entries))
    model.set_state(QueueState(entries=[entries[3], entries[0], make_entry("b", RunState.RUNNING), entries[5]]))
    assert [row.run_id for row in model.rows()] == ["b", "d", "a", "f"]
    assert [row.position for row in model.rows()] == [0, 1, 2, 3]
    model.set_state(QueueState())
    assert model.rowCount() == 0
    del tester
