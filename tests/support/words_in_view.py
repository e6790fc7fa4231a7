"""Everything that a page says, on all of its tabs: to see that something is said nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import QAbstractItemModel, QModelIndex, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QComboBox,
    QLabel,
    QPlainTextEdit,
    QStackedWidget,
    QTabWidget,
    QWidget,
)

from difrob_gui.charts.legend import Legend
from difrob_gui.charts.plot_area import PlotArea
from difrob_gui.widgets.elided_label import ElidedLabel


def words_in_view(widget: QWidget) -> list[str]:
    """All texts of a widget and of what is inside it: labels, tables, legends, axes, tooltips, names for screen readers.

    What is hidden is left out, except tabs: each of them is one click away.
    """
    return [text for text in _texts(widget) if text]


def _texts(widget: QWidget) -> Iterator[str]:
    yield from (widget.toolTip(), widget.accessibleName(), widget.accessibleDescription())
    if isinstance(widget, QLabel | QAbstractButton | ElidedLabel):
        yield widget.text()
    elif isinstance(widget, QPlainTextEdit):
        yield widget.toPlainText()
    elif isinstance(widget, QComboBox):
        yield from (widget.itemText(row) for row in range(widget.count()))
    elif isinstance(widget, QTabWidget):
        yield from (widget.tabText(tab) for tab in range(widget.count()))
    elif isinstance(widget, Legend):
        yield from (part for entry in widget.entries for part in (entry.label, entry.value, entry.hint))
        yield widget.note
    elif isinstance(widget, PlotArea):
        yield widget.getPlotItem().getAxis("bottom").labelText
    elif isinstance(widget, QAbstractItemView) and widget.model() is not None:
        yield from _cells(widget.model(), QModelIndex())
    tabs = isinstance(widget, QStackedWidget) and isinstance(widget.parent(), QTabWidget)
    for child in widget.children():
        if isinstance(child, QWidget) and not child.isWindow() and (tabs or not child.isHidden()):
            yield from _texts(child)


def _cells(model: QAbstractItemModel, parent: QModelIndex) -> Iterator[str]:
    for column in range(model.columnCount(parent)):
        yield str(model.headerData(column, Qt.Orientation.Horizontal) or "")
    for row in range(model.rowCount(parent)):
        for column in range(model.columnCount(parent)):
            index = model.index(row, column, parent)
            for role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
                yield str(index.data(role) or "")
        yield from _cells(model, model.index(row, 0, parent))
