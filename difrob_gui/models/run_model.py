"""One watched run: the model that the hub keeps of it, and that every page which shows the run draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from difrob.runs import FeedUpdate
    from difrob_gui.models.run_data import RunData


class RunModel(QObject):
    """What is known of a run, and the news of it. It comes from ``FeedHub.run`` and goes back by ``FeedHub.release``.

    However many pages show a run, there is one of these: a page that joins later draws what is here already.

    Signals:
        changed: ``(run id, FeedUpdate)``, after ``data`` took the update in; with ``reset`` everything is to be drawn anew.
        failed: ``(run id, message)`` when the run could not be read.
    """

    changed = Signal(str, object)
    failed = Signal(str, str)

    def __init__(self, run_id: str) -> None:
        """A run of which nothing was read so far."""
        from difrob_gui.models.run_data import (
            RunData,  # needs numpy, for which a window without such a page need not wait
        )

        super().__init__()
        self.data: RunData = RunData(run_id)
        self.problem = ""

    @property
    def run_id(self) -> str:
        """Which run it is."""
        return self.data.run_id

    @property
    def is_read(self) -> bool:
        """Whether its file was read, or could not be."""
        return self.data.summary is not None or bool(self.problem)

    def take(self, update: FeedUpdate) -> None:
        """Take news in. Of a run that was not read from its start so far they are the rest of an earlier watch: left out."""
        if self.data.summary is None and not update.reset:
            return
        self.problem = ""
        self.data.apply(update)
        self.changed.emit(self.run_id, update)

    def fail(self, message: str) -> None:
        """Remember why the run cannot be read, until it can."""
        self.problem = message
        self.failed.emit(self.run_id, message)
