"""Cells with two lines: a title above, something quieter below; with a tick, an icon or a bar where wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QIcon, QKeyEvent, QMouseEvent, QPainter, QPalette
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from difrob_gui.theme import current_theme

Index = QModelIndex | QPersistentModelIndex
PAD = 8
LINE_GAP = 2


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    ``bar`` is a share in [0,1] drawn as a thin bar in front of the second line, ``base_bar`` one at the foot of the cell.
    """

    title: str = ""
    detail: str = ""
    icon: QIcon | None = None
    colour: str = ""
    strong: bool = False
    bar: float | None = None
    centred: bool = False
    detail_icon: QIcon | None = None
    base_bar: float | None = None


class TwoLineDelegate(QStyledItemDelegate):
    """Paints :class:`Cell` objects, with the tick of the model in front where a cell can be ticked."""

    def __init__(self, cell_of: Callable[[Index], Cell], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._cell_of = cell_of

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(60, row_height(option.font))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        self.initStyleOption(option, index)
        option.state &= ~QStyle.StateFlag.State_HasFocus  # the whole row is marked; a box around one cell says nothing
        theme = current_theme()
        style = option.widget.style() if option.widget else None
        option.text = ""
        option.icon = QIcon()
        option.features &= ~QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        if style is not None:
            style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        painter.save()
        cell = self._cell_of(index)
        area = option.rect.adjusted(PAD, 0, -PAD, 0)
        enabled = bool(option.state & QStyle.StateFlag.State_Enabled)
        ink = option.palette.color(
            QPalette.ColorGroup.Active if enabled else QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text
        )
        if index.flags() & Qt.ItemFlag.ItemIsUserCheckable:
            self._paint_tick(painter, option, index, style)
            area.setLeft(check_rect(option.rect).right() + PAD)
        font, small = QFont(option.font), small_font(option.font)
        font.setWeight(QFont.Weight.DemiBold if cell.strong else QFont.Weight.Normal)
        high, low = QFontMetrics(font).height(), QFontMetrics(small).height()
        two = bool(cell.detail) or cell.bar is not None
        top = area.top() + (area.height() - (high + (LINE_GAP + low if two else 0))) // 2
        line = QRect(area.left(), top, area.width(), high)
        if cell.icon is not None:
            side = round(high * 0.9)
            cell.icon.paint(painter, QRect(line.left(), line.top() + (high - side) // 2, side, side))
            line.setLeft(line.left() + side + 6)
        align = Qt.AlignmentFlag.AlignVCenter
        align |= Qt.AlignmentFlag.AlignHCenter if cell.centred else Qt.AlignmentFlag.AlignLeft
        painter.setFont(font)
        painter.setPen(QColor(cell.colour) if cell.colour else ink)
        painter.drawText(
            line, align, QFontMetrics(font).elidedText(cell.title, Qt.TextElideMode.ElideRight, line.width())
        )
        under = QRect(area.left(), top + high + LINE_GAP, area.width(), low)
        if cell.bar is not None:
            text, gap = cell.detail, 6
            width = QFontMetrics(small).horizontalAdvance(text) + 2
            room = area.width() - width - gap
            if not text or room < 30:
                text, room = "", area.width()
            _paint_bar(painter, QRectF(under.left(), under.center().y() - 2, room, 5), cell.bar)
            under.setLeft(under.left() + room + gap)
        else:
            text = cell.detail
        if cell.detail_icon is not None:
            cell.detail_icon.paint(painter, QRect(under.left(), under.top() + 1, low - 2, low - 2))
            under.setLeft(under.left() + low + 3)
        if cell.base_bar is not None:
            _paint_bar(painter, QRectF(area.left(), option.rect.bottom() - 5, area.width(), 3), cell.base_bar)
        painter.setFont(small)
        painter.setPen(QColor(theme.text_muted))
        painter.drawText(under, align, QFontMetrics(small).elidedText(text, Qt.TextElideMode.ElideRight, under.width()))
        painter.restore()

    def editorEvent(self, event: QEvent, model: QAbstractItemModel, option: QStyleOptionViewItem, index: Index) -> bool:
        """Click on the tick, or the space bar, turns it."""
        if not index.flags() & Qt.ItemFlag.ItemIsUserCheckable:
            return False
        if isinstance(event, QMouseEvent):
            room = check_rect(option.rect).adjusted(-PAD, -PAD, PAD // 2, PAD)
            if event.button() != Qt.MouseButton.LeftButton or not room.contains(event.position().toPoint()):
                return False
            if event.type() != QEvent.Type.MouseButtonRelease:
                return event.type() == QEvent.Type.MouseButtonDblClick
        elif not isinstance(event, QKeyEvent) or event.key() != Qt.Key.Key_Space:
            return False
        ticked = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) is Qt.CheckState.Checked
        wanted = Qt.CheckState.Unchecked if ticked else Qt.CheckState.Checked
        return model.setData(index, wanted, Qt.ItemDataRole.CheckStateRole)

    @staticmethod
    def _paint_tick(painter: QPainter, option: QStyleOptionViewItem, index: Index, style: QStyle | None) -> None:
        if style is None:
            return
        box = QStyleOptionViewItem(option)
        box.rect = check_rect(option.rect)
        box.state &= ~(QStyle.StateFlag.State_HasFocus | QStyle.StateFlag.State_On | QStyle.StateFlag.State_Off)
        ticked = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) is Qt.CheckState.Checked
        box.state |= QStyle.StateFlag.State_On if ticked else QStyle.StateFlag.State_Off
        style.drawPrimitive(QStyle.PrimitiveElement.PE_IndicatorItemViewItemCheck, box, painter, option.widget)


def _paint_bar(painter: QPainter, place: QRectF, share: float) -> None:
    theme = current_theme()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.mix(theme.raised, theme.text_muted, 0.25)))
    radius = place.height() / 2
    painter.drawRoundedRect(place, radius, radius)
    filled = QRectF(place)
    filled.setWidth(max(place.height(), place.width() * min(1.0, max(0.0, share))))
    painter.setBrush(QColor(theme.accent))
    if share > 0:
        painter.drawRoundedRect(filled, radius, radius)


def small_font(font: QFont) -> QFont:
    """The font of second lines."""
    small = QFont(font)
    small.setPointSizeF(font.pointSizeF() * 0.88)
    small.setWeight(QFont.Weight.Normal)
    return small


def row_height(font: QFont) -> int:
    """How high a row with two lines is."""
    return QFontMetrics(font).height() + LINE_GAP + QFontMetrics(small_font(font)).height() + 14


def check_rect(cell: QRect) -> QRect:
    """Where the tick of a cell lies."""
    side = 16
    return QRect(cell.left() + PAD, cell.center().y() - side // 2, side, side)


def fit_rows(view: QAbstractItemView) -> None:
    """Give all rows of a table the height that two lines need; to be called again when the font changes."""
    header = getattr(view, "verticalHeader", None)
    if header is not None:
        header().setDefaultSectionSize(row_height(view.font()))
