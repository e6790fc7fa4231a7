"""Undo and redo of changes of the queue: by notice, by keys, and when they are refused."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor
from support.queue_window import Window

from difrob_gui.pages.queue import QueuePage


def test_remove_can_be_undone_by_its_notice(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor, notices: list[tuple[str, Any]]
) -> None:
    server.answers["remove"] = lambda _args: server.set_settings(undo="remove 2 entries")
    server.answers["undo"] = lambda _args: server.set_settings(undo="", redo="remove 2 entries")
    page.select(["a", "b"])
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: bool(notices))
    assert server.named("remove") == [{"run_ids": ["a", "b"]}]
    words, (label, undo) = notices[0]
    assert words == "2 entries removed from the queue." and label == "Undo"
    undo()
    qtbot.waitUntil(lambda: len(notices) == 2)
    assert server.named("undo") == [{}] and server.named("submit") == []
    assert notices[1][0] == "Taken back: remove 2 entries." and notices[1][1][0] == "Redo"


def test_an_old_notice_does_not_take_back_a_later_change(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor, notices: list[tuple[str, Any]]
) -> None:
    server.answers["remove"] = lambda _args: server.set_settings(undo="remove 'a'")
    page.select(["a"])
    page.commands.remove()
    qtbot.waitUntil(lambda: bool(notices))
    server.set_settings(undo="move 'd'")
    qtbot.waitUntil(lambda: page.commands._client.state.undo == "move 'd'")
    with qtbot.waitSignal(page.commands.failed) as told:
        notices[0][1][1]()
    assert "changed since" in told.args[0] and server.named("undo") == []


def test_what_cannot_be_taken_back_is_removed_without_a_promise(
    qtbot: QtBot, page: QueuePage, server: FakeSupervisor, notices: list[tuple[str, Any]]
) -> None:
    page.select(["a"])
    page.commands.remove()
    qtbot.waitUntil(lambda: notices == [("1 entry removed from the queue.", None)])


def test_undo_and_redo_say_what_they_do_and_obey_their_keys(
    qtbot: QtBot, window: Window, page: QueuePage, server: FakeSupervisor, notices: list[tuple[str, Any]]
) -> None:
    undo, redo = window.table["queue.undo"], window.table["queue.redo"]
    assert not undo.isEnabled() and not redo.isEnabled() and undo.text() == "Undo chan&ge"
    server.set_settings(undo="give 'x & y' priority 1", redo="remove 'b'")
    qtbot.waitUntil(undo.isEnabled)
    assert undo.text() == "Undo chan&ge: give 'x && y' priority 1" and redo.text() == "Redo chan&ge: remove 'b'"
    assert "give 'x & y' priority 1" in undo.toolTip() and "Ctrl+Z" in undo.toolTip()
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(page.table, Qt.Key.Key_Z, both)
    qtbot.waitUntil(lambda: len(notices) == 2)
    assert [name for name, _args in server.calls] == ["undo", "redo"]
    assert [words for words, _action in notices] == ["Taken back: give 'x & y' priority 1.", "Done again: remove 'b'."]
    server.die()
    qtbot.waitUntil(lambda: not undo.isEnabled())


def test_a_refused_undo_is_told(qtbot: QtBot, page: QueuePage, server: FakeSupervisor) -> None:
    def refuse(_args: dict[str, Any]) -> None:
        raise ValueError("run 'a' has started since")

    server.answers["undo"] = refuse
    server.set_settings(undo="hold 'a'")
    qtbot.waitUntil(lambda: bool(page.commands._client.state.undo))
    with qtbot.waitSignal(page.commands.failed) as told:
        page.commands.undo()
    assert told.args == ["Not taken back: run 'a' has started since"]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ([], "Taken back: remove 3 entries."),
        (["'a' stays as it is: it is running"], "Taken back: remove 3 entries. 'a' stays as it is: it is running."),
        (["x", "y", "z"], "Taken back: remove 3 entries. x. 2 more things stay as they are."),
    ],
)
def test_what_could_not_be_taken_back_is_named(
    qtbot: QtBot,
    page: QueuePage,
    server: FakeSupervisor,
    notices: list[tuple[str, Any]],
    kept: list[str],
    expected: str,
) -> None:
    server.answers["undo"] = lambda _args: {"words": "remove 3 entries", "kept": kept}
    server.set_settings(undo="remove something")
    qtbot.waitUntil(lambda: bool(page.commands._client.state.undo))
    page.commands.undo()
    qtbot.waitUntil(lambda: [words for words, _action in notices] == [expected])
