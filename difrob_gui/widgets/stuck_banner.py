"""A banner for runs that are stuck: since when, until when, and the ways out."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from difrob import words
from difrob_gui import stuck
from difrob_gui.grades import GRADES
from difrob_gui.models.queue_model import QueueRow
from difrob_gui.standing import KILL, STOP
from difrob_gui.widgets.badges import Banner

SHOW = "Show"


class StuckBanner(Banner):
    """Speaks of the first stuck run and counts the others, whose rows are marked anyway.

    ``stop_wanted`` carries run id and grade, ``show_wanted`` the run id.
    """

    stop_wanted = Signal(str, str)
    show_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run_id = ""
        self.acted.connect(self._on_button)

    def show_rows(self, rows: list[QueueRow], now: float) -> None:
        """Speak of those of ``rows`` that are stuck at ``now`` (seconds since the epoch); silent without any."""
        hung = [(row, row.entry.stuck_since) for row in rows if row.is_stuck and row.entry.stuck_since is not None]
        if not hung:
            self.silence()
            return
        row, since = hung[0]
        self._run_id = row.run_id
        text = f"“{row.title}”: {stuck.in_full(since, row.entry.stuck_deadline, now)}"
        also = f"{words.plural(len(hung) - 1, 'more run')} stuck as well; marked below." if len(hung) > 1 else ""
        self.say("warning", stuck.WORD, text, STOP, KILL, SHOW, advice=also)
        for button, grade in ((STOP, "stop"), (KILL, "kill")):
            self.button(button).setToolTip(GRADES[grade].tip)
        self.button(SHOW).setToolTip("Show its curves and its log on the Monitor page.")

    def _on_button(self, button: str) -> None:
        if button == SHOW:
            self.show_wanted.emit(self._run_id)
        else:
            self.stop_wanted.emit(self._run_id, "kill" if button == KILL else "stop")
