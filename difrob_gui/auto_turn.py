"""The Monitor page turns by itself to each run as it begins."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from difrob.runs import RunState
from difrob_gui.client import SupervisorClient


class AutoTurn(QObject):
    """While on, calls ``show(run id)`` for each run that begins to run; a run is shown once, so it can be left again."""

    def __init__(self, client: SupervisorClient, show: Callable[[str], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._show = show
        self._shown: set[str] = set()
        self.is_on = False
        client.entry_changed.connect(self._look)
        client.state_changed.connect(self._look_at_all)

    def turn(self, on: bool) -> None:
        """Begin or cease to follow; what runs already is shown at once."""
        self.is_on = on
        self._shown.clear()
        self._look_at_all()

    def _look_at_all(self) -> None:
        for run_id in list(self._client.mirror.entries):
            self._look(run_id)

    def _look(self, run_id: str) -> None:
        entry = self._client.mirror.entries.get(run_id)
        if self.is_on and entry is not None and entry.state is RunState.RUNNING and run_id not in self._shown:
            self._shown.add(run_id)
            self._show(run_id)
