"""Icons from SVG files, painted in whatever colour the theme has at that moment.

An SVG file draws with ``currentColor``; the engine here puts the colour in when it paints, so one ``QIcon`` serves every theme,
size and scale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from difrob.resources import resource_path

ColourOf = Callable[[QIcon.Mode], str]


def themed_icon(name: str, colour_of: ColourOf) -> QIcon:
    """An icon by file name without ending; ``colour_of`` gives ``#rrggbb`` for a mode each time it is painted.

    Raises:
        KeyError: when there is no icon of this name.
    """
    svg_text(name)
    return QIcon(_SvgEngine(name, colour_of))


@cache
def svg_text(name: str) -> str:
    """The SVG source of an icon. Raises KeyError when there is none of this name."""
    path = resource_path("icons", f"{name}.svg")
    if not path.is_file():
        raise KeyError(f"there is no icon '{name}'")
    return path.read_text(encoding="utf-8")


@cache
def _renderer(name: str, colour: str) -> QSvgRenderer:
    return QSvgRenderer(QByteArray(svg_text(name).replace("currentColor", colour).encode()))


class _SvgEngine(QIconEngine):
    """Paints one SVG file in the colour that holds now."""

    def __init__(self, name: str, colour_of: ColourOf) -> None:
        super().__init__()
        self._name = name
        self._colour_of = colour_of

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        side = min(rect.width(), rect.height())
        place = QRectF(rect.x() + (rect.width() - side) / 2, rect.y() + (rect.height() - side) / 2, side, side)
        _renderer(self._name, self._colour_of(mode)).render(painter, place)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        result = QPixmap(size)
        result.fill(Qt.GlobalColor.transparent)
        painter = QPainter(result)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return result

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        result = self.pixmap(size * scale, mode, state)
        result.setDevicePixelRatio(scale)
        return result

    def key(self) -> str:
        return "difrob-svg"

    def clone(self) -> QIconEngine:
        return _SvgEngine(self._name, self._colour_of)
