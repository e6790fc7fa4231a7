"""Names, line styles and values of the curves of a chart; also its read-out and the switch of each curve.

One widget that paints all entries: a page of charts would otherwise hold hundreds of labels that change ten times a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from difrob_gui.charts.pens import line_pen
from difrob_gui.theme import current_theme
from difrob_gui.themes import Dash

SWATCH = 22.0
SWATCH_GAP = 6.0
_BETWEEN = 16.0


@dataclass(frozen=True)
class Entry:
    """One curve as the legend shows it."""

    key: str
    label: str
    colour: str
    dash: Dash
    value: str = ""
    shown: bool = True
    hint: str = ""


class Legend(QWidget):
    """Entries flowing from left to right, and a note (for instance which interval the bands are).

    Left and Right choose an entry, Space switches it, as a click does.
    """

    toggled = Signal(str)
    highlighted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._note = ""
        self._places: list[QRectF] = []
        self._note_place = QRectF()
        self._widths: dict[str, float] = {}
        self._chosen = 0
        self._hovered = ""
        self._height = 0
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Legend")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def entries(self) -> list[Entry]:
        """What is shown."""
        return list(self._entries)

    @property
    def note(self) -> str:
        """The line that says what the bands are, and the like."""
        return self._note

    @property
    def places(self) -> list[QRectF]:
        """Where the entries stand, and last the note if there is one."""
        return [*self._places, self._note_place] if self._note else list(self._places)

    def set_entries(self, entries: list[Entry], note: str = "") -> None:
        """Show these; cheap when nothing changed, and without a new layout when only values did."""
        if entries == self._entries and note == self._note:
            return
        same = note == self._note and [e.key for e in entries] == [e.key for e in self._entries]
        same = same and all(self._width(e) <= self._widths.get(e.key, 0) for e in entries)
        self._entries, self._note = list(entries), note
        self._chosen = min(self._chosen, max(len(entries) - 1, 0))
        if not same:
            self._widths = {e.key: max(self._width(e), self._widths.get(e.key, 0)) for e in entries}
            self._arrange()
        self.setAccessibleDescription(self._spoken())
        self.update()

    # ------------------------------------------------------------------ places

    def sizeHint(self) -> QSize:
        return QSize(200, self._height)

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self._height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._widths = {entry.key: self._width(entry) for entry in self._entries}
            self._arrange()

    def _width(self, entry: Entry) -> float:
        metrics = QFontMetricsF(self.font())
        value = metrics.horizontalAdvance("  " + entry.value) if entry.value else 0.0
        return SWATCH + SWATCH_GAP + metrics.horizontalAdvance(entry.label) + value

    def _arrange(self) -> None:
        line = QFontMetricsF(self.font()).height() + 5
        x = y = 0.0
        self._places = []
        for entry in self._entries:
            width = min(self._widths[entry.key], max(self.width() - 2.0, 40.0))
            if x and x + width > self.width():
                x, y = 0.0, y + line
            self._places.append(QRectF(x, y, width, line))
            x += width + _BETWEEN
        self._note_place = QRectF()
        if self._note:
            width = QFontMetricsF(self.font()).horizontalAdvance(self._note)
            if x and x + width > self.width():
                x, y = 0.0, y + line
            self._note_place = QRectF(x, y, self.width() - x, line)
        height = int(y + line + 1) if self._entries or self._note else 0
        if height != self._height:
            self._height = height
            self.updateGeometry()

    # ------------------------------------------------------------------ painting

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(self.font())
        for number, (entry, place) in enumerate(zip(self._entries, self._places, strict=True)):
            self._paint_entry(painter, metrics, entry, place)
            if self.hasFocus() and number == self._chosen:
                painter.setPen(QPen(QColor(theme.accent), 1))
                painter.drawRoundedRect(place.adjusted(-2, 0.5, 4, -0.5), 3, 3)
        if self._note:
            painter.setPen(QColor(theme.text_muted))
            text = metrics.elidedText(self._note, Qt.TextElideMode.ElideRight, self._note_place.width())
            painter.drawText(self._note_place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_entry(self, painter: QPainter, metrics: QFontMetricsF, entry: Entry, place: QRectF) -> None:
        theme = current_theme()
        middle = place.center().y()
        colour = entry.colour if entry.shown else theme.border
        width = 3.0 if entry.key == self._hovered else 2.0
        painter.setPen(line_pen(colour, entry.dash, width, self.devicePixelRatioF()))
        painter.drawLine(QPointF(place.x(), middle), QPointF(place.x() + SWATCH, middle))

        room = place.adjusted(SWATCH + SWATCH_GAP, 0, 0, 0)
        value = "  " + entry.value if entry.value and entry.shown else ""
        space = max(room.width() - metrics.horizontalAdvance(value), 20.0)
        label = metrics.elidedText(entry.label, Qt.TextElideMode.ElideMiddle, space)
        font = self.font()
        font.setStrikeOut(not entry.shown)
        painter.setFont(font)
        painter.setPen(QColor(theme.text_muted))
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, align, label)
        painter.setFont(self.font())
        painter.setPen(QColor(theme.text))
        painter.drawText(room.adjusted(metrics.horizontalAdvance(label), 0, 0, 0), align, value)

    # ------------------------------------------------------------------ hands

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        entry = self._entry_at(event)
        if entry is not None and event.button() == Qt.MouseButton.LeftButton:
            self.toggled.emit(entry.key)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        entry = self._entry_at(event)
        self._set_hovered(entry.key if entry is not None else "")
        self.setCursor(Qt.CursorShape.PointingHandCursor if entry is not None else Qt.CursorShape.ArrowCursor)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._set_hovered("")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._entries:
            event.ignore()
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            step = 1 if event.key() == Qt.Key.Key_Right else -1
            self._chosen = (self._chosen + step) % len(self._entries)
            self._set_hovered(self._entries[self._chosen].key)
            self.update()
        elif event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return):
            self.toggled.emit(self._entries[self._chosen].key)
        else:
            event.ignore()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._set_hovered("")

    def _entry_at(self, event: QMouseEvent) -> Entry | None:
        for entry, place in zip(self._entries, self._places, strict=True):
            if place.contains(event.position()):
                return entry
        return None

    def _set_hovered(self, key: str) -> None:
        if key != self._hovered:
            self._hovered = key
            entry = next((e for e in self._entries if e.key == key), None)
            act = "hide" if entry is not None and entry.shown else "show"
            self.setToolTip(f"{entry.hint or entry.label}\nClick to {act}." if entry is not None else self._note)
            self.highlighted.emit(key)
            self.update()

    def _spoken(self) -> str:
        said = [f"{e.label} {e.value}{'' if e.shown else ' (hidden)'}".strip() for e in self._entries]
        return "; ".join([*said, self._note] if self._note else said)
