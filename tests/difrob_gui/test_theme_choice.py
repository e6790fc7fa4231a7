"""Which theme is painted, and which one is remembered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from difrob_gui import theme_choice
from difrob_gui.theme import apply_theme, current_theme
from difrob_gui.theme_choice import ThemeChoice
from difrob_gui.themes import THEMES


@pytest.fixture(autouse=True)
def light_afterwards(qapp: QApplication) -> Iterator[None]:
    yield
    apply_theme(qapp, THEMES["light"])


def test_the_choice_is_painted_at_once_and_remembered() -> None:
    choice = ThemeChoice("dark")
    assert current_theme().name == "dark" and choice.to_remember == "dark"
    choice.choose("contrast")
    assert current_theme().name == "contrast" and choice.to_remember == "contrast"


def test_a_theme_for_one_session_is_not_remembered_until_somebody_chooses() -> None:
    choice = ThemeChoice("dark", for_this_session=True)
    assert current_theme().name == "dark" and choice.to_remember == ""
    choice.choose("light")
    assert current_theme().name == "light" and choice.to_remember == "light"


def test_the_desktop_is_followed_where_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    desktop = ["dark"]
    monkeypatch.setattr(theme_choice, "system_theme_name", lambda: desktop[0])
    choice = ThemeChoice("system")
    assert current_theme().name == "dark" and choice.to_remember == "system"
    desktop[0] = "light"
    QApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert current_theme().name == "light"
    choice.choose("dark")
    QApplication.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert current_theme().name == "dark", "a choice of one's own stays"
