"""One curve of a chart: its data, its looks, and the items that draw it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyqtgraph
from PySide6.QtGui import QPen

from difrob_gui.charts.items import FEW, BandItem, MarkerItem, lone_samples
from difrob_gui.charts.pens import is_calm, line_pen
from difrob_gui.charts.ranges import Range
from difrob_gui.charts.series_data import Line, SeriesData, XAxis
from difrob_gui.themes import Theme

MOST_DOTS = 32
MANY = 8


@dataclass(frozen=True)
class Look:
    """Everything of a chart that the drawing of a curve depends on.

    ``pixels`` are width and height of the plot in physical pixels, ``ratio`` those per logical one, ``count`` the number of
    curves in the chart, ``highlight`` the key of the curve that stands out.
    """

    axis: XAxis
    x_range: Range
    y_range: Range
    pixels: tuple[int, int]
    ratio: float
    log: bool
    smoothing: float
    theme: Theme
    highlight: str
    count: int


@dataclass
class Curve:
    """Data and looks. ``style`` is a number in the theme's cycle; ``interval`` says what the band is."""

    key: str
    label: str
    data: SeriesData
    style: int
    interval: str = ""
    hint: str = ""
    shown: bool = True
    line: pyqtgraph.PlotCurveItem = field(default_factory=lambda: pyqtgraph.PlotCurveItem())
    faint: pyqtgraph.PlotCurveItem = field(default_factory=lambda: pyqtgraph.PlotCurveItem())
    band: BandItem = field(default_factory=BandItem)
    dots: MarkerItem = field(default_factory=MarkerItem)
    drawn: tuple[object, ...] = ()

    @property
    def items(self) -> tuple[pyqtgraph.GraphicsObject, ...]:
        """Everything that draws this curve."""
        return self.band, self.faint, self.line, self.dots

    def weight(self, smoothing: float) -> float:
        """The smoothing that applies to it: measurements with an interval are shown as they were measured."""
        return 0.0 if self.data.has_band else smoothing

    def unsmoothed(self, look: Look) -> int:
        """How many samples drawing it would have to smooth first."""
        weight = self.weight(look.smoothing)
        return self.data.unsmoothed(weight) if weight > 0 and self.shown else 0

    def draw(self, look: Look) -> None:
        """Bring its items up to date; cheap when nothing has changed."""
        now = (id(self.data), len(self.data), self.shown, self.style, look)
        if now == self.drawn:
            return
        self.drawn = now
        if not self.shown:
            for item in self.items:
                _show(item, False)
            return
        colour, dash = look.theme.series_style(self.style)
        stands_out = look.highlight == self.key
        faded = bool(look.highlight) and not stands_out
        if faded:
            colour = look.theme.mix(colour, look.theme.plot_background, 0.7)
        view = (look.axis, *look.x_range, look.pixels[0])
        weight = self.weight(look.smoothing)

        main = self.data.smoothed(*view, weight, log=look.log) if weight else self.data.line(*view, log=look.log)
        size = (look.x_range[1] - look.x_range[0], look.y_range[1] - look.y_range[0])
        calm = is_calm(main.x, main.y, size, look.pixels, look.count)
        width = (3.0 if stands_out else 2.0) if calm else 1.0
        _draw_line(self.line, main, line_pen(colour, dash, width, look.ratio), calm or len(main.x) <= FEW)
        self.line.setZValue(5 if stands_out else 1)

        raw_behind = weight > 0 and look.count <= MANY
        _show(self.faint, raw_behind)
        if raw_behind:
            pen = line_pen(look.theme.mix(colour, look.theme.plot_background, 0.72))
            _draw_line(self.faint, self.data.line(*view, log=look.log), pen, False)
        self._draw_band(look, colour, faded)
        self._draw_dots(look, main, colour)

    def _draw_band(self, look: Look, colour: str, faded: bool) -> None:
        band = self.data.band(look.axis, *look.x_range, look.pixels[0], log=look.log)
        _show(self.band, band is not None)
        if band is not None:
            self.band.set_colour(colour, 0.06 if faded else (0.20 if look.count <= 4 else 0.13))
            self.band.set_band(band.x, band.low, band.high)

    def _draw_dots(self, look: Look, line: Line, colour: str) -> None:
        """Every sample where there are few, else those that belong to no segment."""
        few = line.is_exact and len(line.x) <= MOST_DOTS and look.count <= MANY
        dots = np.isfinite(line.y) if few else lone_samples(line.y)
        any_dots = bool(dots.any())
        _show(self.dots, any_dots)
        if any_dots:
            self.dots.set_look(colour, 5.0 * look.ratio)
            self.dots.set_points(line.x[dots], line.y[dots])


def _draw_line(item: pyqtgraph.PlotCurveItem, line: Line, pen: QPen, antialias: bool) -> None:
    whole = bool(np.isfinite(line.y).all())
    connect = "all" if whole else "finite"
    item.setData(line.x, line.y, pen=pen, antialias=antialias, connect=connect, skipFiniteCheck=whole)
    _show(item, True)


def _show(item: pyqtgraph.GraphicsObject, visible: bool) -> None:
    """Asking costs less than setting, which tells pyqtgraph each time."""
    if item.isVisible() != visible:
        item.setVisible(visible)
