"""Bring the rows of a model from one order to another with the smallest honest signals.

Views keep selection, current row, scroll position and open editors when they are told of insertions, removals and moves; a
reset throws all of it away. Rows are known by their ids.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex

Index = QModelIndex | QPersistentModelIndex
MOST_RANGES = 64


def sync_rows(
    model: QAbstractTableModel, current: list[str], wanted: list[str], commit: Callable[[list[str]], None]
) -> None:
    """Turn ``current`` into ``wanted``; ``commit(ids)`` makes the model hold ``ids`` and is called inside each change."""
    if current == wanted:
        return
    keep, known = set(wanted), set(current)
    gone = _ranges([row for row, run_id in enumerate(current) if run_id not in keep])
    new = _ranges([row for row, run_id in enumerate(wanted) if run_id not in known])
    if len(gone) + len(new) > MOST_RANGES:
        model.beginResetModel()
        commit(wanted)
        model.endResetModel()
        return
    rows = list(current)
    for first, last in reversed(gone):
        model.beginRemoveRows(QModelIndex(), first, last)
        del rows[first : last + 1]
        commit(list(rows))
        model.endRemoveRows()
    kept = [run_id for run_id in wanted if run_id in known]
    if kept != rows:
        _permute(model, rows, kept, commit)
        rows = kept
    for first, last in new:
        model.beginInsertRows(QModelIndex(), first, last)
        rows[first:first] = wanted[first : last + 1]
        commit(list(rows))
        model.endInsertRows()


def _permute(
    model: QAbstractTableModel, rows: list[str], wanted: list[str], commit: Callable[[list[str]], None]
) -> None:
    model.layoutAboutToBeChanged.emit()
    place = {run_id: row for row, run_id in enumerate(wanted)}
    before = model.persistentIndexList()
    targets = [place[rows[index.row()]] for index in before]
    commit(wanted)
    after = [model.index(row, index.column()) for row, index in zip(targets, before, strict=True)]
    model.changePersistentIndexList(before, after)
    model.layoutChanged.emit()


def _ranges(rows: list[int]) -> list[tuple[int, int]]:
    """Sorted row numbers as closed ranges: ``[1, 2, 5]`` gives ``[(1, 2), (5, 5)]``."""
    if not rows:
        return []
    breaks = [(a, b) for a, b in pairwise(rows) if b != a + 1]
    starts = [rows[0], *(b for _, b in breaks)]
    ends = [*(a for a, _ in breaks), rows[-1]]
    return list(zip(starts, ends, strict=True))
