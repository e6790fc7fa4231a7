"""What a waiting entry waits for, worked out from states and not from sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from difrob.runs import RunState
from difrob.worker.messages import Entry

Known = Callable[[str], tuple[str, RunState | None]]


@dataclass(frozen=True)
class Waits:
    """Titles of the runs that an entry needs: those still to come, and those that ended without finishing."""

    coming: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    held: bool = False

    @property
    def titles(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.broken, *self.coming)

    def detail(self) -> str:
        """In a few words; empty when the entry waits for nothing but a free lane."""
        if self.held:
            return "release it to let it start"
        if self.broken:
            return f"needs “{self.broken[0]}”, which did not finish"
        if self.coming:
            more = f" and {len(self.coming) - 1} more" if len(self.coming) > 1 else ""
            return f"after “{self.coming[0]}”{more}"
        return ""


def waits_of(entry: Entry | None, known: Known) -> Waits:
    """What ``entry`` waits for. ``known(run id)`` gives title and state, the state None for a run that is gone."""
    if entry is None or entry.state is not RunState.QUEUED:
        return Waits()
    coming: list[str] = []
    broken: list[str] = []
    for run_id in entry.after:
        title, state = known(run_id)
        if state is RunState.FINISHED:
            continue
        (broken if state is None or state.is_end else coming).append(title)
    return Waits(tuple(coming), tuple(broken), entry.held)
