"""Pictures that a run recorded: one batch as a mosaic, and a slider over the batches.

Pixels are enlarged by whole factors without smoothing: an 8 x 8 digit shows its 64 pixels and nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QWidget

from difrob.runs import Pictures
from difrob_gui.theme import current_theme, theme_signals

_GAP = 6
_GROUP_GAP = 12
_LARGEST = 16
_LEAST_SIDE = 56


class ImageMosaic(QWidget):
    """One batch of pictures in rows, with their captions. Arrows move the choice; hovering tells number and caption."""

    chosen_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sheet = QImage()
        self._count = self._side_x = self._side_y = 0
        self._captions: list[str] = []
        self._group = 1
        self._scale = 0
        self._columns, self._factor, self._cell = 1, 1, QSize(1, 1)
        self._chosen = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Pictures")
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme_signals.changed.connect(self._on_theme)

    # ------------------------------------------------------------------ contents

    def show_images(self, images: np.ndarray, captions: list[str] | None = None, group: int = 1) -> None:
        """Show a batch.

        Args:
            images: uint8 [N, H, W, C], C = 1 or 3.
            captions: one per image, or none.
            group: how many neighbours belong together (2 for pairs); rows hold whole groups.

        Raises:
            ValueError: for an array of another form.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(f"pictures must be uint8 [N, H, W, 1 or 3], not {images.dtype} {images.shape}")
        self._count, self._side_y, self._side_x, _ = images.shape
        self._captions = list(captions or [])
        self._group = max(group, 1)
        self._sheet = _sheet(images)
        self._chosen = min(self._chosen, self._count - 1)
        self._arrange()
        self._describe()

    def clear(self) -> None:
        """Show nothing."""
        self._count, self._captions, self._chosen = 0, [], -1
        self._arrange()

    def set_scale(self, factor: int) -> None:
        """Enlarge by this whole factor; 0 chooses one that fits."""
        self._scale = factor
        self._arrange()

    @property
    def count(self) -> int:
        """How many pictures are shown."""
        return self._count

    @property
    def columns(self) -> int:
        """How many stand in a row."""
        return self._columns

    @property
    def factor(self) -> int:
        """By how much each pixel is enlarged, in physical pixels."""
        return self._factor

    @property
    def chosen(self) -> int:
        """Number of the chosen picture, or -1."""
        return self._chosen

    def caption(self, number: int) -> str:
        """What is said of a picture."""
        said = self._captions[number] if number < len(self._captions) else ""
        return f"{number}: {said}" if said else str(number)

    # ------------------------------------------------------------------ places

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        columns, _, cell = self._layout_for(width)
        rows = math.ceil(self._count / columns) if self._count else 0
        return rows * cell.height()

    def sizeHint(self) -> QSize:
        return QSize(400, self.heightForWidth(400))

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _layout_for(self, width: int) -> tuple[int, int, QSize]:
        """Columns, enlargement and size of a cell for a width."""
        if not self._count:
            return 1, 1, QSize(1, 1)
        if self._scale:
            return self._with_factor(self._scale, width)
        parent = self.parentWidget()
        room = parent.height() if parent is not None else 0
        least = max(1, round(_LEAST_SIDE * self.devicePixelRatioF() / max(self._side_x, 1)))
        for factor in range(_LARGEST, least, -1):
            columns, _, cell = found = self._with_factor(factor, width)
            if math.ceil(self._count / columns) * cell.height() <= room:
                return found
        # Too many to be seen at once: as large as leaves the number of columns.
        found = self._with_factor(least, width)
        for factor in range(least + 1, min(2 * least, _LARGEST + 1)):
            larger = self._with_factor(factor, width)
            if larger[0] < found[0]:
                break
            found = larger
        return found

    def _with_factor(self, factor: int, width: int) -> tuple[int, int, QSize]:
        ratio = self.devicePixelRatioF()
        caption = QFontMetricsF(self._caption_font()).height() * self._lines + 4 if self._lines else 0
        wide = max(self._side_x * factor / ratio, self._caption_width() if self._captions else 0)
        cell = QSize(math.ceil(wide) + _GAP, math.ceil(self._side_y * factor / ratio + caption) + _GAP)
        groups = max(1, (width + self._between) // (self._group * cell.width() + self._between))
        columns = groups * self._group
        if groups == 1 and columns * cell.width() > width:
            columns = max(1, width // cell.width())
        return min(columns, self._count), factor, cell

    @property
    def _lines(self) -> int:
        """How many lines the longest caption takes."""
        return max((len(_lines_of(text)) for text in self._captions), default=0)

    @property
    def _between(self) -> int:
        """Extra room between groups."""
        return _GROUP_GAP if self._group > 1 else 0

    def _caption_width(self) -> float:
        metrics = QFontMetricsF(self._caption_font())
        lines = (line for text in self._captions for line in _lines_of(text))
        widest = max((metrics.horizontalAdvance(line) for line in lines), default=0.0)
        return min(widest + 2, metrics.averageCharWidth() * 18)

    def _caption_font(self) -> QFont:
        font = self.font()
        font.setPointSizeF(max(7.0, 0.85 * font.pointSizeF()))
        return font

    def _arrange(self) -> None:
        self._columns, self._factor, self._cell = self._layout_for(self.width())
        self.updateGeometry()
        self.update()

    def _place(self, number: int) -> QRect:
        row, column = divmod(number, self._columns)
        across = column * self._cell.width() + column // self._group * self._between
        return QRect(QPoint(across, row * self._cell.height()), self._cell - QSize(_GAP, _GAP))

    def number_at(self, point: QPoint) -> int:
        """Which picture lies at a point, or -1."""
        if not self._count or point.x() < 0 or point.y() < 0:
            return -1
        block = self._group * self._cell.width() + self._between
        column = point.x() // block * self._group + min(point.x() % block // self._cell.width(), self._group - 1)
        number = point.y() // self._cell.height() * self._columns + column
        return number if column < self._columns and number < self._count else -1

    # ------------------------------------------------------------------ painting

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.setFont(self._caption_font())
        metrics = QFontMetricsF(painter.font())
        ratio = self.devicePixelRatioF()
        wide, high = self._side_x * self._factor / ratio, self._side_y * self._factor / ratio
        for number in range(self._count):
            cell = self._place(number)
            if not cell.intersects(event.rect()):
                continue
            place = QRectF(cell.x() + (cell.width() - wide) / 2, cell.y(), wide, high)
            source = QRectF(number * self._side_x, 0, self._side_x, self._side_y)
            painter.drawImage(place, self._sheet, source)
            if number == self._chosen:
                painter.setPen(QPen(QColor(theme.accent), 2))
                painter.drawRect(place.adjusted(-1, -1, 1, 1))
            if number < len(self._captions):
                painter.setPen(QColor(theme.text_muted))
                lines = _lines_of(self._captions[number])
                text = "\n".join(metrics.elidedText(t, Qt.TextElideMode.ElideRight, cell.width()) for t in lines)
                below = QRectF(cell.x(), place.bottom() + 1, cell.width(), len(lines) * metrics.height() + 3)
                painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, text)

    # ------------------------------------------------------------------ hands

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        number = self.number_at(event.position().toPoint())
        self.setToolTip(self.caption(number) if number >= 0 else "")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._choose(self.number_at(event.position().toPoint()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -self._columns,
            Qt.Key.Key_Down: self._columns,
        }
        step = moves.get(Qt.Key(event.key()))
        if step is None or not self._count:
            event.ignore()
            return
        self._choose(min(max(self._chosen + step, 0), self._count - 1))

    def _choose(self, number: int) -> None:
        if number == self._chosen:
            return
        self._chosen = number
        self._describe()
        self.chosen_changed.emit(number)
        self.update()
        parent = self.parent()
        area = parent.parent() if parent is not None else None
        if number >= 0 and isinstance(area, QScrollArea):
            centre = self._place(number).center()
            area.ensureVisible(centre.x(), centre.y(), self._cell.width(), self._cell.height())

    def _describe(self) -> None:
        said = f"{self._count} pictures"
        if self._chosen >= 0:
            said += f"; chosen {self.caption(self._chosen)}"
        self.setAccessibleDescription(said)

    def _on_theme(self, _theme: object) -> None:
        self.update()


def _sheet(images: np.ndarray) -> QImage:
    """All pictures beside each other in one image, one pixel per pixel."""
    count, high, wide, channels = images.shape
    if not count:
        return QImage()
    row = np.ascontiguousarray(images.transpose(1, 0, 2, 3).reshape(high, count * wide, channels))
    form = QImage.Format.Format_Grayscale8 if channels == 1 else QImage.Format.Format_RGB888
    return QImage(row.data, count * wide, high, count * wide * channels, form).copy()


def _lines_of(caption: str) -> list[str]:
    """A caption in one line, or in two, broken at its first comma."""
    return [part.strip() for part in caption.split(",", 1)] if caption else []


def group_size(pictures: Pictures) -> int:
    """How many neighbours belong together: clean beside attacked, generated beside nearest, clean, noisy, denoised."""
    return {"adversarial": 2, "nearest_training": 2, "smoothing": 3}.get(pictures.name, 1)
