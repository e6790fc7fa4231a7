"""One table of actions: menus, keys, palette and help page say the same, and nothing is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QLineEdit, QMainWindow, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot
from support.shown_choices import palette_texts

from difrob_gui.actions import ACTIONS, BY_ID, MENUS, ActionTable, keys_text
from difrob_gui.pages.help import HelpPage, help_html
from difrob_gui.themes import THEMES
from difrob_gui.widgets.command_palette import Command, CommandPalette, match


def test_every_action_is_complete() -> None:
    assert len(BY_ID) == len(ACTIONS)
    for info in ACTIONS:
        assert info.menu in MENUS and info.help.endswith("."), info.id
        assert info.where in ("", "runs", "queue"), info.id
        if info.shortcut:
            assert not QKeySequence(info.shortcut).isEmpty() and keys_text(info), info.id
    assert {f"view.theme_{name}" for name in ("system", *THEMES)} <= BY_ID.keys()


def test_no_key_is_given_twice_where_it_could_be_meant_twice() -> None:
    everywhere = [info.shortcut for info in ACTIONS if info.shortcut and not info.where]
    for where in ("runs", "queue"):
        keys = everywhere + [info.shortcut for info in ACTIONS if info.shortcut and info.where == where]
        assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_letters_of_a_menu_are_told_apart() -> None:
    for menu in MENUS:
        letters = [info.text[info.text.index("&") + 1].lower() for info in ACTIONS if info.menu == menu]
        doubled = [letter for letter, count in Counter(letters).items() if count > 2]
        assert not doubled, (menu, doubled)


@pytest.fixture
def window(qtbot: QtBot) -> QMainWindow:
    window = QMainWindow()
    qtbot.addWidget(window)
    return window


def test_menus_hold_every_action(window: QMainWindow) -> None:
    table = ActionTable(window)
    table.fill_menu_bar(window.menuBar())
    found = [action.objectName() for top in window.menuBar().actions() for action in top.menu().actions()]
    assert sorted(name for name in found if name) == sorted(BY_ID)
    for info in ACTIONS:
        assert not info.icon or not table[info.id].icon().isNull()


def test_binding_and_enabling(window: QMainWindow) -> None:
    table = ActionTable(window)
    called: list[str] = []
    table.bind("file.refresh", lambda: called.append("refresh"))
    table["file.refresh"].trigger()
    assert called == ["refresh"]
    assert "file.refresh" not in table.unbound() and "run.start" in table.unbound()
    table.enable("run", lambda action_id: action_id == "run.pause")
    assert table["run.pause"].isEnabled() and not table["run.kill"].isEnabled()
    assert table["file.refresh"].isEnabled()
    table["view.theme_dark"].setChecked(True)
    assert not table["view.theme_light"].isChecked()


def test_keys_of_one_table_do_not_reach_into_text_fields(qtbot: QtBot, window: QMainWindow) -> None:
    table = ActionTable(window)
    holder = QWidget()
    layout = QVBoxLayout(holder)
    line, inside = QLineEdit("abc"), QPushButton("row")
    layout.addWidget(line)
    layout.addWidget(inside)
    window.setCentralWidget(holder)
    table.attach("runs", inside)
    called: list[str] = []
    table.bind("run.remove", lambda: called.append("remove"))
    window.show()
    with qtbot.waitActive(window):
        window.activateWindow()
    line.setFocus()
    line.home(False)
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    assert line.text() == "bc" and called == []
    inside.setFocus()
    qtbot.keyClick(inside, Qt.Key.Key_Delete)
    assert called == ["remove"]


def test_the_help_page_lists_every_action_and_its_keys(qtbot: QtBot) -> None:
    page = HelpPage()
    qtbot.addWidget(page)
    text = page.text.toPlainText()
    for info in ACTIONS:
        assert info.plain_text in text and info.help in text
        assert keys_text(info) in text.replace("\xa0", " ")
    page.search.setText("supervisor reach")
    assert "Connect to the supervisor" in page.text.toPlainText()
    assert "Duplicate" not in page.text.toPlainText()
    page.search.setText("zzz")
    assert "No action fits" in page.text.toPlainText()
    assert "<b>" not in help_html("<b>")


class TestMatch:
    @pytest.mark.parametrize(
        ("query", "better", "worse"),
        [
            ("pause", "Pause", "Pause the queue"),
            ("queue", "Queue", "Remove from queue"),
            ("th da", "Theme: dark", "Show in Monitor than data"),
            ("mon", "Monitor", "Command palette or so n"),
            ("mtt", "Move to top", "Something that truly rambles"),
        ],
    )
    def test_better_fits_come_first(self, query: str, better: str, worse: str) -> None:
        first, second = match(query, better), match(query, worse)
        assert first is not None
        assert second is None or first[0] > second[0]

    def test_places_of_the_letters(self) -> None:
        assert match("top", "Move to top") is not None
        assert match("top", "Move to top")[1] == (8, 9, 10)
        assert match("xyz", "Move to top") is None
        assert match("colour", "Theme: dark", "colours night") is not None
        assert match("", "anything") is not None


class TestPalette:
    @pytest.fixture
    def called(self) -> list[str]:
        return []

    @pytest.fixture
    def palette(self, qtbot: QtBot, called: list[str]) -> Iterator[CommandPalette]:
        window = QWidget()
        window.resize(900, 600)
        qtbot.addWidget(window)
        self.before = QLineEdit(window)
        window.show()
        window.activateWindow()
        self.before.setFocus()
        palette = CommandPalette(window)
        texts = ["Launch", "Queue", "Pause the queue", "Monitor"]
        palette.open(
            [Command(text, "View", lambda text=text: called.append(text), enabled=text != "Queue") for text in texts]
        )
        yield palette

    def test_all_at_first_and_the_best_when_typing(self, qtbot: QtBot, palette: CommandPalette) -> None:
        assert palette_texts(palette) == ["Launch", "Queue", "Pause the queue", "Monitor"]
        qtbot.keyClicks(palette.search, "queue")
        assert palette_texts(palette) == ["Queue", "Pause the queue"]
        qtbot.keyClicks(palette.search, "zzzz")
        assert palette_texts(palette) == [] and palette._nothing.isVisible()

    def test_return_runs_the_best_that_can_be_run(
        self, qtbot: QtBot, palette: CommandPalette, called: list[str]
    ) -> None:
        qtbot.keyClicks(palette.search, "queue")
        qtbot.keyClick(palette.search, Qt.Key.Key_Return)
        assert called == ["Pause the queue"], "the disabled one is skipped"
        assert not palette.isVisible()
        assert self.before.hasFocus()

    def test_arrows_walk_and_escape_closes(self, qtbot: QtBot, palette: CommandPalette, called: list[str]) -> None:
        qtbot.keyClick(palette.search, Qt.Key.Key_Down)
        qtbot.keyClick(palette.search, Qt.Key.Key_Down)
        qtbot.keyClick(palette.search, Qt.Key.Key_Return)
        assert called == ["Monitor"]
        palette.open([Command("One", "View", lambda: called.append("one"))])
        qtbot.keyClick(palette.search, Qt.Key.Key_Escape)
        assert not palette.isVisible() and called == ["Monitor"]
