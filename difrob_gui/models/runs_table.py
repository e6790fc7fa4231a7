"""The table of runs: files on disk and entries of the queue in one list, sorted and filtered in the model.

Rows are kept by run id and made anew only where something changed, so that ten thousand runs cost milliseconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal

from difrob import words
from difrob.runs import RunState, RunSummary
from difrob.worker.messages import Entry, LiveProgress
from difrob_gui.models.row_sync import Index, sync_rows
from difrob_gui.models.run_row import RunRow, make_row
from difrob_gui.standing import RECOVER, advice_for
from difrob_gui.waiting import Waits, waits_of

COLUMNS = ("Run", "State", "Result", "Age", "Kind", "Progress")
RUN, STATE, RESULT, AGE, KIND, PROGRESS = range(len(COLUMNS))
RowRole = Qt.ItemDataRole.UserRole + 1
WaitsRole = Qt.ItemDataRole.UserRole + 2

_STATE_ORDER = {
    state: place
    for place, state in enumerate(
        (
            RunState.RUNNING, RunState.STARTING, RunState.PAUSING, RunState.PAUSED, RunState.STOPPING, RunState.QUEUED,
            RunState.FAILED, RunState.INTERRUPTED, RunState.CANCELLED, RunState.FINISHED,
        )
    )
}  # fmt: skip


Source = tuple[RunSummary | None, Entry | None, LiveProgress | None, bool]


class RunsTableModel(QAbstractTableModel):
    """Rows of :class:`RunRow`; ``RowRole`` gives the row itself to the delegate."""

    checked_changed = Signal(list)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, RunRow] = {}
        self._sources: dict[str, Source] = {}
        self._visible: list[str] = []
        self._place: dict[str, int] = {}
        self._checked: set[str] = set()
        self._filter: list[str] = []
        self._sort = (AGE, Qt.SortOrder.AscendingOrder)

    # ------------------------------------------------------------------ contents

    def set_runs(
        self,
        summaries: list[RunSummary],
        entries: dict[str, Entry],
        progress: dict[str, LiveProgress],
        linked: bool,
    ) -> None:
        """Take over what is known now; rows whose sources are the same objects are kept as they are."""
        by_id = {summary.run_id: summary for summary in summaries}
        changed: list[str] = []
        rows: dict[str, RunRow] = {}
        sources: dict[str, Source] = {}
        for run_id in [*(key for key in entries if key not in by_id), *by_id]:
            entry = entries.get(run_id)
            source = (by_id.get(run_id), entry, progress.get(run_id), linked and entry is not None)
            known = self._sources.get(run_id)
            if known is not None and all(a is b for a, b in zip(known, source, strict=True)):
                rows[run_id] = self._rows[run_id]
            else:
                rows[run_id] = make_row(*source)
                if known is not None and rows[run_id] != self._rows[run_id]:
                    changed.append(run_id)
            sources[run_id] = source
        gone = self._rows.keys() - rows.keys()
        # While rows leave, views may still ask for them: old rows stay known until the order is right.
        self._rows, self._sources = {**self._rows, **rows}, sources
        self._arrange(rows)
        self._rows = rows
        self._announce(changed)
        if self._checked & gone:
            self._checked -= gone
            self.checked_changed.emit(self.checked_ids())

    def update_live(self, run_ids: set[str], progress: dict[str, LiveProgress]) -> None:
        """Take over new progress of a few live runs, leaving all other rows alone."""
        changed = []
        for run_id in run_ids & self._rows.keys():
            summary, entry, _, linked = self._sources[run_id]
            source = (summary, entry, progress.get(run_id), linked)
            row = make_row(*source)
            self._sources[run_id] = source
            if row != self._rows[run_id]:
                self._rows[run_id] = row
                changed.append(run_id)
        if changed and self._sort[0] in (RESULT, PROGRESS):
            self._arrange()
        self._announce(changed)

    def set_filter(self, text: str) -> None:
        """Show only rows with every word of ``text``; ``kind:`` and ``state:`` limit a word to that column."""
        self._filter = text.lower().split()
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; rows that are equal there stay newest first."""
        self._sort = (column, order)
        self._arrange()

    @property
    def total(self) -> int:
        """How many runs there are, shown or filtered away."""
        return len(self._rows)

    def row(self, run_id: str) -> RunRow | None:
        """What is known of a run."""
        return self._rows.get(run_id)

    def waits(self, row: RunRow) -> Waits:
        """What a waiting run waits for."""
        return waits_of(row.entry, self._known)

    def rows(self) -> list[RunRow]:
        """All runs, in no particular order."""
        return list(self._rows.values())

    def run_id_at(self, row: int) -> str:
        """Id of the run in a visible row; empty outside."""
        return self._visible[row] if 0 <= row < len(self._visible) else ""

    def place_of(self, run_id: str) -> int:
        """Visible row of a run, or -1."""
        return self._place.get(run_id, -1)

    # ------------------------------------------------------------------ chosen for comparison

    def checked_ids(self) -> list[str]:
        """Runs with a tick, oldest first."""
        return sorted(
            self._checked, key=lambda run_id: (self._rows[run_id].created if run_id in self._rows else 0, run_id)
        )

    def set_checked_ids(self, run_ids: list[str]) -> None:
        """Tick exactly these runs; unknown ones are left out."""
        wanted = {run_id for run_id in run_ids if run_id in self._rows}
        touched = wanted ^ self._checked
        self._checked = wanted
        if touched:
            self._announce(touched, [Qt.ItemDataRole.CheckStateRole])
            self.checked_changed.emit(self.checked_ids())

    def toggle(self, run_id: str) -> None:
        """Turn the tick of one run."""
        self.set_checked_ids([*(self._checked - {run_id}), *([run_id] if run_id not in self._checked else [])])

    # ------------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._visible)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == RUN else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self._rows[self._visible[index.row()]]
        column = index.column()
        if role == RowRole:
            return row
        if role == WaitsRole:
            return self.waits(row)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == RUN:
            return Qt.CheckState.Checked if row.run_id in self._checked else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and column == STATE:
            return row.look
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            named = f" {row.result_title}" if column == RESULT and row.result is not None else ""
            return f"{COLUMNS[column]}: {self._text(row, column)}{named}"
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != RUN:
            return False
        run_id = self._visible[index.row()]
        if (Qt.CheckState(value) is Qt.CheckState.Checked) != (run_id in self._checked):
            self.toggle(run_id)
        return True

    # ------------------------------------------------------------------ inside

    def _text(self, row: RunRow, column: int) -> str:
        if column == RUN:
            return row.title
        if column == STATE:
            return row.state_text
        if column == RESULT:
            if row.result is None:
                return ""
            return f"{words.number(row.result.value, row.result.unit)} {words.interval(row.result)}".strip()
        if column == AGE:
            return words.age(row.created)
        if column == KIND:
            return words.kind_word(row.kind)
        return f"{100 * row.share_done:.0f} %" if row.progress.total else ""

    def _tip(self, row: RunRow, column: int) -> str:
        if column == STATE:
            return self._state_tip(row)
        if column == RESULT and row.result is not None:
            result = row.result
            count = f"n = {result.n:,}" if result.n else ""
            first = f"{row.result_title}: {self._text(row, RESULT)}"
            return "\n".join(part for part in (first, result.sentence, result.interval, count) if part)
        about = f"{row.title}\n{words.kind_title(row.kind)}\n{row.run_id}"
        # A slim table has no column of states.
        return f"{about}\n\n{self._state_tip(row)}" if column == RUN else about

    def _state_tip(self, row: RunRow) -> str:
        """The state, why, and what to expect or to do."""
        parts = [row.state_text, self.waits(row).detail() or row.standing_detail(time.time())]
        if row.damaged:
            parts.append(RECOVER)
        elif row.state.is_end:
            parts.append(advice_for(row.cause, row.has_checkpoint))
        if row.progress.total:
            parts.append(f"{row.progress.done:,} of {row.progress.total:,} {row.progress.unit}")
        if row.state.is_live and (left := words.duration(row.progress.seconds_left)):
            parts.append(f"about {left} left")
        return "\n".join(part for part in parts if part)

    def _known(self, run_id: str) -> tuple[str, RunState | None]:
        row = self._rows.get(run_id)
        return (row.title, row.state) if row is not None else (run_id, None)

    def _arrange(self, among: dict[str, RunRow] | None = None) -> None:
        rows = list((self._rows if among is None else among).values())
        if self._filter:
            rows = [row for row in rows if all(_fits(row, word) for word in self._filter)]
        wanted = [row.run_id for row in _ordered(rows, *self._sort)]
        sync_rows(self, self._visible, wanted, self._commit)

    def _commit(self, run_ids: list[str]) -> None:
        self._visible = run_ids
        self._place = {run_id: row for row, run_id in enumerate(run_ids)}

    def _announce(self, run_ids: Iterable[str], roles: list[int] | None = None) -> None:
        for run_id in run_ids:
            place = self._place.get(run_id, -1)
            if place >= 0:
                self.dataChanged.emit(self.index(place, 0), self.index(place, len(COLUMNS) - 1), roles or [])


