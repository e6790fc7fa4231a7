"""News of runs, from their files and from the queue, brought to the table, the status strip and the bar of pages."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from difrob_gui.actions import ActionTable
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.widgets.nav_bar import NavBar
from difrob_gui.widgets.runs_panel import RunsPanel
from difrob_gui.widgets.status_strip import StatusStrip

FLUSH_MS = 250


class RunsNews(QObject):
    """Gathers news, and shows them at most four times a second.

    Signals:
        shown: what is on show is up to date; whether the list of runs itself may be another one.
    """

    shown = Signal(bool)

    def __init__(
        self,
        feeds: FeedHub,
        client: SupervisorClient,
        runs: RunsPanel,
        status: StatusStrip,
        nav: NavBar,
        actions: ActionTable,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._feeds, self._client = feeds, client
        self._runs, self._status, self._nav, self._actions = runs, status, nav, actions
        self._changed_runs: set[str] = set()
        self._list_changed = self._is_closed = False
        self._clock = QTimer(self, singleShot=True, interval=FLUSH_MS)
        self._clock.timeout.connect(self.flush)
        feeds.summaries_changed.connect(self._on_list)
        client.state_changed.connect(self._on_list)
        client.entry_changed.connect(self._on_list)
        client.entry_removed.connect(self._on_list)
        client.link_changed.connect(self._on_list)
        client.progress_changed.connect(self._on_progress)

    def flush(self) -> None:
        """Bring everything up to date now."""
        mirror, listed = self._client.mirror, self._list_changed
        if listed:
            self._runs.set_runs(self._feeds.summaries, mirror.entries, mirror.progress, self._client.is_connected)
            rows = self._runs.model.rows()
            alone = sum(row.state.is_live and row.run_id not in mirror.entries for row in rows)
            self._status.show_queue(self._client.state, alone)
            waiting = sum(not entry.state.is_end for entry in mirror.entries.values())
            self._nav.set_number("view.queue", waiting)
            self._actions["queue.pause"].setChecked(mirror.paused)
        elif self._changed_runs:
            self._runs.model.update_live(self._changed_runs, mirror.progress)
        self._list_changed = False
        self._changed_runs = set()
        self.shown.emit(listed)

    def close(self) -> None:
        """The window closes; further news come too late."""
        self._is_closed = True
        self._clock.stop()

    def _on_list(self, _what: object = None) -> None:
        self._list_changed = True
        self._soon()

    def _on_progress(self, run_id: str) -> None:
        self._changed_runs.add(run_id)
        self._soon()

    def _soon(self) -> None:
        if not self._clock.isActive() and not self._is_closed:
            self._clock.start()
