"""Final numbers of one or several runs as a table: a row per number, a column per run."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont

from difrob.comparison import ResultRow
from difrob.quantities import PASSED, quantity_of
from difrob.runs import Measure
from difrob.words import interval, number, unit_text
from difrob_gui.theme import current_theme

Index = QModelIndex | QPersistentModelIndex
MEASURED = 4
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class ResultsModel(QAbstractTableModel):
    """The results of one run: what, value, interval, number of samples, what was measured."""

    COLUMNS = ("Result", "Value", "Interval", "Samples", "Measured")

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, Measure] = {}

    def show_results(self, results: dict[str, Measure]) -> None:
        """Show these."""
        if results != self._results:
            self.beginResetModel()
            self._results = {name: results[name] for name in sorted(results, key=lambda name: is_check(results[name]))}
            self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._results)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.COLUMNS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _RIGHT if section in (1, 3) else _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        name = list(self._results)[index.row()]
        measure = self._results[name]
        if role == Qt.ItemDataRole.DisplayRole:
            texts = (
                title(name, measure), value_text(measure), interval_text(measure), count_text(measure), measure.sentence,
            )  # fmt: skip
            return texts[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and index.column() < 2:
            return _tone(measure)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if index.column() in (1, 3) else _LEFT
        if role == Qt.ItemDataRole.ToolTipRole:
            return spoken(name, measure)
        return None


class ComparisonModel(QAbstractTableModel):
    """The results of several runs side by side. The best is marked by a word, not by looks alone."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[ResultRow] = []
        self._runs: list[tuple[str, str]] = []
        self._given: tuple[list[ResultRow], list[tuple[str, str]]] = ([], [])

    def show_rows(self, rows: list[ResultRow], runs: list[tuple[str, str]]) -> None:
        """Show these; ``runs`` are (id, title) in the order of the columns."""
        if (rows, runs) != self._given:
            self._given = (list(rows), list(runs))
            self.beginResetModel()
            self._rows, self._runs = sorted(rows, key=lambda row: row.unit == PASSED), list(runs)
            self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._runs) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return "Result" if section == 0 else self._runs[section - 1][1]
            if role == Qt.ItemDataRole.ToolTipRole and section:
                return self._runs[section - 1][0]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self._rows[index.row()]
        if index.column() == 0:
            first = next(iter(row.measures.values()))
            return title(row.name, first) if role == Qt.ItemDataRole.DisplayRole else None
        run_id = self._runs[index.column() - 1][0]
        measure = row.measures.get(run_id)
        if measure is None:
            return "–" if role == Qt.ItemDataRole.DisplayRole else None
        mark = "best" if run_id in row.best else "≈ best" if run_id in row.tied else ""
        if role == Qt.ItemDataRole.DisplayRole:
            return "  ".join(part for part in (value_text(measure), interval(measure), mark and f"· {mark}") if part)
        if role == Qt.ItemDataRole.ForegroundRole:
            return _tone(measure)
        if role == Qt.ItemDataRole.FontRole and mark == "best":
            font = QFont()
            font.setWeight(QFont.Weight.DemiBold)
            return font
        if role == Qt.ItemDataRole.ToolTipRole:
            meaning = {"best": "\nThe best of these runs.", "≈ best": "\nIts interval overlaps that of the best."}
            return spoken(row.name, measure) + meaning.get(mark, "")
        return None


def is_check(measure: Measure) -> bool:
    """Whether a result is the outcome of a check, and not a measurement."""
    return measure.unit == PASSED


def title(name: str, measure: Measure) -> str:
    """What a table calls a result."""
    quantity = quantity_of(name, measure)
    return f"Check: {quantity.title}" if is_check(measure) else quantity.heading


def value_text(measure: Measure) -> str:
    """The number with its unit; the outcome of a check in a word."""
    if measure.unit == PASSED:
        return "✓ passed" if measure.value >= 1 else "✗ failed"
    return f"{number(measure.value, measure.unit)} {unit_text(measure.unit)}".strip()


def interval_text(measure: Measure) -> str:
    """The interval and what it is."""
    ends = interval(measure)
    return f"{ends}  {measure.interval}".strip() if ends else ""


def count_text(measure: Measure) -> str:
    """The number of samples."""
    return f"{measure.n:,}" if measure.n is not None else ""


def spoken(name: str, measure: Measure) -> str:
    """Everything about a number in one text."""
    parts = [f"{title(name, measure)}: {value_text(measure)}", interval_text(measure)]
    parts.append(f"{measure.n:,} samples" if measure.n is not None else "")
    return ", ".join(part for part in parts if part) + (f"\n{measure.sentence}" if measure.sentence else "")


def _tone(measure: Measure) -> QColor | None:
    """A failed check stands out; its word says the same."""
    return QColor(current_theme().bad) if measure.unit == PASSED and measure.value < 1 else None
