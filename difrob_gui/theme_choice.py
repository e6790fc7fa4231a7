"""Which theme was chosen: the application is painted in it, and follows the desktop where that was the choice."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from difrob_gui.theme import apply_theme, lay_ground, system_theme_name
from difrob_gui.themes import THEMES, Theme


class ThemeChoice(QObject):
    """Made before any widget, which takes its colours; :meth:`paint` adds the style sheet once the window is built."""

    def __init__(self, name: str, *, for_this_session: bool = False) -> None:
        """Lay the ground: everything of the theme but its style sheet.

        Args:
            name: ``system``, ``light``, ``dark`` or ``contrast``.
            for_this_session: whether another one stays remembered, until somebody chooses in the window.
        """
        super().__init__()
        self.name = name
        self._for_this_session = for_this_session
        QApplication.styleHints().colorSchemeChanged.connect(self._on_system_theme)
        lay_ground(_application(), self._theme)

    @property
    def to_remember(self) -> str:
        """The chosen theme; empty when it was given for this session only."""
        return "" if self._for_this_session else self.name

    def choose(self, name: str) -> None:
        """Another theme by its name; remembered."""
        self.name = name
        self._for_this_session = False
        self.paint()

    def _on_system_theme(self, _scheme: object) -> None:
        if self.name == "system":
            self.paint()

    def paint(self) -> None:
        """Give the application the whole look of the chosen theme."""
        apply_theme(_application(), self._theme)

    @property
    def _theme(self) -> Theme:
        return THEMES[system_theme_name() if self.name == "system" else self.name]


def _application() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app
