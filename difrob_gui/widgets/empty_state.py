"""What stands where there is nothing yet: an icon, what is missing, and what to do next."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from difrob_gui.theme import icon, set_role, theme_signals


class EmptyState(QWidget):
    """A centred message, with a button when there is something to press."""

    acted = Signal()

    def __init__(self, icon_name: str, title: str, text: str, action: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon_name
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = QLabel()
        self._title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title.setWordWrap(True)
        set_role(self._title, "heading")
        self._text = QLabel()
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text.setWordWrap(True)
        self._text.setMaximumWidth(self.fontMetrics().averageCharWidth() * 64)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        set_role(self._text, "muted")
        self.button = QPushButton()
        self.button.clicked.connect(self.acted)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(8)
        layout.addStretch(2)
        layout.addWidget(self._picture)
        layout.addSpacing(4)
        layout.addWidget(self._title)
        row = QHBoxLayout()  # knows the height of the text at its greatest width, which an alignment does not
        row.addStretch()
        row.addWidget(self._text, 1)
        row.addStretch()
        layout.addLayout(row)
        layout.addSpacing(8)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(3)
        self.show_message(icon_name, title, text, action)
        theme_signals.changed.connect(self._paint_icon)

    def show_message(self, icon_name: str, title: str, text: str, action: str = "") -> None:
        """Say this."""
        self._icon_name = icon_name
        self._title.setText(title)
        self._text.setText(text)
        self.button.setText(action)
        self.button.setVisible(bool(action))
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        self._paint_icon()

    @property
    def text(self) -> str:
        """Title and message."""
        return f"{self._title.text()} {self._text.text()}"

    def _paint_icon(self, _theme: object = None) -> None:
        side = self.fontMetrics().height() * 2
        picture = icon(self._icon_name, "text_muted").pixmap(QSize(side, side), self.devicePixelRatioF())
        self._picture.setPixmap(picture)
