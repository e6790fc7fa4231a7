"""Small marks: the state of a run in words and icon, and a banner across a page."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from difrob.runs import RunState
from difrob.words import state_word
from difrob_gui import stuck
from difrob_gui.theme import current_theme, icon, set_role, state_colour, state_icon, theme_signals


class StateBadge(QWidget):
    """The state of a run as a pill with icon and word."""

    def __init__(self, state: RunState = RunState.QUEUED, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state, self._stuck = state, False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.set_state(state)
        theme_signals.changed.connect(self._on_theme)

    @property
    def state(self) -> RunState:
        """The state shown."""
        return self._state

    @property
    def word(self) -> str:
        """The word shown."""
        return stuck.WORD if self._stuck else state_word(self._state)

    def set_state(self, state: RunState, is_stuck: bool = False) -> None:
        """Show this state; a live run may be stuck in it."""
        self._state, self._stuck = state, is_stuck
        self.setAccessibleName(f"State: {state_word(state)}{', stuck' if is_stuck else ''}")
        self.setToolTip("Should have reported again, and did not." if is_stuck else _MEANING[state])
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(self.font())
        height = metrics.height() + 8
        return QSize(int(metrics.horizontalAdvance(self.word) + 1.1 * height + 20), int(height))

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        colour = theme.warning if self._stuck else state_colour(self._state)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        place = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QColor(theme.mix(theme.surface, colour, 0.5)))
        painter.setBrush(QColor(theme.mix(theme.surface, colour, 0.14)))
        painter.drawRoundedRect(place, place.height() / 2, place.height() / 2)
        side = int(QFontMetricsF(self.font()).height() - 2)
        top = (self.height() - side) // 2
        look = icon(stuck.ICON, "warning") if self._stuck else state_icon(self._state)
        look.paint(painter, 9, top, side, side)
        painter.setPen(QColor(theme.text))
        words = place.adjusted(side + 14, 0, -6, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.word)

    def _on_theme(self, _theme: object) -> None:
        self.update()


class Banner(QFrame):
    """A line across a page that names something to know, with buttons that help. Hidden while it has nothing to say.

    ``acted`` carries the words on the button. One button stands at the end of the line, several below the text.
    """

    acted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone = "info"
        self._picture = QLabel()
        self._title = QLabel()
        set_role(self._title, "strong")
        self._text = _words()
        self._advice = _words()
        set_role(self._advice, "muted")
        self.buttons: list[QPushButton] = []
        self._below = QHBoxLayout()
        self._below.setSpacing(8)
        self._below.addStretch(1)
        body = QVBoxLayout()
        body.setSpacing(4)
        body.addWidget(self._text)
        body.addWidget(self._advice)
        body.addLayout(self._below)
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(12, 8, 12, 8)
        self._line.setSpacing(10)
        self._line.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        self._line.addWidget(self._title, 0, Qt.AlignmentFlag.AlignTop)
        self._line.addLayout(body, 1)
        self.hide()
        theme_signals.changed.connect(self._paint_icon)

    @property
    def message(self) -> str:
        """What it says; empty while hidden."""
        parts = (self._title.text(), self._text.text(), self._advice.text())
        return "" if self.isHidden() else " ".join(part for part in parts if part)

    def button(self, text: str) -> QPushButton:
        """The button with these words. Raises KeyError when it has none of them."""
        for button in self.buttons:
            if button.text() == text:
                return button
        raise KeyError(text)

    def say(self, tone: str, title: str, text: str, *buttons: str, advice: str = "") -> None:
        """Show a message, with what to do about it in a second paragraph.

        ``tone`` is ``info``, ``warning``, ``bad`` or ``good``. Saying almost the same again, as a countdown does, leaves
        buttons and their focus alone.
        """
        self._tone = tone
        set_role(self, f"banner-{tone}")
        self._title.setText(title)
        self._title.setVisible(bool(title))
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self._advice.setText(advice)
        self._advice.setVisible(bool(advice))
        self._offer(buttons)
        name = " ".join(part for part in (title, text, advice) if part)
        if self.accessibleName() != name:
            self.setAccessibleName(name)
        self._paint_icon()
        self.show()

    def silence(self) -> None:
        """Hide."""
        self.hide()

    def _offer(self, texts: tuple[str, ...]) -> None:
        if [button.text() for button in self.buttons] == list(texts):
            return
        for button in self.buttons:
            button.hide()
            button.deleteLater()
        self.buttons = []
        for place, text in enumerate(texts):
            button = QPushButton(text)
            button.clicked.connect(lambda _checked=False, text=text: self.acted.emit(text))
            if len(texts) == 1:
                self._line.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            else:
                self._below.insertWidget(place, button)
            self.buttons.append(button)

    def _paint_icon(self, _theme: object = None) -> None:
        side = self.fontMetrics().height()
        picture = icon(_ICONS[self._tone], self._tone).pixmap(QSize(side, side), self.devicePixelRatioF())
        self._picture.setPixmap(picture)


def _words() -> QLabel:
    label = QLabel(textFormat=Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    return label


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
