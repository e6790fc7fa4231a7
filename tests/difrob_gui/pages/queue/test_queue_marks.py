"""Marks in the rows of the queue: priority, stuck and stopping runs, advice for ended ones."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.queue_window import Window, shown, text

from difrob.runs import RunState
from difrob.runs.causes import advice
from difrob_gui.models.queue_model import POSITION, STATE
from difrob_gui.pages.queue import QueuePage


def test_priority_by_keys_from_what_each_entry_has(
    qtbot: QtBot, window: Window, page: QueuePage, server: FakeSupervisor
) -> None:
    entries = [make_entry("live", RunState.RUNNING), make_entry("a"), make_entry("b", priority=2),
               make_entry("c", priority=100), make_entry("d", priority=-1)]  # fmt: skip
    server.set_entries(*entries)
    qtbot.waitUntil(lambda: text(page, "c", POSITION) == "1")
    assert [text(page, run_id, POSITION) for run_id in "abcd"] == ["3", "2", "1", "4"], "the order of starting"
    assert [page.model.row(run_id).priority_text for run_id in "abcd"] == ["", "↑2", "↑100", "↓1"]
    index = page.model.index(page.model.place_of("d"), POSITION)
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "#: 4, priority -1"
    assert "starts after all" in index.data(Qt.ItemDataRole.ToolTipRole)
    page.select(["live", "a", "b", "c", "d"])
    page.table.setFocus()
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(page.table, Qt.Key.Key_Up, both)
    qtbot.waitUntil(lambda: len(server.named("set_priority")) == 3)
    assert server.named("set_priority") == [
        {"run_ids": ["a"], "priority": 1}, {"run_ids": ["b"], "priority": 3}, {"run_ids": ["d"], "priority": 0},
    ]  # fmt: skip
    page.select(["c"])
    assert not window.table["queue.raise"].isEnabled() and window.table["queue.lower"].isEnabled()
    page.select(["live"])
    assert not window.table["queue.raise"].isEnabled()


def test_a_stuck_run_is_marked_and_can_be_stopped_from_the_banner(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor
) -> None:
    since = time.time() - 600
    server.set_entries(
        make_entry("live", RunState.RUNNING, stuck_since=since, stuck_deadline=since + 1800), make_entry("a")
    )
    qtbot.waitUntil(page.stuck_banner.isVisible)
    assert text(page, "live", STATE) == "Stuck" and page.model.row("live").detail.startswith("since ")
    assert "10 min ago" in page.model.index(0, STATE).data(Qt.ItemDataRole.ToolTipRole)
    assert "1 stuck" in page._summary.text()
    qtbot.mouseClick(page.stuck_banner.button("Kill"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(page.stuck_banner.button("Stop and keep"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(server.named("stop")) == 2)
    assert server.named("stop") == [{"run_id": "live", "grade": grade} for grade in ("kill", "stop")]
    with qtbot.waitSignal(page.show_wanted) as told:
        qtbot.mouseClick(page.stuck_banner.button("Show"), Qt.MouseButton.LeftButton)
    assert told.args == ["live"]
    server.set_entries(make_entry("live", RunState.RUNNING))
    qtbot.waitUntil(lambda: not page.stuck_banner.isVisible())


def test_a_stopping_run_counts_down_only_while_it_is_seen(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor
) -> None:
    assert not page._seconds.isActive()
    deadline = time.time() + 50
    server.set_entries(make_entry("live", RunState.STOPPING, stop_grade="stop", stop_deadline=deadline))
    qtbot.waitUntil(page._seconds.isActive)
    assert page.model.row("live").detail.endswith(" s, then abort")
    page.hide()
    page._seconds.timeout.emit()
    assert not page._seconds.isActive()
    page.show()
    assert page._seconds.isActive()
    server.set_entries(make_entry("live", RunState.CANCELLED))
    qtbot.waitUntil(lambda: not page._seconds.isActive())


def test_an_ended_entry_says_what_to_do(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    page.show_ended.click()
    server.set_entries(make_entry("ended", RunState.FAILED, reason="no memory", cause="memory"))
    qtbot.waitUntil(lambda: len(shown(page)) == 1)
    tip = page.model.index(0, STATE).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "Failed: no memory\n" + advice("memory")
