"""Data of a chart as CSV, its picture as PNG or SVG."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pyqtgraph.exporters import SVGExporter
from PySide6.QtCore import QObject, QPoint, Qt, QThreadPool, Signal, Slot
from PySide6.QtGui import QImage, QPainter

from difrob_gui.charts.chart import Chart
from difrob_gui.charts.series_data import XAxis
from difrob_gui.charts.svg import svg_card
from difrob_gui.theme import current_theme

Done = Callable[[Path, str], None]
COLUMNS = ("curve", "x", "elapsed_seconds", "value", "low", "high", "interval")
PICTURE_SCALE = 2.0


@dataclass(frozen=True)
class Columns:
    """One curve as it stood when the export was asked for."""

    label: str
    interval: str
    arrays: tuple[np.ndarray, ...]


def export(chart: Chart, path: Path, done: Done) -> None:
    """Write a file of the kind that its ending names; ``done(path, error)`` is called when it is there or has failed.

    Data are written in a helper thread, since a chart may hold millions of rows; pictures at once.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        _Writer(path, columns_of(chart), done).start()
        return
    writers = {".png": write_png, ".svg": write_svg}
    if ending not in writers:
        done(path, f"'{path.name}' cannot be written: the name must end in .csv, .png or .svg")
        return
    try:
        writers[ending](chart, path)
    except OSError as error:
        done(path, f"'{path.name}' could not be written: {error.strerror or error}")
    else:
        done(path, "")


def columns_of(chart: Chart) -> list[Columns]:
    """The shown curves as arrays that no longer change."""
    result = []
    for curve in chart.curves.values():
        if curve.shown:
            data = curve.data
            arrays = (data.positions(XAxis.STEP), data.positions(XAxis.ELAPSED), data.value, data.low, data.high)
            result.append(Columns(curve.label, curve.interval if data.has_band else "", arrays))
    return result


def write_csv(columns: list[Columns], path: Path) -> None:
    """One row per sample, raw values in full precision; empty cells where there is no interval.

    The file appears only when it is complete. Raises OSError when it cannot be written.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for curve in columns:
                for x, elapsed, value, low, high in zip(*(a.tolist() for a in curve.arrays), strict=True):
                    ends = ["" if end != end else repr(end) for end in (low, high)]
                    writer.writerow([curve.label, f"{x:.17g}", f"{elapsed:.6f}", repr(value), *ends, curve.interval])
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def image_of(chart: Chart) -> QImage:
    """The card as it looks, at twice the resolution, without its buttons' states of the moment."""
    chart.draw(ratio=PICTURE_SCALE)
    image = QImage(chart.size() * PICTURE_SCALE, QImage.Format.Format_ARGB32)
    image.setDevicePixelRatio(PICTURE_SCALE)
    image.fill(current_theme().surface)
    painter = QPainter(image)
    chart.render(painter, QPoint(0, 0))
    painter.end()
    chart.draw()
    return image


def write_png(chart: Chart, path: Path) -> None:
    """``path`` ends in ``.png``. Raises OSError when the file cannot be written."""
    if not image_of(chart).save(str(path)):
        raise OSError(f"no picture could be written to {path}")


def write_svg(chart: Chart, path: Path) -> None:
    """The card as vectors: title, legend and plot, in the colours of the theme.

    Raises:
        OSError: when the file cannot be written.
    """
    chart.draw(ratio=1.0)
    try:
        plot = SVGExporter(chart.area.getPlotItem()).export(toBytes=True)
    finally:
        chart.draw()
    path.write_bytes(svg_card(chart.title, chart.legend, plot, current_theme()))


class _Writer(QObject):
    """Writes a CSV file in a thread of the pool and tells its end in the GUI thread; kept alive until then."""

    _finished = Signal(str)
    _running: ClassVar[set[_Writer]] = set()

    def __init__(self, path: Path, columns: list[Columns], done: Done) -> None:
        super().__init__()
        self._path, self._columns, self._done = path, columns, done
        self._finished.connect(self._finish, Qt.ConnectionType.QueuedConnection)

    def start(self) -> None:
        """Queue the writing."""
        self._running.add(self)
        QThreadPool.globalInstance().start(self._write)

    def _write(self) -> None:
        error = ""
        try:
            write_csv(self._columns, self._path)
        except OSError as problem:
            error = f"'{self._path.name}' could not be written: {problem.strerror or problem}"
        self._finished.emit(error)

    @Slot(str)
    def _finish(self, error: str) -> None:
        self._running.discard(self)
        self._done(self._path, error)