def _fits(row: RunRow, word: str) -> bool:
    column, colon, text = word.partition(":")
    if colon and column in ("kind", "state"):
        return text in (f"{row.kind} {words.kind_word(row.kind)}".lower() if column == "kind" else row.states)
    return word in row.search


def _result(row: RunRow) -> float | None:
    """The number that stands for a run; None for one without."""
    return None if row.result is None or math.isnan(row.result.value) else row.result.value


def _state_rank(row: RunRow) -> int:
    """What needs a person comes first."""
    if row.is_stuck:
        return -1
    return _STATE_ORDER[RunState.FAILED if row.damaged else row.state]


_SORT_KEYS: dict[int, Callable[[RunRow], Any]] = {
    RUN: lambda row: row.title.lower(),
    STATE: _state_rank,
    RESULT: _result,
    KIND: lambda row: words.kind_word(row.kind),
    PROGRESS: lambda row: row.share_done,
}


def _ordered(rows: list[RunRow], column: int, order: Qt.SortOrder) -> list[RunRow]:
    """A stable order, newest first among equals; rows without a number come last both ways."""
    turned = order is not Qt.SortOrder.AscendingOrder
    newest = sorted(rows, key=lambda row: -row.created)
    if column == AGE:
        return newest[::-1] if turned else newest
    key = _SORT_KEYS[column]
    keyed = [(key(row), row) for row in newest]
    told = sorted((pair for pair in keyed if pair[0] is not None), key=lambda pair: pair[0], reverse=turned)
    return [row for _, row in told] + [row for told_by, row in keyed if told_by is None]
