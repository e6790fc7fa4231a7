"""Small marks: the state of a run in words and icon, and a banner across a page."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from difrob.runs import RunState
from difrob.words import state_word
from difrob_gui.theme import current_theme, icon, set_role, state_colour, state_icon, theme_signals


class StateBadge(QWidget):
    """The state of a run as a pill with icon and word."""

    def __init__(self, state: RunState = RunState.QUEUED, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.set_state(state)
        theme_signals.changed.connect(self._on_theme)

    @property
    def state(self) -> RunState:
        """The state shown."""
        return self._state

    def set_state(self, state: RunState) -> None:
        """Show this state."""
        self._state = state
        self.setAccessibleName(f"State: {state_word(state)}")
        self.setToolTip(_MEANING[state])
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(self.font())
        height = metrics.height() + 8
        return QSize(int(metrics.horizontalAdvance(state_word(self._state)) + 1.1 * height + 20), int(height))

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        colour = state_colour(self._state)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        place = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QColor(theme.mix(theme.surface, colour, 0.5)))
        painter.setBrush(QColor(theme.mix(theme.surface, colour, 0.14)))
        painter.drawRoundedRect(place, place.height() / 2, place.height() / 2)
        side = int(QFontMetricsF(self.font()).height() - 2)
        top = (self.height() - side) // 2
        state_icon(self._state).paint(painter, 9, top, side, side)
        painter.setPen(QColor(theme.text))
        words = place.adjusted(side + 14, 0, -6, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, state_word(self._state))

    def _on_theme(self, _theme: object) -> None:
        self.update()


class Banner(QFrame):
    """A line across a page that names something to know, with an optional button. Hidden while it has nothing to say."""

    acted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone = "info"
        self._picture = QLabel()
        self._title = QLabel()
        set_role(self._title, "strong")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.button = QPushButton()
        self.button.clicked.connect(self.acted)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(10)
        layout.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._title, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._text, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()
        theme_signals.changed.connect(self._paint_icon)

    @property
    def message(self) -> str:
        """What it says; empty while hidden."""
        return "" if self.isHidden() else f"{self._title.text()} {self._text.text()}".strip()

    def say(self, tone: str, title: str, text: str, action: str = "") -> None:
        """Show a message; ``tone`` is ``info``, ``warning``, ``bad`` or ``good``."""
        self._tone = tone
        set_role(self, f"banner-{tone}")
        self._title.setText(title)
        self._title.setVisible(bool(title))
        self._text.setText(text)
        self.button.setText(action)
        self.button.setVisible(bool(action))
        self.setAccessibleName(f"{title} {text}")
        self._paint_icon()
        self.show()

    def silence(self) -> None:
        """Hide."""
        self.hide()

    def _paint_icon(self, _theme: object = None) -> None:
        side = self.fontMetrics().height()
        picture = icon(_ICONS[self._tone], self._tone).pixmap(QSize(side, side), self.devicePixelRatioF())
        self._picture.setPixmap(picture)


_ICONS = {"info": "info", "warning": "warning", "bad": "error", "good": "check-circle"}
_MEANING = {
    RunState.QUEUED: "Waits for its turn.",
    RunState.STARTING: "A worker process is starting.",
    RunState.RUNNING: "A worker process computes.",
    RunState.PAUSING: "Will pause at the next safe point.",
    RunState.PAUSED: "Paused; its worker keeps everything in memory.",
    RunState.STOPPING: "Was asked to stop.",
    RunState.FINISHED: "Ran to its end.",
    RunState.FAILED: "Ended with an error; see the reason and the log.",
    RunState.INTERRUPTED: "Its process died; it can be resumed from its last checkpoint.",
    RunState.CANCELLED: "Was stopped on request.",
}
