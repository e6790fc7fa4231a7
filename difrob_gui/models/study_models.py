"""Tables of the Studies page: all studies, and the arms of one with their outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from difrob import words
from difrob_gui.models.study_shelf import Shown
from difrob_gui.models.study_words import cell_hint, cell_text, changes_text, seeds_text
from difrob_gui.theme import icon

if TYPE_CHECKING:
    from difrob.studies.declaration import Study
    from difrob.studies.report import Report

Index = QModelIndex | QPersistentModelIndex


class StudiesModel(QAbstractTableModel):
    """One row per study: those begun here first, newest on top."""

    COLUMNS = ("Study", "Stands", "Runs", "Takes")

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Shown] = []
        self._stands: dict[str, tuple[str, bool]] = {}

    def show_studies(self, rows: list[Shown]) -> None:
        """Show these."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def show_standing(self, stands: dict[str, tuple[str, bool]]) -> None:
        """How studies stand, as (words, whether all runs have finished) by key."""
        if stands != self._stands:
            self._stands = dict(stands)
            if self._rows:
                self.dataChanged.emit(self.index(0, 1), self.index(len(self._rows) - 1, 1))

    def study_keys(self) -> list[str]:
        """All keys, from top to bottom."""
        return [row.key for row in self._rows]

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.COLUMNS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self._rows[index.row()]
        begun = row.record is not None
        stands, complete = self._stands.get(row.key, ("", False))
        if role == Qt.ItemDataRole.DisplayRole:
            minutes = words.duration(60 * row.study.minutes) if row.study.minutes is not None else ""
            texts = (row.study.title, stands if begun else "not begun", str(row.runs), minutes)
            return texts[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            seeds = f"Seeds {seeds_text(row.study.seeds)}"
            return "\n".join(
                [row.study.claim, row.record.study_id if row.record is not None else row.study.name, seeds]
            )
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 1:
            return (
                icon("check", "good") if complete else icon("play", "accent") if begun else icon("clock", "text_muted")
            )
        return None


class ArmsModel(QAbstractTableModel):
    """A row per arm: what it is, in what it differs, and each outcome as far as it is known."""

    def __init__(self) -> None:
        super().__init__()
        self._study: Study | None = None
        self._report: Report | None = None

    def show_study(self, study: Study, report: Report | None) -> None:
        """Show the arms of a study, with the numbers of a report."""
        if study is not self._study or report != self._report:
            self.beginResetModel()
            self._study, self._report = study, report
            self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() or self._study is None else len(self._study.arms)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() or self._study is None else 2 + len(self._study.outcomes)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or self._study is None:
            return None
        outcomes = list(self._study.outcomes)
        if role == Qt.ItemDataRole.DisplayRole:
            names = ["Arm", *(name[:1].upper() + name[1:] for name in outcomes), "Differs in"]
            return names[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole and 0 < section <= len(outcomes):
            better = self._study.outcomes[outcomes[section - 1]].better
            return f"{better} is better" if better != "neither" else "neither direction is better"
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self._study is None:
            return None
        arm, outcomes = list(self._study.arms)[index.row()], list(self._study.outcomes)
        column = index.column()
        if column == 0:
            return self._study.arms[arm].title if role == Qt.ItemDataRole.DisplayRole else None
        if column == len(outcomes) + 1:
            shown = role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
            return changes_text(self._study, arm) if shown else None
        cell = self._report.cells.get((arm, outcomes[column - 1])) if self._report is not None else None
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(cell)
        return cell_hint(cell) if role == Qt.ItemDataRole.ToolTipRole else None
