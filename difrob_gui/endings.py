"""Notices when a run ends or gets stuck, told once each, also for what happened while the link was down."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from difrob import words
from difrob.runs import RunState
from difrob.worker.messages import Entry
from difrob_gui import stuck
from difrob_gui.client import SupervisorClient
from difrob_gui.widgets.toasts import Tone

_TONES = {RunState.FINISHED: Tone.GOOD, RunState.FAILED: Tone.BAD, RunState.INTERRUPTED: Tone.WARNING}


class Endings(QObject):
    """Watches the entries of the queue; ``notice`` as in :class:`~difrob_gui.run_commands.RunCommands`."""

    notice = Signal(str, object, object)
    ended = Signal(str)

    def __init__(self, client: SupervisorClient, show: Callable[[str], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._show = show
        self._seen: dict[str, RunState] = {}
        self._stuck: dict[str, float] = {}
        client.entry_changed.connect(self._on_entry)
        client.state_changed.connect(self._on_state)

    def _on_entry(self, run_id: str) -> None:
        entry = self._client.mirror.entries.get(run_id)
        if entry is not None:
            self._look(entry)

    def _on_state(self) -> None:
        for entry in list(self._client.mirror.entries.values()):
            self._look(entry)

    def _look(self, entry: Entry) -> None:
        self._look_whether_stuck(entry)
        before, self._seen[entry.run_id] = self._seen.get(entry.run_id), entry.state
        if before is None or before.is_end or not entry.state.is_end:
            return
        self.ended.emit(entry.run_id)
        tone = _TONES.get(entry.state)
        if tone is None:
            return
        title = words.run_title(str(entry.spec.get("name", "")), entry.run_id)
        text = f"“{title}” {'has finished' if entry.state is RunState.FINISHED else f'was {entry.state}'}"
        if entry.state is RunState.FAILED:
            text = f"“{title}” failed"
        reason = f": {entry.reason}" if entry.reason else "."
        self.notice.emit(text + reason, tone, ("Show", lambda: self._show(entry.run_id)))

    def _look_whether_stuck(self, entry: Entry) -> None:
        """Each time that a run gets stuck is told once; one that came back to life may get stuck again."""
        since = entry.stuck_since
        if since is None or not stuck.entry_is_stuck(entry):
            self._stuck.pop(entry.run_id, None)
        elif self._stuck.get(entry.run_id) != since:
            self._stuck[entry.run_id] = since
            title = words.run_title(str(entry.spec.get("name", "")), entry.run_id)
            text = f"“{title}” is stuck. {stuck.in_full(since, entry.stuck_deadline, time.time())}"
            self.notice.emit(text, Tone.WARNING, ("Show", lambda: self._show(entry.run_id)))
