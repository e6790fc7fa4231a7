"""A label in one of the theme's meaningful colours (good, warning, bad, accent), recoloured with the theme."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QLabel, QWidget

from difrob_gui.theme import current_theme, theme_signals


class ToneLabel(QLabel):
    """Text whose colour is a field of the theme; the words must say the same as the colour."""

    def __init__(self, text: str = "", tone: str = "text", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._tone = tone
        self._recolour()
        theme_signals.changed.connect(self._recolour)

    def set_tone(self, tone: str) -> None:
        """Take another colour of the theme, e.g. ``"bad"``."""
        if tone != self._tone:
            self._tone = tone
            self._recolour()

    def _recolour(self, _theme: object = None) -> None:
        palette = QPalette(self.palette())
        palette.setColor(QPalette.ColorRole.WindowText, QColor(getattr(current_theme(), self._tone)))
        self.setPalette(palette)
