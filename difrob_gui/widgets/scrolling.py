"""A page that scrolls up and down only."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from difrob_gui.theme import set_role


def scroll_area(widget: QWidget) -> QScrollArea:
    """Put a widget, as wide as there is room, into an area without a frame."""
    area = QScrollArea(widgetResizable=True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(widget)
    set_role(widget, "plain")
    return area
