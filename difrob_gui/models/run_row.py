"""One row of the table of runs, made from what its file and the supervisor say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from PySide6.QtGui import QIcon

from difrob import words
from difrob.quantities import most_telling, quantity_of
from difrob.runs import Measure, Progress, RunState, RunSummary
from difrob.worker.messages import Entry, LiveProgress
from difrob_gui import stuck
from difrob_gui.grades import countdown
from difrob_gui.theme import icon, state_icon


@dataclass(frozen=True)
class RunRow:
    """What the table knows of one run.

    ``summary`` or ``entry`` is None while the other side does not know the run; ``is_linked`` says whether the entry is
    what the supervisor says now, and not what it said before the link was lost.
    """

    run_id: str
    kind: str
    name: str
    state: RunState
    reason: str
    created: float
    progress: Progress
    result_name: str = ""
    result: Measure | None = None
    has_checkpoint: bool = False
    has_file: bool = False
    damaged: bool = False
    summary: RunSummary | None = None
    entry: Entry | None = None
    cause: str = ""
    is_linked: bool = False

    @property
    def is_stuck(self) -> bool:
        """Whether it should have reported again and did not."""
        return self.is_linked and self.entry is not None and stuck.entry_is_stuck(self.entry)

    @property
    def state_text(self) -> str:
        """The state in words; a stuck run and a damaged file say so."""
        if self.damaged:
            return "Damaged"
        return stuck.WORD if self.is_stuck else words.state_word(self.state)

    @property
    def look(self) -> QIcon:
        """The icon of the state."""
        if self.damaged:
            return icon("warning", "bad")
        return icon(stuck.ICON, "warning") if self.is_stuck else state_icon(self.state)

    @property
    def states(self) -> str:
        """All words by which its state is found."""
        marks = ("damaged" if self.damaged else "", "stuck" if self.is_stuck else "")
        return " ".join(word for word in (self.state.value, *marks) if word)

    @cached_property
    def search(self) -> str:
        """Everything by which the row is found, in small letters; put together only when somebody searches."""
        return f"{self.name}\n{self.run_id}\n{self.kind}\n{words.kind_word(self.kind)}\n{self.states}".lower()

    def standing_detail(self, now: float) -> str:
        """Deadlines of a stuck run or of one that is being stopped, else the reason; ``now`` in seconds since the epoch."""
        entry = self.entry
        if entry is not None and self.is_linked:
            if self.is_stuck and entry.stuck_since is not None:
                return stuck.in_short(entry.stuck_since, entry.stuck_deadline, now)
            if self.state in (RunState.STOPPING, RunState.PAUSING):
                return countdown(entry.stop_grade, entry.stop_deadline, now) or self.reason
        return self.reason

    def standing_in_short(self, now: float) -> str:
        """State and deadline where there is room for a few letters only; empty where there is no deadline."""
        entry = self.entry
        if self.is_stuck and entry is not None and entry.stuck_since is not None:
            return f"{stuck.WORD} {stuck.in_short(entry.stuck_since, entry.stuck_deadline, now)}"
        if self.is_linked and entry is not None and entry.stop_deadline is not None and self.state.is_live:
            return f"{self.state_text}, {max(0.0, entry.stop_deadline - now):.0f} s"
        return ""

    @property
    def result_title(self) -> str:
        """What its main result is called; "" without one."""
        return quantity_of(self.result_name, self.result).title if self.result is not None else ""

    @property
    def title(self) -> str:
        """Name, or the id of a run without one; a copy of another run's file says so."""
        title = words.run_title(self.name, self.run_id)
        return f"{title} (copy)" if self.summary is not None and self.summary.copy_of else title

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the run, from whoever knows it."""
        if self.entry is not None:
            return self.entry.spec
        return self.summary.spec if self.summary is not None else {}

    @property
    def share_done(self) -> float:
        """Progress in [0,1]."""
        return self.progress.done / self.progress.total if self.progress.total else 0.0


def make_row(summary: RunSummary | None, entry: Entry | None, live: LiveProgress | None, linked: bool) -> RunRow:
    """One row from what the files and the supervisor say; the supervisor is right about the state while it is linked."""
    if summary is None:
        assert entry is not None
        spec = entry.spec
        row = RunRow(
            entry.run_id, str(spec.get("kind", "")), str(spec.get("name", "")), entry.state, entry.reason,
            entry.created, Progress(), entry=entry, cause=entry.cause, is_linked=linked,
        )  # fmt: skip
    else:
        best = most_telling(summary.results)
        row = RunRow(
            summary.run_id, summary.kind, summary.name, summary.state, summary.reason, summary.created, summary.progress,
            best or "", summary.results[best] if best else None, summary.has_checkpoint, True, summary.damaged,
            summary, entry, summary.cause, linked,
        )  # fmt: skip
        if entry is not None and linked:
            row = replace(
                row, state=entry.state, reason=entry.reason or summary.reason, cause=entry.cause or summary.cause
            )
    if live is not None and row.state.is_live:
        progress = Progress(live.done, live.total, live.unit, live.seconds_left)
        newest = most_telling(live.headline)
        row = replace(row, progress=progress, reason=live.waiting or row.reason)
        if row.result is None and newest:
            row = replace(row, result_name=newest, result=_newest(newest, live.headline[newest]))
    return row


def _newest(name: str, value: float) -> Measure:
    quantity = quantity_of(name)
    return Measure(value, unit=quantity.unit, description=f"newest {quantity.title}")
