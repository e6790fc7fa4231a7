"""Load of the machine: a strip of small curves with their newest values."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from difrob.worker.messages import Meters
from difrob_gui.theme import current_theme, icon, set_role, theme_signals

LENGTH = 60
FULL = 0.92


class Sparkline(QWidget):
    """The last minute of a share in [0, 1]."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: deque[float] = deque(maxlen=LENGTH)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme_signals.changed.connect(self._on_theme)

    @property
    def values(self) -> list[float]:
        """What is drawn, oldest first."""
        return list(self._values)

    def add(self, value: float) -> None:
        """Append a value."""
        self._values.append(min(max(value, 0.0), 1.0))
        self.update()

    def sizeHint(self) -> QSize:
        height = self.fontMetrics().height()
        return QSize(int(3.6 * height), height)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        place = QRectF(self.rect()).adjusted(0, 1, 0, -1)
        painter.fillRect(place, QColor(theme.mix(theme.surface, theme.raised, 0.7)))
        if not self._values:
            return
        step = place.width() / (LENGTH - 1)
        right = place.right()
        count = len(self._values)
        points = [
            QPointF(right - (count - 1 - number) * step, place.bottom() - value * place.height())
            for number, value in enumerate(self._values)
        ]
        colour = QColor(theme.warning if self._values[-1] >= FULL else theme.accent)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        filling = QColor(colour)
        filling.setAlphaF(0.22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(filling)
        painter.drawPolygon(
            QPolygonF([QPointF(points[0].x(), place.bottom()), *points, QPointF(right, place.bottom())])
        )
        painter.setPen(QPen(colour, 1.2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))

    def _on_theme(self, _theme: object) -> None:
        self.update()


class Meter(QWidget):
    """Name, sparkline and value of one share."""

    def __init__(self, icon_name: str, name: str, widest: str = "100 %", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name, self._name, self._widest = icon_name, name, widest
        self._brief = False
        self._texts = ("", "")
        self._picture = QLabel()
        self.title = QLabel(name)
        set_role(self.title, "caption")
        self.line = Sparkline()
        self.value = QLabel()
        self.value.setMinimumWidth(self.fontMetrics().horizontalAdvance(widest) + 4)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for part in (self._picture, self.title, self.line, self.value):
            layout.addWidget(part)
        self._paint_icon()
        theme_signals.changed.connect(self._paint_icon)

    def show_value(self, share: float, text: str, tip: str = "") -> None:
        """Append a value to the curve and write it."""
        self._texts = (text, f"{100 * share:.0f} %")
        self.line.add(share)
        self.setToolTip(f"{self._name}: {text}\n{tip}".strip())
        self.setAccessibleName(f"{self._name}: {text}")
        self._write()

    def set_brief(self, brief: bool) -> None:
        """Icon, curve and percentage only, where there is little room."""
        if brief != self._brief:
            self._brief = brief
            self.title.setVisible(not brief)
            self.value.setMinimumWidth(self.fontMetrics().horizontalAdvance("100 %" if brief else self._widest) + 4)
            self._write()

    def full_width(self) -> int:
        """How wide it is when it is not brief."""
        metrics = self.fontMetrics()
        words = metrics.horizontalAdvance(self._name) + metrics.horizontalAdvance(self._widest)
        return words + self.line.sizeHint().width() + metrics.height() + 24

    def _write(self) -> None:
        self.value.setText(self._texts[1 if self._brief else 0])

    def _paint_icon(self, _theme: object = None) -> None:
        side = self.fontMetrics().height() - 2
        self._picture.setPixmap(icon(self._icon_name, "text_muted").pixmap(QSize(side, side), self.devicePixelRatioF()))


class MeterStrip(QFrame):
    """CPU, memory, and each GPU with its memory; a machine without an NVIDIA driver shows no GPU at all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Load of the machine")
        self.cpu = Meter("cpu", "CPU")
        self.memory = Meter("memory", "Memory", "100.0 / 100.0 GB")
        self.gpus: list[tuple[Meter, Meter]] = []
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(20)
        self._layout.addWidget(self.cpu)
        self._layout.addWidget(self.memory)
        self._layout.addStretch(1)
        self._time = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hide()

    @property
    def meters(self) -> list[Meter]:
        """All meters, from left to right."""
        return [self.cpu, self.memory, *(meter for pair in self.gpus for meter in pair)]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        spacing = self._layout.spacing()
        wide = sum(meter.full_width() + spacing for meter in self.meters) <= self.width()
        for meter in self.meters:
            meter.set_brief(not wide)

    def show_meters(self, meters: Meters | None) -> None:
        """Append one reading; hidden as long as there is none."""
        if meters is None or meters.time == self._time:
            return
        self._time = meters.time
        self.show()
        self.cpu.show_value(meters.cpu, f"{100 * meters.cpu:.0f} %", "Load of all processor cores together.")
        self.memory.show_value(
            _share(meters.memory_used, meters.memory_total),
            f"{_gigabytes(meters.memory_used)} / {_gigabytes(meters.memory_total)} GB",
            f"Memory of the machine. Free on the disk: {_gigabytes(meters.disk_free)} GB.",
        )
        self._match_gpus(len(meters.gpus))
        for number, (gpu, (load, memory)) in enumerate(zip(meters.gpus, self.gpus, strict=True)):
            about = [f"GPU {number}: {gpu.name}"]
            about += [f"{gpu.temperature:.0f} °C"] if gpu.temperature is not None else []
            about += [f"{gpu.power:.0f} W"] if gpu.power is not None else []
            load.show_value(gpu.load, f"{100 * gpu.load:.0f} %", ", ".join(about))
            used = f"{_gigabytes(gpu.memory_used)} / {_gigabytes(gpu.memory_total)} GB"
            memory.show_value(_share(gpu.memory_used, gpu.memory_total), used, f"Memory of {about[0]}")

    def _match_gpus(self, count: int) -> None:
        if count == len(self.gpus):
            return
        for pair in self.gpus:
            for meter in pair:
                self._layout.removeWidget(meter)
                meter.deleteLater()
        self.gpus = []
        for number in range(count):
            name = "GPU" if count == 1 else f"GPU {number}"
            pair = (Meter("gpu", name), Meter("memory", f"{name} memory", "100.0 / 100.0 GB"))
            for meter in pair:
                self._layout.insertWidget(self._layout.count() - 1, meter)
            self.gpus.append(pair)
        self._fit()


def _share(part: int, whole: int) -> float:
    return part / whole if whole > 0 else 0.0


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f}"
