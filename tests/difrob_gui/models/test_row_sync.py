"""Rows change with honest signals: Qt's own model tester watches, and persistent indexes stay with their rows."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from difrob_gui.models import row_sync
from difrob_gui.models.row_sync import sync_rows

IDS = st.lists(st.sampled_from([f"r{number}" for number in range(12)]), unique=True)


class Ids(QAbstractTableModel):
    """The smallest model with rows."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__()
        self.ids = ids

    def rowCount(self, parent: Any = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.ids)

    def columnCount(self, parent: Any = QModelIndex()) -> int:
        return 0 if parent.isValid() else 2

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        return self.ids[index.row()] if role == Qt.ItemDataRole.DisplayRole else None

    def commit(self, ids: list[str]) -> None:
        self.ids = ids


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(IDS, min_size=1, max_size=4))
def test_rows_and_persistent_indexes_follow(qapp: object, steps: list[list[str]]) -> None:
    model = Ids([])
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    kept: dict[str, QPersistentModelIndex] = {}
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    for wanted in steps:
        sync_rows(model, model.ids, wanted, model.commit)
        assert model.ids == wanted
        for run_id, index in kept.items():
            assert index.isValid() == (run_id in wanted)
            if index.isValid():
                assert index.data() == run_id
        kept = {run_id: QPersistentModelIndex(model.index(row, 1)) for row, run_id in enumerate(wanted)}
    assert not resets
    del tester


def test_very_many_changes_become_one_reset(qapp: object) -> None:
    model = Ids([f"r{number}" for number in range(400)])
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    wanted = [f"r{number}" for number in range(0, 400, 2)]
    assert len(wanted) > row_sync.MOST_RANGES
    sync_rows(model, model.ids, wanted, model.commit)
    assert model.ids == wanted
    assert resets == [1]
