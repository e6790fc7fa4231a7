"""The plot itself: axes, grid, zooming and panning, keys. It draws what it is given and knows no data.

Wrapped pyqtgraph, with its costs kept off: no automatic ranging, ticks worked out here and only when the range or the size
changes, no menus, no wheel unless Ctrl is held (so that a page of plots still scrolls).
"""

from __future__ import annotations

import time

import pyqtgraph
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent, MouseDragEvent
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from difrob_gui.charts.items import GridItem
from difrob_gui.charts.ticks import Scale, ticks
from difrob_gui.themes import Theme

WAITING = "reading …"
_KEY_MOVES = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}


class _Box(pyqtgraph.ViewBox):
    """Left drag zooms to a rectangle, Shift or the middle button pans, a double click fits."""

    fit_wanted = Signal()

    def mouseDragEvent(self, ev: MouseDragEvent, axis: int | None = None) -> None:
        if ev.button() == Qt.MouseButton.RightButton:
            ev.ignore()
            return
        pans = ev.button() == Qt.MouseButton.MiddleButton or ev.modifiers() & Qt.KeyboardModifier.ShiftModifier
        self.state["mouseMode"] = self.PanMode if pans or axis is not None else self.RectMode
        if ev.isFinish() and not pans and axis is None:
            start, end = ev.buttonDownPos(ev.button()), ev.pos()
            if abs(start.x() - end.x()) < 4 or abs(start.y() - end.y()) < 4:
                self.rbScaleBox.hide()
                ev.accept()
                return
            super().mouseDragEvent(ev, axis)
            self.sigRangeChangedManually.emit(self.state["mouseEnabled"])
            return
        super().mouseDragEvent(ev, axis)

    def mouseClickEvent(self, ev: MouseClickEvent) -> None:
        if ev.double() and ev.button() == Qt.MouseButton.LeftButton:
            ev.accept()
            self.fit_wanted.emit()

    def keyPressEvent(self, ev: QKeyEvent) -> None:
        ev.ignore()


