"""A table of things of which one is chosen, no higher than its rows."""

from __future__ import annotations

from PySide6.QtWidgets import QHeaderView, QTableView

LEAST_ROWS, MOST_ROWS = 2, 7


def row_table(name: str) -> QTableView:
    """A table without a grid in which whole rows are chosen, one at a time; Tab leaves it."""
    table = QTableView()
    table.setAccessibleName(name)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
    table.setVerticalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setHighlightSections(False)
    return table


def fit_rows(table: QTableView, most: int) -> None:
    """Make it as high as its rows, within :data:`LEAST_ROWS`, :data:`MOST_ROWS` and ``most``."""
    row = table.fontMetrics().height() + 12
    table.verticalHeader().setDefaultSectionSize(row)
    count = table.model().rowCount() if table.model() is not None else 0
    rows = max(LEAST_ROWS, min(count, MOST_ROWS, most))
    table.setFixedHeight(table.horizontalHeader().sizeHint().height() + rows * row + 6)
