"""A card with a plot of growing curves: axes, bands, legend with values, read-out, zoom, menu.

Data and picture are apart: a page appends to :class:`SeriesData` and calls :meth:`Chart.touch`; the scheduler redraws the chart
when its turn comes, and not at all while nobody sees it.
"""

from __future__ import annotations

import math

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from difrob_gui.charts import readout
from difrob_gui.charts.chart_card import ChartCard
from difrob_gui.charts.curve import Curve, Look
from difrob_gui.charts.items import GridItem
from difrob_gui.charts.legend import Entry
from difrob_gui.charts.ranges import LEAST_WIDTH, Range, follow_x, follow_y
from difrob_gui.charts.scheduler import scheduler
from difrob_gui.charts.series_data import SeriesData, XAxis
from difrob_gui.charts.ticks import Scale, value_text
from difrob_gui.theme import current_theme, theme_signals
from difrob_gui.themes import Theme

# A long smoothing is spread over several pictures, so that switching it on never blocks the window.
SMOOTHED_AT_ONCE = 150_000
SHARE_RANGE: Range = (-0.02, 1.02)


class Chart(ChartCard):
    """A titled plot.

    Signals:
        cursor_moved: the read-out stands at this position of the x axis, or None; for charts that move together.
    """

    cursor_moved = Signal(object)

    def __init__(
        self,
        title: str,
        *,
        y_scale: Scale = Scale.NUMBER,
        x_scale: Scale = Scale.COUNT,
        x_label: str = "step",
        fixed_y: Range | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """An empty chart. ``fixed_y`` keeps the y axis where it is; shares keep [0, 1] unless told otherwise.

        With the scale ``LOG`` the y axis is logarithmic until somebody makes it a plain one.
        """
        super().__init__(title, parent)
        self._curves: dict[str, Curve] = {}
        self._y_scale, self._x_scale, self._x_label = y_scale, x_scale, x_label
        self._fixed_y = SHARE_RANGE if fixed_y is None and y_scale is Scale.SHARE else fixed_y
        self._axis = XAxis.STEP
        self._log = y_scale is Scale.LOG
        self._growing = False
        self._weight = 0.0
        self._follows = True
        self._auto: tuple[Range | None, Range | None] = (None, None)
        self._cursor: float | None = None
        self._highlight = ""
        self._dirty = True
        self._credit: float = SMOOTHED_AT_ONCE

        self._cross = GridItem()
        self._cross.setZValue(50)
        self.area.add(self._cross)
        self._log_button.setVisible(y_scale is not Scale.SHARE)
        self._log_button.setChecked(self._log)
        self._log_button.clicked.connect(self.set_log_y)
        self._fit_button.clicked.connect(self.fit)
        self.area.painted.connect(self._on_painted)
        self.area.view_changed.connect(self._on_view_changed)
        self.area.moved_by_hand.connect(self._on_moved)
        self.area.fit_wanted.connect(self.fit)
        self.area.pointed.connect(self._on_pointed)
        self.area.step_wanted.connect(self._on_step)
        self.legend.toggled.connect(self._on_toggled)
        self.legend.highlighted.connect(self._on_highlighted)
        theme_signals.changed.connect(self._apply_theme)
        self._apply_theme(current_theme())
        self._update_scales()

    # ------------------------------------------------------------------ curves

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves by key, in the order in which they were added."""
        return self._curves

    def add_curve(
        self, key: str, label: str, data: SeriesData, style: int = 0, *, interval: str = "", hint: str = ""
    ) -> Curve:
        """Add a curve, or give the one of this key new data and looks.

        Args:
            key: names the curve in this chart.
            label: what the legend calls it.
            data: its points; may grow later, see :meth:`touch`.
            style: number in the theme's cycle of colours and dashes.
            interval: what its band is, e.g. ``"Wilson 95 %"``.
            hint: tooltip of its legend entry.
        """
        curve = self._curves.get(key)
        if curve is None:
            curve = self._curves[key] = Curve(key, label, data, style, interval, hint)
            for item in curve.items:
                self.area.add(item)
        else:
            curve.label, curve.data, curve.style, curve.interval, curve.hint = label, data, style, interval, hint
            curve.drawn = ()
        self.touch()
        return curve

    def remove_curve(self, key: str) -> None:
        """Take a curve away; nothing happens when there is none of this key."""
        curve = self._curves.pop(key, None)
        if curve is not None:
            for item in curve.items:
                self.area.take(item)
            left = [entry for entry in self.legend.entries if entry.key != key]
            self._tell(left, self.legend.note if left else "")
            self.touch()

    def clear(self) -> None:
        """Take all curves away, with the read-out, and follow the data again."""
        for key in list(self._curves):
            self.remove_curve(key)
        self._cursor = None
        self._where.setText("")
        self._auto = (None, None)
        self._follows = True
        self._fit_button.hide()
        self.area.set_waiting(True)

    def set_curve_shown(self, key: str, shown: bool) -> None:
        """Show or hide a curve; it stays in the legend."""
        curve = self._curves.get(key)
        if curve is not None and curve.shown != shown:
            curve.shown = shown
            self.touch()

    def touch(self) -> None:
        """Data have changed; the picture follows within a tenth of a second, if anybody sees it."""
        self._dirty = True
        if self._is_seen():
            scheduler().request(self)

    # ------------------------------------------------------------------ view

    @property
    def is_log(self) -> bool:
        """Whether the y axis is logarithmic."""
        return self._log

    @property
    def _plain_scale(self) -> Scale:
        """The scale of the y axis while it is not logarithmic."""
        return Scale.NUMBER if self._y_scale is Scale.LOG else self._y_scale

    @property
    def smoothing(self) -> float:
        """Weight of the past in the moving average; 0 for none."""
        return self._weight

    @property
    def x_axis(self) -> XAxis:
        """What runs along x."""
        return self._axis

    @property
    def y_scale(self) -> Scale:
        """What the numbers along y are, while the axis is linear."""
        return self._y_scale

    @property
    def has_steps(self) -> bool:
        """Whether x counts steps, so that elapsed time is another choice."""
        return self._x_scale is Scale.COUNT

    @property
    def follows(self) -> bool:
        """Whether the view moves along with the data; not after a zoom by hand."""
        return self._follows

    def set_log_y(self, log: bool) -> None:
        """Logarithmic y axis; values that are not positive are left out."""
        if log == self._log:
            return
        self._log = log
        self._log_button.setChecked(log)
        self._restart_view()

    def set_smoothing(self, weight: float) -> None:
        """Exponential moving average with this weight on the past; the raw curve stays, faint, behind it.

        Measurements that carry an interval are not smoothed.
        """
        if weight != self._weight:
            self._weight = weight
            self.touch()

    def set_x_axis(self, axis: XAxis) -> None:
        """Steps or elapsed time; without effect on curves over another quantity."""
        if axis is not self._axis and self.has_steps:
            self._axis = axis
            self._cursor = None
            self._restart_view()

    def set_axes(self, x_label: str, x_scale: Scale, y_scale: Scale, fixed_y: Range | None = None) -> None:
        """Another meaning of the axes, for a chart that is used again; nothing happens when they mean that already.

        Counts that only get another word stay where they are in the view.
        """
        wanted = (x_label, x_scale, y_scale, SHARE_RANGE if fixed_y is None and y_scale is Scale.SHARE else fixed_y)
        if wanted == (self._x_label, self._x_scale, self._y_scale, self._fixed_y):
            return
        another_word = self.has_steps and wanted[1:] == (self._x_scale, self._y_scale, self._fixed_y)
        self._x_label, self._x_scale, self._y_scale, self._fixed_y = wanted
        if another_word:
            self._update_scales()
            return
        self._log_button.setVisible(y_scale is not Scale.SHARE)
        if y_scale in (Scale.SHARE, Scale.LOG):
            self._log = y_scale is Scale.LOG
            self._log_button.setChecked(self._log)
        self._restart_view()

    def set_growing(self, growing: bool) -> None:
        """Whether more data are to come: then the x axis keeps room for them."""
        if growing != self._growing:
            self._growing = growing
            self.touch()

    def set_cursor(self, x: float | None) -> None:
        """Move the read-out here without telling others; None drops it."""
        if x != self._cursor:
            self._cursor = x
            self._dirty = True
            if self._is_seen():
                scheduler().request(self, soon=True)

    def fit(self) -> None:
        """Show all data and follow them again."""
        self._follows = True
        self._fit_button.hide()
        self._auto = (None, None)
        self.touch()

    # ------------------------------------------------------------------ drawing

    @property
    def paint_seconds(self) -> float:
        """How long the last painting of the plot took; the scheduler plans with it."""
        return self.area.paint_seconds

    @property
    def is_behind(self) -> bool:
        """Whether somebody sees it while its picture is still to be brought up to date."""
        return self._dirty and self._is_seen()

    def refresh(self) -> None:
        """Bring the picture up to date; called by the scheduler."""
        if not self._dirty or not self._is_seen():
            return
        self._credit = SMOOTHED_AT_ONCE
        self._draw()
        if self._credit <= 0:
            self.touch()

    def draw(self, ratio: float | None = None) -> None:
        """Bring the picture up to date even though nobody sees it; for exports.

        Args:
            ratio: physical pixels per logical one that the widths of lines are meant for; that of the screen by default.
        """
        self._credit = math.inf
        self._draw(ratio)

    def _draw(self, ratio: float | None = None) -> None:
        self._dirty = False
        self.area.set_waiting(not any(len(c.data) or c.data.not_finite for c in self._curves.values()))
        if self._follows:
            self._follow()
        area = self.area
        look = Look(
            self._axis, area.x_range, area.y_range, (area.pixels, area.height_pixels), ratio or area.devicePixelRatioF(),
            self._log, self._weight, current_theme(), self._highlight, len(self._curves),
        )  # fmt: skip
        for curve in self._curves.values():
            cost = curve.unsmoothed(look)
            if cost and self._credit <= 0:
                continue
            self._credit -= cost
            curve.draw(look)
        self._draw_cross()
        self._update_legend(look)

    def _follow(self) -> None:
        curves = [c for c in self._curves.values() if c.shown and len(c.data)]
        spans = [span for c in curves if (span := c.data.span(self._axis)) is not None]
        if not spans:
            return
        left, right = min(s[0] for s in spans), max(s[1] for s in spans)
        if self.has_steps and 0 <= left <= 0.1 * right:
            left = 0.0
        x = follow_x(self._auto[0], left, right, growing=self._growing)
        if self._fixed_y is not None and not self._log:
            y: Range = self._fixed_y
        else:
            ends = [c.data.extremes(self._axis, *x, positive=self._log) for c in curves]
            low = min((e[0] for e in ends if math.isfinite(e[0])), default=math.nan)
            high = max((e[1] for e in ends if math.isfinite(e[1])), default=math.nan)
            if self._log and math.isfinite(low):
                low, high = math.log10(low), math.log10(high)
            y = follow_y(self._auto[1], low, high, least=0.0 if self._log else LEAST_WIDTH)
        self._auto = (x, y)
        self.area.set_ranges(x, y)

    def _draw_cross(self) -> None:
        (x0, x1), (y0, y1) = self.area.x_range, self.area.y_range
        at = [self._cursor] if self._cursor is not None else []
        self._cross.set_lines(QRectF(x0, y0, x1 - x0, y1 - y0), at, [])
        if self._cursor is None:
            self._where.setText("")
        else:
            scale = Scale.SECONDS if self._axis is XAxis.ELAPSED and self.has_steps else self._x_scale
            at_sample = readout.nearest_sample(self._curves.values(), self._axis, self._cursor)
            self._where.setText(f"{self._x_title()} {value_text(scale, at_sample)}")

    def _update_legend(self, look: Look) -> None:
        curves = list(self._curves.values())
        entries = [readout.entry_of(curve, self._value_of(curve, look), look.theme) for curve in curves]
        self._tell(entries, readout.note(curves, self._weight))

    def _tell(self, entries: list[Entry], note: str) -> None:
        """Write the legend, and say the same of the plot."""
        self.legend.set_entries(entries, note)
        self.area.setAccessibleDescription(self.legend.accessibleDescription())

    def _value_of(self, curve: Curve, look: Look) -> str:
        if self._credit <= 0 and curve.unsmoothed(look):
            return readout.PENDING
        if self._cursor is not None:
            return readout.at(curve, self._axis, self._cursor, look.x_range, self._y_scale, self._weight)
        # The right end of a curve over radius or eps says nothing.
        return readout.newest(curve, self._y_scale, self._weight) if self.has_steps else ""

    # ------------------------------------------------------------------ small parts

    def _x_title(self) -> str:
        return self._x_label if self._axis is XAxis.STEP or not self.has_steps else str(XAxis.ELAPSED)

    def _is_seen(self) -> bool:
        return self.isVisible() and not self.visibleRegion().isEmpty()

    def _restart_view(self) -> None:
        self._update_scales()
        self.fit()

    def _update_scales(self) -> None:
        elapsed = self._axis is XAxis.ELAPSED and self.has_steps
        self.area.set_scales(
            Scale.SECONDS if elapsed else self._x_scale, Scale.LOG if self._log else self._plain_scale, self._x_title()
        )

    def _apply_theme(self, theme: Theme) -> None:
        self.area.apply_theme(theme)
        self._cross.set_colour(theme.text_muted)
        self.touch()

    # ------------------------------------------------------------------ events

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._dirty:
            scheduler().request(self)

    def _on_painted(self) -> None:
        """A dirty chart that is painted has just been scrolled into view."""
        if self._dirty:
            scheduler().request(self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_L and self._y_scale is not Scale.SHARE:
            self.set_log_y(not self._log)
        else:
            super().keyPressEvent(event)

    def _on_view_changed(self) -> None:
        self._dirty = True
        if self._is_seen():
            scheduler().request(self, soon=True)

    def _on_moved(self) -> None:
        self._follows = False
        self._fit_button.show()

    def _on_pointed(self, x: float | None) -> None:
        self.set_cursor(x)
        self.cursor_moved.emit(x)

    def _on_step(self, direction: int) -> None:
        at = readout.sample_beside(self._curves.values(), self._axis, self._cursor, direction)
        if at is not None:
            self._on_pointed(at)

    def _on_toggled(self, key: str) -> None:
        self.set_curve_shown(key, not self._curves[key].shown)

    def _on_highlighted(self, key: str) -> None:
        self._highlight = key
        self._dirty = True
        scheduler().request(self, soon=True)
