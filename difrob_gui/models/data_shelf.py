"""The data sets of the workspace as the window knows them, read in the reader thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from difrob.runs import Workspace
from difrob.runs.datasets import DataSetRecord
from difrob_gui.feeds import FeedHub


class DataShelf(QObject):
    """Records of all data sets; ``changed`` after they were read and are not as before."""

    changed = Signal()

    def __init__(self, feeds: FeedHub, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._feeds = feeds
        self._reading = False
        self._again = False
        self.records: list[DataSetRecord] = []
        self.damaged: dict[str, str] = {}
        self.problem = ""

    @property
    def is_read(self) -> bool:
        """Whether the data sets were read at all."""
        return bool(self.records)

    def get(self, name: str) -> DataSetRecord | None:
        """The record of this name."""
        return next((record for record in self.records if record.name == name), None)

    def refresh(self) -> None:
        """Read them again; while that is under way, once more afterwards."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        self._feeds.submit(self, _read, self._on_read)

    def _on_read(self, result: tuple[list[DataSetRecord], dict[str, str]] | None, error: str | None) -> None:
        self._reading = False
        before = (self.records, self.damaged, self.problem)
        if result is not None:
            self.records, self.damaged = result
        self.problem = error or ""
        if (self.records, self.damaged, self.problem) != before:
            self.changed.emit()
        if self._again:
            self._again = False
            self.refresh()


def _read(workspace: Workspace) -> tuple[list[DataSetRecord], dict[str, str]]:
    return workspace.data_sets(), workspace.datasets.damaged()
