"""Paints the line style of a run into a table cell."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from difrob_gui.charts.pens import line_pen
from difrob_gui.models.compared_runs import STYLE_ROLE
from difrob_gui.theme import current_theme


class SwatchDelegate(QStyledItemDelegate):
    """A short line in the colour and dash that the run has in all charts."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        colour, dash = current_theme().series_style(index.data(STYLE_ROLE))
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ratio = painter.device().devicePixelRatio() if painter.device() is not None else 1.0
        painter.setPen(line_pen(colour, dash, 2.5, ratio))
        middle = option.rect.center().y() + 0.5
        painter.drawLine(QPointF(option.rect.left() + 8, middle), QPointF(option.rect.left() + 44, middle))
        painter.restore()