class PlotArea(pyqtgraph.PlotWidget):
    """Axes and grid around an empty view.

    Signals:
        painted: it was just painted.
        view_changed: range or size changed; whatever depends on pixels is out of date.
        moved_by_hand: somebody zoomed or panned.
        fit_wanted: somebody asked for all data.
        pointed: the pointer stands at this x; None when it left.
        step_wanted: move the read-out by one sample to the left (-1) or right (1).
        menu_wanted: somebody asked for the menu, at a global position.
    """

    painted = Signal()
    view_changed = Signal()
    moved_by_hand = Signal()
    fit_wanted = Signal()
    pointed = Signal(object)
    step_wanted = Signal(int)
    menu_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._box = _Box(enableMenu=False)
        super().__init__(parent, viewBox=self._box, enableMenu=False)
        self.paint_seconds = 0.0
        self.is_waiting = True
        self.x_scale = Scale.COUNT
        self.y_scale = Scale.NUMBER
        self._grid = GridItem()
        self._waiting_colour = QColor()
        self._tick_key: tuple[object, ...] = ()
        plot = self.getPlotItem()
        plot.hideButtons()
        plot.setContentsMargins(0, 4, 12, 0)
        self._box.disableAutoRange()
        self._box.setDefaultPadding(0)
        self._box.addItem(self._grid, ignoreBounds=True)
        for name in ("left", "bottom"):
            axis = plot.getAxis(name)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(
                tickLength=0, tickTextOffset=6, autoExpandTextSpace=False, autoReduceTextSpace=False,
                hideOverlappingLabels=False,
            )  # fmt: skip
        self.setMouseEnabled(x=True, y=True)
        self._box.sigRangeChanged.connect(self._on_range)
        self._box.sigRangeChangedManually.connect(lambda _: self.moved_by_hand.emit())
        self._box.fit_wanted.connect(self.fit_wanted)
        self.scene().sigMouseMoved.connect(self._on_pointer)

    # ------------------------------------------------------------------ what the chart uses

    @property
    def x_range(self) -> tuple[float, float]:
        """Left and right end of the view."""
        low, high = self._box.viewRange()[0]
        return float(low), float(high)

    @property
    def y_range(self) -> tuple[float, float]:
        """Lower and upper end of the view; logarithms on a logarithmic axis."""
        low, high = self._box.viewRange()[1]
        return float(low), float(high)

    @property
    def pixels(self) -> int:
        """Width of the view in physical pixels."""
        return max(1, int(self._box.width() * self.devicePixelRatioF()))

    @property
    def height_pixels(self) -> int:
        """Height of the view in physical pixels."""
        return max(1, int(self._box.height() * self.devicePixelRatioF()))

    def add(self, item: pyqtgraph.GraphicsObject) -> None:
        """Put an item into the view."""
        self._box.addItem(item, ignoreBounds=True)

    def take(self, item: pyqtgraph.GraphicsObject) -> None:
        """Take an item out of the view."""
        self._box.removeItem(item)

    def set_ranges(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Show this part of the plane; nothing happens when it is shown already."""
        if x != self.x_range or y != self.y_range:
            self._box.setRange(xRange=x, yRange=y, padding=0, disableAutoRange=True)

    def set_waiting(self, waiting: bool) -> None:
        """Say that values are being read, in place of axes on which nothing stands yet."""
        if waiting != self.is_waiting:
            self.is_waiting = waiting
            self.viewport().update()

    def set_scales(self, x: Scale, y: Scale, x_label: str) -> None:
        """What the numbers along the axes are."""
        self.x_scale, self.y_scale = x, y
        axis = self.getPlotItem().getAxis("bottom")
        if axis.labelText != x_label:
            axis.setLabel(x_label)
        self._update_ticks()

    def apply_theme(self, theme: Theme) -> None:
        """Colours of ground, grid and axes."""
        self.setBackground(theme.plot_background)
        self._grid.set_colour(theme.plot_grid)
        self._waiting_colour = QColor(theme.text_muted)
        font = self.font()
        font.setPointSizeF(max(7.0, 0.88 * font.pointSizeF()))
        for name in ("left", "bottom"):
            axis = self.getPlotItem().getAxis(name)
            axis.setPen(QPen(QColor(theme.border), 1))
            axis.setTextPen(QColor(theme.plot_axis))
            axis.setTickFont(font)
            axis.labelStyle = {"color": theme.plot_axis, "font-size": f"{font.pointSizeF():.1f}pt"}
        bottom = self.getPlotItem().getAxis("bottom")
        bottom.setLabel(bottom.labelText)
        bottom.setHeight(2 * QFontMetricsF(font).height() + 8)
        box = self._box.rbScaleBox
        tint = QColor(theme.accent)
        box.setPen(QPen(tint, 1))
        tint.setAlphaF(0.15)
        box.setBrush(tint)
        self._tick_key = ()
        self._update_ticks()

    # ------------------------------------------------------------------ ticks

    def _on_range(self, *_: object) -> None:
        self._update_ticks()
        self.view_changed.emit()

    def _update_ticks(self) -> None:
        """Work out ticks and grid, when what they depend on has changed."""
        width, height = self._box.width(), self._box.height()
        key = (self.x_range, self.y_range, round(width), round(height), self.x_scale, self.y_scale)
        if key == self._tick_key or width < 2 or height < 2:
            return
        self._tick_key = key
        left, bottom = (self.getPlotItem().getAxis(name) for name in ("left", "bottom"))
        metrics = QFontMetricsF(left.style["tickFont"] or self.font())
        digit = metrics.horizontalAdvance("0")
        xs = ticks(self.x_scale, *self.x_range, most=int(width / (8 * digit)))
        ys = ticks(self.y_scale, *self.y_range, most=min(8, int(height / (1.9 * metrics.height()))))
        bottom.setTicks([xs])
        left.setTicks([ys])
        needed = max((metrics.horizontalAdvance(text) for _, text in ys), default=0.0) + 10
        if needed > left.width() or needed < left.width() - 4 * digit or left.fixedWidth is None:
            left.setWidth(needed + digit)
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        self._grid.set_lines(QRectF(x0, y0, x1 - x0, y1 - y0), [x for x, _ in xs], [y for y, _ in ys])

    # ------------------------------------------------------------------ events

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_grid"):
            self._update_ticks()
            self.view_changed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        started = time.monotonic()
        if self.is_waiting:
            self._paint_waiting()
        else:
            super().paintEvent(event)
        self.paint_seconds = time.monotonic() - started
        self.painted.emit()

    def _paint_waiting(self) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(self.viewport().rect(), self.backgroundBrush())
        painter.setPen(self._waiting_colour)
        painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, WAITING)
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event)
        else:
            event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        event.accept()
        self.menu_wanted.emit(event.globalPos())

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.pointed.emit(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the read-out, with Shift the view; + and - zoom; Home or 0 fits; Esc drops the read-out."""
        key, shift = Qt.Key(event.key()), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if key in _KEY_MOVES and shift:
            across, along = _KEY_MOVES[key]
            (x0, x1), (y0, y1) = self.x_range, self.y_range
            self._box.translateBy(x=0.15 * across * (x1 - x0), y=0.15 * along * (y1 - y0))
            self.moved_by_hand.emit()
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.step_wanted.emit(_KEY_MOVES[key][0])
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            factor = 1.25 if key == Qt.Key.Key_Minus else 0.8
            self._box.scaleBy((factor, factor))
            self.moved_by_hand.emit()
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_0):
            self.fit_wanted.emit()
        elif key == Qt.Key.Key_Escape:
            self.pointed.emit(None)
            event.ignore()
        else:
            event.ignore()

    def _on_pointer(self, position: QPointF) -> None:
        if self._box.sceneBoundingRect().contains(position):
            self.pointed.emit(float(self._box.mapSceneToView(position).x()))
        else:
            self.pointed.emit(None)
