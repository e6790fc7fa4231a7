"""Cards in as many columns as fit, all of one width."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget


class ResponsiveGrid(QWidget):
    """Widgets in rows; the number of columns follows the width, and every row is at least ``row_height`` high."""

    def __init__(
        self, least_width: int = 360, row_height: int = 280, most_columns: int = 4, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._least_width, self._row_height, self._most = least_width, row_height, most_columns
        self._widgets: list[QWidget] = []
        self._columns = 1
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.MinimumExpanding)

    @property
    def columns(self) -> int:
        """How many columns there are now."""
        return self._columns

    def set_widgets(self, widgets: list[QWidget]) -> None:
        """Show these, in this order. Widgets that are left out are hidden and keep their parent."""
        if widgets == self._widgets:
            return
        for widget in self._widgets:
            self._grid.removeWidget(widget)
            if widget not in widgets:
                widget.hide()
        self._widgets = list(widgets)
        self._place()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._wanted_columns() != self._columns:
            self._place()

    def _wanted_columns(self) -> int:
        spacing = self._grid.horizontalSpacing()
        fitting = (self.width() + spacing) // (self._least_width + spacing)
        return max(1, min(self._most, fitting, max(len(self._widgets), 1)))

    def _place(self) -> None:
        for row in range(self._grid.rowCount()):
            self._grid.setRowMinimumHeight(row, 0)
            self._grid.setRowStretch(row, 0)
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, 0)
        self._columns = self._wanted_columns()
        rest = len(self._widgets) % self._columns
        for number, widget in enumerate(self._widgets):
            row, column = divmod(number, self._columns)
            # A last row with a single card left over is filled by it.
            wide = self._columns if rest == 1 and number == len(self._widgets) - 1 else 1
            self._grid.addWidget(widget, row, column, 1, wide)
            self._grid.setRowMinimumHeight(row, self._row_height)
            self._grid.setRowStretch(row, 1)
            widget.show()
        for column in range(self._columns):
            self._grid.setColumnStretch(column, 1)
