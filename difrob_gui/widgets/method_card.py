"""A card to choose a method by: icon, title and what it does."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QEnterEvent, QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from difrob_gui.theme import current_theme, icon, theme_signals
from difrob_gui.widgets.two_line_delegate import small_font

PAD = 12
SIDE = 22
KEPT_MEASURES = 16
WRAP = Qt.TextFlag.TextWordWrap


class MethodCard(QAbstractButton):
    """A button that is as high as its words need at the width it gets."""

    def __init__(self, title: str, summary: str, icon_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.summary = summary
        self._icon_name = icon_name
        self._compact = False
        self._measured: dict[tuple[int, bool, str], tuple[int, int]] = {}
        self.setText(title)
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setToolTip(summary)
        self.setAccessibleName(title)
        self.setAccessibleDescription(summary)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme_signals.changed.connect(self._repaint)

    def set_compact(self, compact: bool) -> None:
        """Show the title only, where there is little room."""
        if compact != self._compact:
            self._compact = compact
            self.updateGeometry()
            self.update()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        title, summary = self._heights(width)
        return max(title + (summary + 4 if summary else 0), SIDE) + 2 * PAD

    def sizeHint(self) -> QSize:
        return QSize(210, self.heightForWidth(210))

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.heightForWidth(max(120, self.width())))

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen, hovered = self.isChecked(), self.underMouse()
        ground = theme.surface
        if chosen:
            ground = theme.mix(theme.surface, theme.accent, 0.10)
        elif hovered:
            ground = theme.mix(theme.surface, theme.raised, 0.6)
        edge = theme.accent if chosen or self.hasFocus() else theme.border
        thick = 2.0 if self.hasFocus() else 1.0
        painter.setBrush(QColor(ground))
        painter.setPen(QPen(QColor(edge), thick))
        inset = thick / 2
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), 10, 10)
        icon(self._icon_name, "accent" if chosen else "text_muted").paint(painter, QRect(PAD, PAD, SIDE, SIDE))
        left = PAD + SIDE + 10
        width = self.width() - left - PAD
        high, _ = self._heights(self.width())
        painter.setFont(self._title_font())
        painter.setPen(QColor(theme.text))
        top = PAD if not self._compact else (self.height() - high) // 2
        painter.drawText(QRect(left, top, width, high), WRAP, self.text())
        if not self._compact:
            painter.setFont(small_font(self.font()))
            painter.setPen(QColor(theme.text_muted))
            painter.drawText(QRect(left, PAD + high + 4, width, self.height() - high - 4 - PAD), WRAP, self.summary)
        painter.end()

    def enterEvent(self, event: QEnterEvent) -> None:
        self.update()
        super().enterEvent(event)

    def _heights(self, width: int) -> tuple[int, int]:
        """Pixels that title and summary need at a width; a layout asks for the same ones many times."""
        asked = (width, self._compact, self.font().key())
        if asked not in self._measured:
            if len(self._measured) >= KEPT_MEASURES:
                self._measured.clear()
            self._measured[asked] = self._measure(width)
        return self._measured[asked]

    def _measure(self, width: int) -> tuple[int, int]:
        room = QRect(0, 0, max(40, width - 2 * PAD - SIDE - 10), 10_000)
        title = QFontMetrics(self._title_font()).boundingRect(room, WRAP, self.text()).height()
        if self._compact:
            return title, 0
        return title, QFontMetrics(small_font(self.font())).boundingRect(room, WRAP, self.summary).height()

    def _title_font(self) -> QFont:
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        return font

    def _repaint(self, _theme: object = None) -> None:
        self.update()
