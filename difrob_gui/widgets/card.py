"""A framed part of a page with a title over its widgets."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from difrob_gui.theme import set_role


def titled_card(title: str, *widgets: QWidget, at_top: bool = False) -> QFrame:
    """The widgets below each other under a title; ``at_top`` keeps them there when the card is taller than they are."""
    card = QFrame()
    set_role(card, "card")
    heading = QLabel(title)
    set_role(heading, "strong")
    column = QVBoxLayout(card)
    column.setContentsMargins(14, 10, 14, 12)
    column.setSpacing(8)
    column.addWidget(heading)
    for widget in widgets:
        column.addWidget(widget)
    if at_top:
        column.addStretch(1)
    return card
