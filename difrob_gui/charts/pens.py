"""Pens for curves, and which width a curve can afford.

A width of 2 with antialiasing looks best, and costs in proportion to the length of the drawn line: white noise over a whole
plot takes 25 ms per curve where a smooth line takes 0.5 ms. So the length decides, measured in pixels.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPen

from difrob_gui.themes import Dash

# A curve of up to this much ink, in half circumferences of the plot, is drawn wide and smooth; many curves share a budget.
_CALM = 3.0
_CALM_ALL = 16.0
_CALM_LEAST = 1.3


def line_pen(colour: str, dash: Dash = (), width: float = 1.0, ratio: float = 1.0) -> QPen:
    """A pen whose width and dashes do not grow with the zoom.

    Args:
        colour: as ``#rrggbb``.
        dash: lengths of dashes and gaps in logical pixels.
        width: in logical pixels; a width of 1 stays one physical pixel, which is the fast way to paint noise.
        ratio: physical pixels per logical one; Qt counts the width of such pens in physical ones.
    """
    physical = width * ratio if width > 1 else 1.0
    pen = QPen(QColor(colour), physical)
    pen.setCosmetic(True)
    if dash:
        pen.setDashPattern([length * ratio / physical for length in dash])
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    pen.setJoinStyle(Qt.PenJoinStyle.BevelJoin if width <= 1 else Qt.PenJoinStyle.RoundJoin)
    return pen


def is_calm(x: np.ndarray, y: np.ndarray, size: tuple[float, float], pixels: tuple[int, int], curves: int = 1) -> bool:
    """Whether a line is short enough on the screen to be drawn wide and antialiased.

    Args:
        x, y: the line, in the coordinates of the view.
        size: width and height of the view in the same coordinates.
        pixels: width and height of the view in pixels.
        curves: how many curves are drawn in all.
    """
    if len(x) < 2:
        return True
    across = np.abs(np.diff(x)) * (pixels[0] / size[0])
    along = np.minimum(np.abs(np.diff(y)) * (pixels[1] / size[1]), pixels[1])
    ink = float(np.nansum(across) + np.nansum(along))
    most = max(min(_CALM, _CALM_ALL / max(curves, 1)), _CALM_LEAST)
    return ink <= most * (pixels[0] + pixels[1])
