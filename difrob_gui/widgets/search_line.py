"""A search box with a glass in front; Escape empties it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from difrob_gui.theme import icon


class SearchLine(QLineEdit):
    """A line to search by; hints at what can be written in its tooltip."""

    def __init__(self, placeholder: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder.rstrip(" …"))
        self.setToolTip(tip)
        self.setClearButtonEnabled(True)
        glass = QAction(icon("search", "text_muted"), "", self)
        self.addAction(glass, QLineEdit.ActionPosition.LeadingPosition)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
            return
        super().keyPressEvent(event)
