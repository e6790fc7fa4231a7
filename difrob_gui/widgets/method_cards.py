"""The cards of all methods below each other, of which one is chosen."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent
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
        self._area = scroll_area(holder)
        self._area.setAccessibleName("Methods")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)
        self.setMinimumWidth(LEAST_WIDTH)
        self.setMaximumWidth(MOST_WIDTH)

    def choose(self, kind: str) -> None:
        """Mark the card of a kind, and bring it into sight."""
        self.cards[kind].setChecked(True)
        QTimer.singleShot(0, self, self._show_chosen)  # once the cards have their places

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        QTimer.singleShot(0, self, self._show_chosen)

    def _show_chosen(self) -> None:
        card = self._group.checkedButton()
        if card is not None:
            self._area.ensureWidgetVisible(card, 0, 8)
