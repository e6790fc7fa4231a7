"""The table of the queue: entries in the supervisor's order, with what each waits for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QMimeData, QModelIndex, QObject, Qt, Signal
from PySide6.QtGui import QIcon

from difrob import words
from difrob.runs import Progress, RunState
from difrob.worker.messages import Entry, LiveProgress, QueueState
from difrob_gui import stuck
from difrob_gui.grades import countdown
from difrob_gui.models.row_sync import Index, sync_rows
from difrob_gui.standing import advice_for
from difrob_gui.theme import icon, state_icon
from difrob_gui.waiting import Waits, waits_of

COLUMNS = ("#", "Run", "State", "Waits for", "Lane", "Progress")
POSITION, RUN, STATE, WAITS, LANE, PROGRESS = range(len(COLUMNS))
RowRole = Qt.ItemDataRole.UserRole + 1
MIME = "application/x-difrob-run-ids"


@dataclass(frozen=True)
class QueueRow:
    """One entry as the table shows it.

    ``position`` is its place in the order of starting: by priority, and among equals as they stand; 0 for entries that do
    not wait.
    """

    entry: Entry
    position: int
    waits: Waits
    progress: Progress

    @property
    def run_id(self) -> str:
        return self.entry.run_id

    @property
    def state(self) -> RunState:
        return self.entry.state

    @property
    def kind(self) -> str:
        return str(self.entry.spec.get("kind", ""))

    @property
    def title(self) -> str:
        return words.run_title(str(self.entry.spec.get("name", "")), self.entry.run_id)

    @property
    def is_stuck(self) -> bool:
        return stuck.entry_is_stuck(self.entry)

    @property
    def state_text(self) -> str:
        """The state in words; an entry that is held, stuck or cannot start says so."""
        if self.is_stuck:
            return stuck.WORD
        if self.waits.held:
            return "Held"
        return "Blocked" if self.waits.broken else words.state_word(self.state)

    @property
    def detail(self) -> str:
        """Why it stands where it stands, as of now; what it waits for has a column of its own."""
        entry, now = self.entry, time.time()
        if self.is_stuck and entry.stuck_since is not None:
            return stuck.in_short(entry.stuck_since, entry.stuck_deadline, now)
        if self.state in (RunState.STOPPING, RunState.PAUSING):
            return countdown(entry.stop_grade, entry.stop_deadline, now) or entry.reason
        if self.waits.held or self.waits.broken:
            return self.waits.detail()
        return "" if self.waits.coming else self.entry.reason

    @property
    def look(self) -> QIcon:
        """The icon of the state."""
        if self.is_stuck:
            return icon(stuck.ICON, "warning")
        if self.waits.held:
            return icon("hold", "warning")
        return icon("warning", "bad") if self.waits.broken else state_icon(self.state)

    @property
    def priority_text(self) -> str:
        """``↑2`` or ``↓1``; empty for the usual priority."""
        priority = self.entry.priority
        return f"{'↑' if priority > 0 else '↓'}{abs(priority)}" if priority else ""

    @property
    def share_done(self) -> float:
        return self.progress.done / self.progress.total if self.progress.total else 0.0


class QueueModel(QAbstractTableModel):
    """Live entries first, then waiting ones in order, then (when asked for) ended ones, newest first."""

    move_wanted = Signal(list, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, QueueRow] = {}
        self._visible: list[str] = []
        self._files: dict[str, tuple[str, RunState]] = {}
        self._show_ended = False
        self._state = QueueState()

    # ------------------------------------------------------------------ contents

    def set_state(self, state: QueueState, files: dict[str, tuple[str, RunState]] | None = None) -> None:
        """Take over the supervisor's state; ``files`` gives title and state of runs that are no entries."""
        self._state = state
        if files is not None:
            self._files = files
        self._rebuild()

    def set_show_ended(self, shown: bool) -> None:
        """Whether entries that have ended are listed."""
        self._show_ended = shown
        self._rebuild()

    def row(self, run_id: str) -> QueueRow | None:
        """What is known of one entry."""
        return self._rows.get(run_id)

    def rows(self) -> list[QueueRow]:
        """The rows shown, in order."""
        return [self._rows[run_id] for run_id in self._visible]

    def run_id_at(self, row: int) -> str:
        """Id of the entry in a row; empty outside."""
        return self._visible[row] if 0 <= row < len(self._visible) else ""

    def place_of(self, run_id: str) -> int:
        """Row of an entry, or -1."""
        return self._visible.index(run_id) if run_id in self._visible else -1

    def waiting_ids(self) -> list[str]:
        """Entries that wait, in queue order."""
        return [entry.run_id for entry in self._state.entries if entry.state is RunState.QUEUED]

    @property
    def ended_count(self) -> int:
        """How many entries have ended."""
        return sum(entry.state.is_end for entry in self._state.entries)

    # ------------------------------------------------------------------ moving

    def target_for(self, run_ids: list[str], step: str) -> tuple[list[str], str | None] | None:
        """Where ``up``, ``down``, ``top`` or ``bottom`` takes these entries: ``(ids in order, id to stand before)``.

        None when there is nothing to move.
        """
        waiting = self.waiting_ids()
        chosen = [run_id for run_id in waiting if run_id in set(run_ids)]
        rest = [run_id for run_id in waiting if run_id not in set(run_ids)]
        if not chosen or not rest:
            return None
        first, last = waiting.index(chosen[0]), waiting.index(chosen[-1])
        contiguous = last - first + 1 == len(chosen)
        if step == "top":
            place = 0
        elif step == "bottom":
            place = len(rest)
        elif step == "up":
            place = max(0, first - 1) if contiguous else first
        else:
            below = sum(run_id not in set(chosen) for run_id in waiting[: last + 1])
            place = min(len(rest), below + 1) if contiguous else below
        before = rest[place] if place < len(rest) else None
        return None if [*rest[:place], *chosen, *rest[place:]] == waiting else (chosen, before)

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        run_ids = dict.fromkeys(self._visible[index.row()] for index in sorted(indexes, key=lambda index: index.row()))
        data = QMimeData()
        data.setData(MIME, "\n".join(run_ids).encode())
        return data

    def canDropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        return data.hasFormat(MIME) and action == Qt.DropAction.MoveAction

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Ask for the move; the supervisor's answer moves the rows, so the view itself must not."""
        if not self.canDropMimeData(data, action, row, column, parent):
            return False
        moved = bytes(data.data(MIME).data()).decode().split("\n")
        place = row if row >= 0 else parent.row() if parent.isValid() else len(self._visible)
        waiting = set(self.waiting_ids())
        chosen = [run_id for run_id in moved if run_id in waiting]
        below = [run_id for run_id in self._visible[place:] if run_id in waiting and run_id not in chosen]
        if chosen:
            self.move_wanted.emit(chosen, below[0] if below else "")
        return False

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
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        if self._rows[self._visible[index.row()]].state is RunState.QUEUED:
            flags |= Qt.ItemFlag.ItemIsDragEnabled
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self._rows[self._visible[index.row()]]
        column = index.column()
        if role == RowRole:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.DecorationRole and column == STATE:
            return row.look
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            also = f", priority {row.entry.priority}" if column == POSITION and row.entry.priority else ""
            return f"{COLUMNS[column]}: {self._text(row, column)}{also}"
        if role == Qt.ItemDataRole.TextAlignmentRole and column == POSITION:
            return Qt.AlignmentFlag.AlignCenter
        return None

    def _text(self, row: QueueRow, column: int) -> str:
        if column == POSITION:
            return str(row.position) if row.position else ""
        if column == RUN:
            return row.title
        if column == STATE:
            return row.state_text
        if column == WAITS:
            return ", ".join(row.waits.titles)
        if column == LANE:
            return ", ".join(row.entry.on_lanes) or row.entry.lane
        return f"{100 * row.share_done:.0f} %" if row.progress.total else ""

    def _tip(self, row: QueueRow, column: int) -> str:
        if column == WAITS and row.waits.titles:
            return "Starts when these have finished:\n" + "\n".join(row.waits.titles)
        if column == PROGRESS and row.progress.total:
            left = words.duration(row.progress.seconds_left)
            done = f"{row.progress.done:,} of {row.progress.total:,} {row.progress.unit}"
            return f"{done}\nabout {left} left" if left else done
        if column == STATE and (row.detail or row.entry.reason):
            return self._state_tip(row)
        if column == LANE and len(row.entry.on_lanes) > 1:
            return f"Runs on {len(row.entry.on_lanes)} GPUs: {', '.join(row.entry.on_lanes)}"
        if column == POSITION and row.entry.priority:
            order = "before" if row.entry.priority > 0 else "after"
            return (
                f"Priority {row.entry.priority}: starts {order} all entries of the usual priority, wherever they stand."
            )
        return f"{row.title}\n{words.kind_title(row.kind)}\n{row.run_id}"

    @staticmethod
    def _state_tip(row: QueueRow) -> str:
        """The state and why; for a stuck or ended entry also what to expect, or to do."""
        entry = row.entry
        if row.is_stuck and entry.stuck_since is not None:
            told = f"{stuck.WORD}. {stuck.in_full(entry.stuck_since, entry.stuck_deadline, time.time())}"
            return f"{told}\n{entry.reason}".rstrip()
        advised = advice_for(entry.cause) if entry.state.is_end else ""
        return "\n".join(part for part in (f"{row.state_text}: {row.detail or entry.reason}", advised) if part)

    # ------------------------------------------------------------------ inside

    def _rebuild(self) -> None:
        entries = self._state.entries
        known = {e.run_id: (words.run_title(str(e.spec.get("name", "")), e.run_id), e.state) for e in entries}
        known = {**self._files, **known}
        rows: dict[str, QueueRow] = {}
        waiting = sorted((e for e in entries if e.state is RunState.QUEUED), key=lambda entry: -entry.priority)
        position = {entry.run_id: place for place, entry in enumerate(waiting, start=1)}
        for entry in entries:
            waits = waits_of(entry, lambda run_id: known.get(run_id, (run_id, None)))
            progress = _progress(self._state.progress.get(entry.run_id))
            rows[entry.run_id] = QueueRow(entry, position.get(entry.run_id, 0), waits, progress)
        wanted = [entry.run_id for entry in entries if entry.state.is_live]
        wanted += [entry.run_id for entry in entries if entry.state is RunState.QUEUED]
        if self._show_ended:
            wanted += [entry.run_id for entry in reversed(entries) if entry.state.is_end]
        changed = [run_id for run_id, row in rows.items() if run_id in self._rows and self._rows[run_id] != row]
        # While rows leave, views may still ask for them: old rows stay known until the order is right.
        self._rows = {**self._rows, **rows}
        sync_rows(self, self._visible, wanted, self._commit)
        self._rows = rows
        places = {run_id: place for place, run_id in enumerate(self._visible)}
        for run_id in changed:
            if run_id in places:
                self.dataChanged.emit(self.index(places[run_id], 0), self.index(places[run_id], PROGRESS))

    def _commit(self, run_ids: list[str]) -> None:
        self._visible = run_ids


def _progress(live: LiveProgress | None) -> Progress:
    return Progress() if live is None else Progress(live.done, live.total, live.unit, live.seconds_left)
