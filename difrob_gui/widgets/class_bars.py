"""How many images each class has, as bars: lying with names where there are few classes, standing close where many."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from difrob_gui.theme import current_theme, theme_signals

MOST_NAMED = 20
_STANDING_LINES = 9


class ClassBars(QWidget):
    """Bars of one split. Hovering tells class and count; the accessible text tells the range."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: list[str] = []
        self._counts: list[int] = []
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Images per class")
        theme_signals.changed.connect(self._on_theme)

    def show_counts(self, names: list[str], counts: list[int]) -> None:
        """Show these; one count per name."""
        self._names, self._counts = list(names), list(counts)
        self.setAccessibleDescription(self.summary())
        self.updateGeometry()
        self.update()

    def summary(self) -> str:
        """The range of the counts in words."""
        if not self._counts:
            return "no classes"
        least, most = min(self._counts), max(self._counts)
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        count = len(self._counts)
        return f"{count:,} {'class' if count == 1 else 'classes'}, {span} images each"

    def sizeHint(self) -> QSize:
        line = self._line()
        rows = len(self._counts) if self._are_named else _STANDING_LINES if self._counts else 0
        return QSize(240, rows * line)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.sizeHint().height())

    def class_at(self, x: float, y: float) -> int:
        """Which class lies at a point, or -1."""
        if not self._counts or not (0 <= x < self.width() and 0 <= y < self.height()):
            return -1
        place = y / self._line() if self._are_named else x * len(self._counts) / max(self.width(), 1)
        return min(int(place), len(self._counts) - 1)

    @property
    def _are_named(self) -> bool:
        return len(self._counts) <= MOST_NAMED

    def _line(self) -> int:
        return self.fontMetrics().height() + 6

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        number = self.class_at(event.position().x(), event.position().y())
        self.setToolTip(f"{self._names[number]}: {self._counts[number]:,} images" if number >= 0 else "")

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._counts:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._are_named:
            self._paint_lying(painter)
        else:
            self._paint_standing(painter)

    def _paint_lying(self, painter: QPainter) -> None:
        theme, metrics, line = current_theme(), self.fontMetrics(), self._line()
        widest = max(metrics.horizontalAdvance(name) for name in self._names) + 1  # advances are rounded, down as well
        left = min(widest, round(0.35 * self.width())) + 10
        right = max(metrics.horizontalAdvance(f"{count:,}") for count in self._counts) + 10
        room, most = max(self.width() - left - right, 10), max(*self._counts, 1)
        for number, (name, count) in enumerate(zip(self._names, self._counts, strict=True)):
            top = number * line
            painter.setPen(QColor(theme.text))
            said = metrics.elidedText(name, Qt.TextElideMode.ElideRight, left - 10)
            painter.drawText(QRectF(0, top, left - 10, line), Qt.AlignmentFlag.AlignVCenter, said)
            wide = room * count / most
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.series[0]))
            painter.drawRoundedRect(QRectF(left, top + 4, max(wide, 1), line - 8), 3, 3)
            painter.setPen(QColor(theme.text_muted))
            painter.drawText(QRectF(left + wide + 6, top, right, line), Qt.AlignmentFlag.AlignVCenter, f"{count:,}")

    def _paint_standing(self, painter: QPainter) -> None:
        theme, most = current_theme(), max(*self._counts, 1)
        across = self.width() / len(self._counts)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), QColor(theme.border))
        gap = 1.0 if across >= 4 else 0.0
        for number, count in enumerate(self._counts):
            high = (self.height() - 2) * count / most
            place = QRectF(number * across, self.height() - 1 - high, max(across - gap, 0.5), high)
            painter.fillRect(place, QColor(theme.series[0]))

    def _on_theme(self, _theme: object) -> None:
        self.update()
