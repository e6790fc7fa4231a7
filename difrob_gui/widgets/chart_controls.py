"""Controls over a group of charts: smoothing, and what runs along the x axis."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QSlider, QWidget

from difrob_gui.charts.series_data import XAxis
from difrob_gui.theme import set_role

# Positions of the slider: the higher the weight, the finer the steps.
WEIGHTS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)


class ChartControls(QWidget):
    """A slider for smoothing and a choice of the x axis."""

    smoothing_changed = Signal(float)
    axis_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(WEIGHTS) - 1)
        self.slider.setPageStep(2)
        self.slider.setAccessibleName("Smoothing")
        self.slider.setToolTip(
            "Exponential moving average over the points; the raw curve stays visible behind it.\n"
            "Measurements with an interval are never smoothed."
        )
        letter = self.fontMetrics().averageCharWidth()
        self.slider.setMinimumWidth(letter * 8)
        self.slider.setMaximumWidth(letter * 24)
        self.weight = QLabel()
        self.weight.setMinimumWidth(self.fontMetrics().horizontalAdvance("0.995 "))
        set_role(self.weight, "muted")
        self.axis = QComboBox()
        self.axis.setAccessibleName("Horizontal axis")
        self.axis.setToolTip("What runs along the horizontal axis of all charts over training")
        self.axis.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.axis.setMinimumContentsLength(11)
        for axis in XAxis:
            self.axis.addItem(str(axis).capitalize(), axis)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for text, widget in (("S&moothing", self.slider), ("Over", self.axis)):
            label = QLabel(text)
            label.setBuddy(widget)
            set_role(label, "muted")
            layout.addWidget(label)
            layout.addWidget(widget, 4 if widget is self.slider else 0)
            if widget is self.slider:
                layout.addWidget(self.weight)
                layout.addSpacing(12)
            else:
                self._axis_label = label
        layout.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.slider.valueChanged.connect(self._on_slid)
        self.axis.currentIndexChanged.connect(lambda: self.axis_changed.emit(self.axis.currentData()))
        self._write()

    @property
    def smoothing(self) -> float:
        """The chosen weight of the past."""
        return WEIGHTS[self.slider.value()]

    @property
    def x_axis(self) -> XAxis:
        """The chosen axis."""
        return XAxis(self.axis.currentData())

    def set_axis_shown(self, shown: bool) -> None:
        """Offer the choice of the axis; without charts over training it would change nothing."""
        self._axis_label.setVisible(shown)
        self.axis.setVisible(shown)

    def _on_slid(self) -> None:
        self._write()
        self.smoothing_changed.emit(self.smoothing)

    def _write(self) -> None:
        self.weight.setText(f"{self.smoothing:g}" if self.smoothing else "off")
