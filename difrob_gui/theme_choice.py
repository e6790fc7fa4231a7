"""Which theme was chosen: the application is painted in it, and follows the desktop where that was the choice."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from difrob_gui.theme import apply_theme, system_theme_name
from difrob_gui.themes import THEMES


class ThemeChoice(QObject):
    """Paints at once, so it is made before any widget."""

    def __init__(self, name: str, *, for_this_session: bool = False) -> None:
        """Paint.

        Args:
            name: ``system``, ``light``, ``dark`` or ``contrast``.
            for_this_session: whether another one stays remembered, until somebody chooses in the window.
        """
        super().__init__()
        self.name = name
        self._for_this_session = for_this_session
        QApplication.styleHints().colorSchemeChanged.connect(self._on_system_theme)
        self._paint()

    @property
    def to_remember(self) -> str:
        """The chosen theme; empty when it was given for this session only."""
        return "" if self._for_this_session else self.name

    def choose(self, name: str) -> None:
        """Another theme by its name; remembered."""
        self.name = name
        self._for_this_session = False
        self._paint()

    def _on_system_theme(self, _scheme: object) -> None:
        if self.name == "system":
            self._paint()

    def _paint(self) -> None:
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        apply_theme(app, THEMES[system_theme_name() if self.name == "system" else self.name])
