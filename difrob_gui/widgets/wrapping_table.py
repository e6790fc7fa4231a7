"""A table whose columns share the width that there is; what does not fit is wrapped, not cut."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHeaderView, QTableView

LEAST_LETTERS = 16
FIRST_SHARE = 0.34
LOOKED_AT = 40


class WrappingTable(QTableView):
    """Columns as wide as their texts where all of them fit, else narrower in proportion, down to a few words each.

    Only tables with very many columns get a horizontal scroll bar.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(True)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setStretchLastSection(True)
        self._needs: list[int] = []

    def fit_columns(self) -> None:
        """Look at the first rows, and give each column its width; cheap for any number of rows."""
        model, header, metrics = self.model(), self.horizontalHeader(), self.fontMetrics()
        self._needs = []
        for column in range(model.columnCount()):
            texts = [str(model.headerData(column, header.orientation()) or "")]
            texts += [str(model.index(row, column).data() or "") for row in range(min(model.rowCount(), LOOKED_AT))]
            self._needs.append(max(max(metrics.horizontalAdvance(text) for text in texts) * 108 // 100 + 24, 70))
        self._share_out()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_out()

    def _share_out(self) -> None:
        if not self._needs:
            return
        room = self.viewport().width()
        widths = shared_widths(self._needs, room, LEAST_LETTERS * self.fontMetrics().averageCharWidth())
        for column, width in enumerate(widths):
            if self.columnWidth(column) != width:
                self.setColumnWidth(column, width)


def shared_widths(needs: list[int], room: int, least: int) -> list[int]:
    """Widths in pixels of columns that would need ``needs``: those that need little get it, the others share the rest.

    The first column, which names the rows, gets no more than a third of the room. No column is narrower than the smaller of
    its need and ``least``.
    """
    if sum(needs) <= room:
        return list(needs)
    widths = [min(needs[0], max(round(FIRST_SHARE * room), least))]
    left = room - widths[0]
    waiting = sorted(range(1, len(needs)), key=needs.__getitem__)
    given: dict[int, int] = {}
    while waiting:
        column = waiting.pop(0)
        given[column] = max(min(needs[column], left // (len(waiting) + 1)), min(needs[column], least))
        left -= given[column]
    return widths + [given[column] for column in range(1, len(needs))]
