"""Charts: the only package that knows pyqtgraph. Use :class:`~difrob_gui.charts.chart.Chart`."""

from __future__ import annotations

import pyqtgraph
import PySide6.QtWidgets  # noqa: F401  (before pyqtgraph, which takes the binding that it finds)

# Raster painting: OpenGL breaks on remote desktops, and decimated curves do not need it.
pyqtgraph.setConfigOptions(useOpenGL=False, antialias=False)
