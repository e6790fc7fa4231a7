"""Notices: they come, they stay as long as they should, they offer the one thing to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QCursor, QEnterEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from difrob_gui.widgets import toasts as module
from difrob_gui.widgets.toasts import MOST, ToastArea, Tone


@pytest.fixture
def area(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToastArea]:
    monkeypatch.setattr(module, "STAY_MS", 60)
    host = QWidget()
    host.resize(800, 500)
    qtbot.addWidget(host)
    area = ToastArea(host)
    host.show()
    QCursor.setPos(host.mapToGlobal(QPoint(790, 5)))
    yield area
    area.clear()


def texts(area: ToastArea) -> list[str]:
    return [toast.text for toast in area.toasts]


def test_a_notice_leaves_by_itself_and_an_error_does_not(qtbot: QtBot, area: ToastArea) -> None:
    area.show_toast("fine", Tone.GOOD)
    area.show_toast("broken", Tone.BAD)
    assert area.isVisible() and texts(area) == ["fine", "broken"]
    qtbot.waitUntil(lambda: texts(area) == ["broken"])
    qtbot.wait(120)
    assert texts(area) == ["broken"]
    qtbot.mouseClick(area.toasts[0].close_button, Qt.MouseButton.LeftButton)
    assert not area.toasts and not area.isVisible()


def test_the_mouse_holds_a_notice(qtbot: QtBot, area: ToastArea) -> None:
    toast = area.show_toast("read me", Tone.INFO)
    here = toast.rect().center().toPointF()
    QApplication.sendEvent(toast, QEnterEvent(here, here, here))
    qtbot.wait(120)
    assert texts(area) == ["read me"]
    QApplication.sendEvent(toast, QEvent(QEvent.Type.Leave))
    qtbot.waitUntil(lambda: not area.toasts)


def test_the_action_runs_once_and_takes_the_notice_away(qtbot: QtBot, area: ToastArea) -> None:
    called: list[int] = []
    toast = area.show_toast("removed", Tone.INFO, ("Undo", lambda: called.append(1)))
    assert toast.action_button.accessibleName() == "Undo: removed"
    qtbot.mouseClick(toast.action_button, Qt.MouseButton.LeftButton)
    assert called == [1] and not area.toasts


def test_same_words_once_and_never_too_many(qtbot: QtBot, area: ToastArea) -> None:
    for _ in range(3):
        area.show_toast("again", Tone.BAD)
    assert texts(area) == ["again"]
    for number in range(MOST + 3):
        area.show_toast(f"n{number}", Tone.BAD)
    assert texts(area) == [f"n{number}" for number in range(3, MOST + 3)]


def test_long_words_are_shown_in_full_inside_the_host(qtbot: QtBot, area: ToastArea) -> None:
    toast = area.show_toast("a reason that needs some room " * 8, Tone.BAD, ("Show", lambda: None))
    host = area.parentWidget()
    qtbot.waitUntil(lambda: toast.height() >= toast.heightForWidth(toast.width()) > 60)
    assert host.rect().contains(area.geometry())
    host.resize(400, 300)
    assert host.rect().contains(area.geometry())


def test_names_say_what_kind_it_is(area: ToastArea) -> None:
    assert area.show_toast("the disk is full", Tone.BAD).accessibleName() == "Error: the disk is full"
