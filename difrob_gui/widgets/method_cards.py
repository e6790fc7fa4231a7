"""The cards of all methods below each other, of which one is chosen."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QVBoxLayout, QWidget

from difrob import words
from difrob.specs import KINDS
from difrob_gui.widgets.method_card import MethodCard
from difrob_gui.widgets.scrolling import scroll_area

LEAST_WIDTH, MOST_WIDTH = 150, 280


class MethodCards(QWidget):
    """One card per job kind; ``chosen`` carries the kind."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(8)
        self._group = QButtonGroup(self)
        self.cards: dict[str, MethodCard] = {}
        for kind, spec in KINDS.items():
            card = MethodCard(spec.title, spec.summary, words.kind_icon(kind))
            card.clicked.connect(lambda _checked=False, kind=kind: self.chosen.emit(kind))
            self._group.addButton(card)
            self.cards[kind] = card
            column.addWidget(card)
        column.addStretch(1)
        area = scroll_area(holder)
        area.setAccessibleName("Methods")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(LEAST_WIDTH)
        self.setMaximumWidth(MOST_WIDTH)
