"""What lies in a plot besides the curves: grid, interval bands, markers of single samples."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen

# Antialiasing is for outlines of up to this many samples; beyond, pixels are finer than the picture.
FEW = 400


class GridItem(pyqtgraph.GraphicsObject):
    """Lines at given positions across the view; it knows no ticks, so that nothing is computed while painting."""

    def __init__(self) -> None:
        super().__init__()
        self._area = QRectF()
        self._lines: list[QLineF] = []
        self._pen = QPen()
        self.setZValue(-100)

    def set_colour(self, colour: str) -> None:
        """Colour of the lines."""
        self._pen = QPen(QColor(colour), 0)
        self.update()

    def set_lines(self, area: QRectF, xs: list[float], ys: list[float]) -> None:
        """Lines at ``xs`` and ``ys`` across ``area``, in the coordinates of the data."""
        self.prepareGeometryChange()
        self._area = QRectF(area)
        self._lines = [QLineF(x, area.top(), x, area.bottom()) for x in xs]
        self._lines += [QLineF(area.left(), y, area.right(), y) for y in ys]

    def boundingRect(self) -> QRectF:
        return self._area

    def paint(self, painter: QPainter, *_: object) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(self._pen)
        painter.drawLines(self._lines)


class BandItem(pyqtgraph.GraphicsObject):
    """A translucent band between two lines, broken where either is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self._path = QPainterPath()
        self._brush = QBrush()
        self._smooth = True
        self.setZValue(-50)

    def set_colour(self, colour: str, opacity: float) -> None:
        """Colour of the filling."""
        filling = QColor(colour)
        filling.setAlphaF(opacity)
        self._brush = QBrush(filling)
        self.update()

    def set_band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Limits at positions ``x``."""
        self.prepareGeometryChange()
        self._smooth = len(x) <= FEW
        self._path = QPainterPath()
        for stretch in finite_stretches(np.isfinite(x) & np.isfinite(low) & np.isfinite(high)):
            xs = x[stretch]
            outline_x = np.concatenate([xs, xs[::-1], xs[:1]])
            outline_y = np.concatenate([low[stretch], high[stretch][::-1], low[stretch][:1]])
            self._path.addPath(pyqtgraph.arrayToQPath(outline_x, outline_y, connect="all", finiteCheck=False))
        self.update()

    def boundingRect(self) -> QRectF:
        return self._path.controlPointRect()

    def paint(self, painter: QPainter, *_: object) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, self._smooth)
        painter.fillPath(self._path, self._brush)


class MarkerItem(pyqtgraph.GraphicsObject):
    """Round dots at single samples, so that one point, or a point between two gaps, can be seen."""

    MOST = 500

    def __init__(self) -> None:
        super().__init__()
        self._points: list[QPointF] = []
        self._brush = QBrush()
        self._width = 5.0
        self.setZValue(10)

    @property
    def count(self) -> int:
        """How many dots there are."""
        return len(self._points)

    def set_look(self, colour: str, width: float) -> None:
        """Colour of the dots, and their width in physical pixels."""
        self._width = width
        self._brush = QBrush(QColor(colour))
        self.update()

    def set_points(self, x: np.ndarray, y: np.ndarray) -> None:
        """Positions of the dots; at most :attr:`MOST` are drawn."""
        self.prepareGeometryChange()
        finite = np.isfinite(x) & np.isfinite(y)
        points = zip(x[finite][: self.MOST].tolist(), y[finite][: self.MOST].tolist(), strict=True)
        self._points = [QPointF(*point) for point in points]
        self.update()

    def boundingRect(self) -> QRectF:
        if not self._points:
            return QRectF()
        xs, ys = [p.x() for p in self._points], [p.y() for p in self._points]
        dx, dy = self._radii()
        return QRectF(min(xs) - dx, min(ys) - dy, max(xs) - min(xs) + 2 * dx, max(ys) - min(ys) + 2 * dy)

    def viewTransformChanged(self) -> None:
        self.prepareGeometryChange()

    def paint(self, painter: QPainter, *_: object) -> None:
        # Not drawPoints: Qt draws a point as a line of 1/63 of a unit, which may be many pixels on an axis from 0 to 1.
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._brush)
        dx, dy = self._radii()
        for point in self._points:
            painter.drawEllipse(point, dx, dy)

    def _radii(self) -> tuple[float, float]:
        """Half the width of a dot along either axis, in the coordinates of the data."""
        across, along = self.pixelVectors()
        view = self.getViewWidget()
        half = self._width / 2 / (view.devicePixelRatioF() if view is not None else 1.0)
        return (
            across.length() * half if across is not None else 0.0,
            along.length() * half if along is not None else 0.0,
        )


def finite_stretches(finite: np.ndarray) -> list[slice]:
    """Runs of True as slices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(np.int8)))
    return [slice(int(start), int(stop)) for start, stop in zip(edges[0::2], edges[1::2], strict=True)]


def lone_samples(y: np.ndarray) -> np.ndarray:
    """Which samples have no finite neighbour, and so belong to no line segment."""
    finite = np.isfinite(y)
    beside = np.zeros(len(y), dtype=bool)
    beside[1:] |= finite[:-1]
    beside[:-1] |= finite[1:]
    return finite & ~beside
