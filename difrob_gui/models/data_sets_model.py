"""The data sets of the workspace as a table; damaged ones are in it, with the reason."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from difrob.runs.datasets import DataSetRecord
from difrob_gui.models.data_words import counts_text, images_text, origin_meaning, origin_text, size_text
from difrob_gui.theme import current_theme, icon

Index = QModelIndex | QPersistentModelIndex
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_NUMBERS = (1, 2)


class DataSetsModel(QAbstractTableModel):
    """One row per data set: those added here first, then the built-in ones, then those that cannot be used."""

    COLUMNS = ("Name", "Images", "Classes", "Size", "Files", "What it is")

    def __init__(self) -> None:
        super().__init__()
        self._records: list[DataSetRecord] = []
        self._damaged: list[tuple[str, str]] = []

    def show_sets(self, records: list[DataSetRecord], damaged: dict[str, str]) -> None:
        """Show these."""
        self.beginResetModel()
        self._records = sorted(records, key=lambda record: record.folder is None)
        self._damaged = sorted(damaged.items())
        self.endResetModel()

    def name_at(self, row: int) -> str:
        """Name of the set in a row; empty outside."""
        names = self.names()
        return names[row] if 0 <= row < len(names) else ""

    def names(self) -> list[str]:
        """All names, from top to bottom."""
        return [record.name for record in self._records] + [name for name, _ in self._damaged]

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._records) + len(self._damaged)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.COLUMNS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _RIGHT if section in _NUMBERS else _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if index.column() in _NUMBERS else _LEFT
        if index.row() >= len(self._records):
            return self._damaged_data(*self._damaged[index.row() - len(self._records)], index.column(), role)
        record = self._records[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                record.name, images_text(record), str(record.num_classes), size_text(record), origin_text(record),
                record.title,
            )[index.column()]  # fmt: skip
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{record.title}\n{counts_text(record)}\n{origin_meaning(record)}"
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 4 and record.official and record.folder:
            return icon("check", "good")
        return None

    @staticmethod
    def _damaged_data(name: str, reason: str, column: int, role: int) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return (name, "–", "–", "–", "damaged", reason)[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return reason
        if role == Qt.ItemDataRole.DecorationRole and column == 4:
            return icon("warning", "bad")
        if role == Qt.ItemDataRole.ForegroundRole and column == 4:
            return QColor(current_theme().bad)
        return None
