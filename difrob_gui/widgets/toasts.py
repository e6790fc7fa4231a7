"""Short notices at the lower left of the window, where no button lies: what happened, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QEnterEvent, QHideEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from difrob_gui.theme import icon, set_role

STAY_MS = 7000
MOST = 4
MARGIN = 16

Way = tuple[str, Callable[[], object]]  # the words on a button, and what it does
Tell = Callable[[str, "Tone", Way | None], None]


class Tone(Enum):
    """What kind of notice it is: (role of the frame, icon, colour, word for screen readers)."""

    INFO = ("banner-info", "info", "info", "Notice")
    GOOD = ("banner-good", "check-circle", "good", "Done")
    WARNING = ("banner-warning", "warning", "warning", "Warning")
    BAD = ("banner-bad", "error", "bad", "Error")


class Toast(QFrame):
    """One notice. It leaves by itself unless it is an error, or the mouse or the keyboard is on it."""

    finished = Signal()

    def __init__(self, text: str, tone: Tone, action: Way | None, parent: QWidget) -> None:
        super().__init__(parent)
        role, icon_name, colour, word = tone.value
        self.text = text
        self.tone = tone
        set_role(self, role)
        self.setAccessibleName(f"{word}: {text}")
        picture = QLabel()
        picture.setPixmap(icon(icon_name, colour).pixmap(QSize(18, 18), self.devicePixelRatioF()))
        self._words = QLabel(text, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self._words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self._words.setSizePolicy(policy)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 10, 8, 10)
        row.setSpacing(10)
        row.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._words, 1)
        self.action_button: QPushButton | None = None
        if action is not None:
            label, do = action
            self.action_button = QPushButton(label)
            self.action_button.setAccessibleName(f"{label}: {text}")
            self.action_button.clicked.connect(self.leave)
            self.action_button.clicked.connect(lambda: do())
            row.addWidget(self.action_button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.close_button = QToolButton()
        self.close_button.setIcon(icon("close", "text_muted"))
        self.close_button.setAccessibleName("Dismiss this notice")
        self.close_button.setToolTip("Dismiss")
        self.close_button.clicked.connect(self.leave)
        row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self._clock = QTimer(self, singleShot=True, interval=STAY_MS if action is None else round(1.5 * STAY_MS))
        self._clock.timeout.connect(self.leave)
        if tone is not Tone.BAD:
            self._clock.start()

    def leave(self) -> None:
        """Go away now."""
        self._clock.stop()
        self.hide()
        self.finished.emit()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._clock.stop()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        if self.tone is not Tone.BAD and self.isVisible():
            self._clock.start()
        super().leaveEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        super().hideEvent(event)


class ToastArea(QWidget):
    """Stacks notices over the lower left corner of its host, newest at the bottom."""

    def __init__(self, host: QWidget) -> None:
        """Lie over ``host``, and follow its size."""
        super().__init__(host)
        self._host = host
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self._toasts: list[Toast] = []
        host.installEventFilter(self)
        self.hide()

    @property
    def toasts(self) -> list[Toast]:
        """The notices on show, oldest first."""
        return list(self._toasts)

    def show_toast(self, text: str, tone: Tone = Tone.INFO, action: Way | None = None) -> Toast:
        """Show a notice; the same words twice in a row are shown once, and the oldest makes room when there are many."""
        for toast in self._toasts:
            if toast.text == text and toast.tone is tone:
                self._remove(toast)
                break
        while len(self._toasts) >= MOST:
            self._remove(self._toasts[0])
        toast = Toast(text, tone, action, self)
        toast.finished.connect(lambda: self._remove(toast))
        self._toasts.append(toast)
        self._column.addWidget(toast)
        toast.show()  # a hidden notice takes no room, so the area could not be measured
        self._place()
        if QAccessible.isActive():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, toast.accessibleName()))
        return toast

    def clear(self) -> None:
        """Dismiss all notices."""
        for toast in self.toasts:
            self._remove(toast)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._host and event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._place()
        return False

    def _remove(self, toast: Toast) -> None:
        if toast not in self._toasts:
            return
        self._toasts.remove(toast)
        self._column.removeWidget(toast)
        toast.hide()
        toast.deleteLater()
        self._place()

    def _place(self) -> None:
        if not self._toasts:
            self.hide()
            return
        width = min(460, self._host.width() - 2 * MARGIN)
        self.setFixedWidth(width)
        self.show()
        height = (
            self._column.heightForWidth(width) if self._column.hasHeightForWidth() else self._column.sizeHint().height()
        )
        height = min(height, self._host.height() - 2 * MARGIN)
        self.setGeometry(MARGIN, self._host.height() - height - MARGIN, width, height)
        self.raise_()
