"""Tables of the Compare page: the chosen runs, and the fields in which their specifications differ."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor

from difrob.comparison import Difference
from difrob.quantities import most_telling, quantity_of
from difrob.runs import RunSummary
from difrob.words import interval, kind_word, number, run_title, state_word
from difrob_gui.theme import current_theme, state_icon

Index = QModelIndex | QPersistentModelIndex
STYLE_ROLE = Qt.ItemDataRole.UserRole + 1
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class ComparedRunsModel(QAbstractTableModel):
    """One row per chosen run: shown or not, its line, name, kind, state, main result."""

    COLUMNS = ("Run", "Line", "Kind", "State", "Main result")
    shown_changed = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self._ids: list[str] = []
        self._summaries: dict[str, RunSummary | None] = {}
        self._styles: dict[str, int] = {}
        self._hidden: set[str] = set()

    @property
    def run_ids(self) -> list[str]:
        """The chosen runs in order."""
        return list(self._ids)

    @property
    def shown_ids(self) -> list[str]:
        """Those that are not switched off."""
        return [run_id for run_id in self._ids if run_id not in self._hidden]

    def style_of(self, run_id: str) -> int:
        """Number of the run in the theme's cycle; it stays as long as the run is chosen."""
        return self._styles[run_id]

    def set_runs(self, run_ids: list[str]) -> None:
        """Choose these runs; those that stay keep their line."""
        if run_ids == self._ids:
            return
        self.beginResetModel()
        self._styles = {run_id: style for run_id, style in self._styles.items() if run_id in run_ids}
        self._summaries = {run_id: self._summaries.get(run_id) for run_id in run_ids}
        self._hidden &= set(run_ids)
        self._ids = list(run_ids)
        for run_id in run_ids:
            if run_id not in self._styles:
                taken = set(self._styles.values())
                self._styles[run_id] = next(n for n in range(len(run_ids) + 1) if n not in taken)
        self.endResetModel()

    def set_summary(self, summary: RunSummary) -> bool:
        """Take the newest summary of a run; True when it says something new."""
        if summary.run_id not in self._summaries or self._summaries[summary.run_id] == summary:
            return False
        self._summaries[summary.run_id] = summary
        row = self._ids.index(summary.run_id)
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(self.COLUMNS) - 1))
        return True

    def summary(self, run_id: str) -> RunSummary | None:
        """What is known of a run."""
        return self._summaries.get(run_id)

    def title(self, run_id: str) -> str:
        """What a run is called; runs of the same name are told apart by the ends of their ids."""
        summary = self._summaries.get(run_id)
        if summary is None:
            return run_id
        title = run_title(summary.name, run_id)
        if summary.written_as in self._ids:  # a copied file beside its original is no further run, and no further seed
            return f"{title} (copy of {summary.written_as})"
        known = [other for other in self._summaries.values() if other is not None]
        same = [other for other in known if other.name == summary.name and other.written_as not in self._ids]
        if len(same) < 2 or not summary.name:
            return title
        seeds = [other.spec.get("seed") for other in same]
        if len(set(seeds)) == len(seeds):
            return f"{title} (seed {summary.spec.get('seed')})"
        return f"{title} ({run_id[-6:]})"

    def set_shown(self, run_id: str, shown: bool) -> None:
        """Switch a run on or off."""
        if run_id in self._ids and shown != (run_id not in self._hidden):
            (self._hidden.discard if shown else self._hidden.add)(run_id)
            place = self.index(self._ids.index(run_id), 0)
            self.dataChanged.emit(place, place)
            self.shown_changed.emit(run_id, shown)

    # ------------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._ids)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.COLUMNS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == 0 else flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != 0:
            return False
        self.set_shown(self._ids[index.row()], Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        run_id, column = self._ids[index.row()], index.column()
        summary = self._summaries[run_id]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(run_id, summary, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == 0:
            return Qt.CheckState.Unchecked if run_id in self._hidden else Qt.CheckState.Checked
        if role == STYLE_ROLE:
            return self._styles[run_id]
        if role == Qt.ItemDataRole.DecorationRole and column == 3 and summary is not None:
            return state_icon(summary.state)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{run_id}\nTick to show it, untick to leave it out of everything below." if column == 0 else None
        if role == Qt.ItemDataRole.AccessibleTextRole and column == 1:
            return f"line style {self._styles[run_id] + 1}"
        if role == Qt.ItemDataRole.ForegroundRole and run_id in self._hidden:
            return QColor(current_theme().text_muted)
        return None

    def _text(self, run_id: str, summary: RunSummary | None, column: int) -> str:
        if column == 0:
            return self.title(run_id)
        if summary is None:
            return "reading …" if column == 3 else ""
        if column == 2:
            return kind_word(summary.kind)
        if column == 3:
            return state_word(summary.state)
        if column == 4:
            name = most_telling(summary.results)
            if name is None:
                return ""
            measure = summary.results[name]
            parts = (number(measure.value, measure.unit), interval(measure), quantity_of(name, measure).title)
            return " ".join(part for part in parts if part)
        return ""


class DifferencesModel(QAbstractTableModel):
    """Fields of the specifications, a column per run; with ``only_differences`` those in which the runs agree are left out."""

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Difference] = []
        self._rows: list[Difference] = []
        self._titles: list[str] = []
        self._only = True

    @property
    def hidden(self) -> int:
        """How many fields are left out."""
        return len(self._all) - len(self._rows)

    def show_differences(self, differences: list[Difference], titles: list[str]) -> None:
        """Show these; ``titles`` name the runs."""
        self._fill(differences, titles, self._only)

    def set_only_differences(self, only: bool) -> None:
        """Leave out what all runs share, or show everything."""
        self._fill(self._all, self._titles, only)

    def _fill(self, differences: list[Difference], titles: list[str], only: bool) -> None:
        self.beginResetModel()
        self._all, self._titles, self._only = list(differences), list(titles), only
        self._rows = [row for row in self._all if row.differs or not only]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._titles) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self._titles[section - 1] if section else "Field"
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            if index.column():
                return row.values[index.column() - 1]
            return f"≠ {row.path}" if row.differs and not self._only else row.path
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0:
            return QColor(current_theme().text if row.differs else current_theme().text_muted)
        return None
