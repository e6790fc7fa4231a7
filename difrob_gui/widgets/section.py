"""A card with a heading that folds its contents away."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from difrob_gui.theme import icon, set_role


class Section(QFrame):
    """Heading with a fold button and a note at the right; widgets are put into :attr:`body`."""

    toggled = Signal(bool)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self.title = title
        self._open = True
        self._button = QPushButton(title)
        set_role(self._button, "quiet")
        self._button.setStyleSheet("QPushButton { text-align: left; font-weight: 600; padding-left: 2px; }")
        self._button.setIconSize(QSize(14, 14))
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.clicked.connect(lambda: self.set_open(not self._open))
        self._note = QLabel()
        set_role(self._note, "caption")
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self._button, 1)
        head.addWidget(self._note)
        self._holder = QWidget()
        self.body = QVBoxLayout(self._holder)
        self.body.setContentsMargins(6, 2, 6, 6)
        self.body.setSpacing(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 12, 6)
        column.setSpacing(2)
        column.addLayout(head)
        column.addWidget(self._holder)
        self._fold(True)

    @property
    def is_open(self) -> bool:
        """Whether the contents are shown."""
        return self._open

    def set_open(self, opened: bool) -> None:
        """Show or fold away the contents."""
        if opened != self._open:
            self._open = opened
            self._fold(opened)
            self.toggled.emit(opened)

    def set_note(self, text: str) -> None:
        """A few words at the right of the heading, e.g. how many settings were changed."""
        self._note.setText(text)

    def _fold(self, opened: bool) -> None:
        self._holder.setVisible(opened)
        self._button.setIcon(icon("chevron-down" if opened else "chevron-right", "text_muted"))
        self._button.setAccessibleName(f"{self.title}, {'shown' if opened else 'folded away'}")
        self._button.setToolTip(f"{'Fold away' if opened else 'Show'} {self.title}")
