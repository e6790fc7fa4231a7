"""Runs that should have reported again and did not: how rows, banners and notices say so."""

from __future__ import annotations

import time

from difrob import words
from difrob.runs import RunState
from difrob.worker.messages import Entry

ICON = "stuck"
WORD = "Stuck"
_AT_WORK = {RunState.STARTING, RunState.RUNNING, RunState.PAUSING}


def is_stuck(state: RunState, since: float | None) -> bool:
    """Whether a run counts as stuck; one that is being stopped already no longer does."""
    return since is not None and state in _AT_WORK


def entry_is_stuck(entry: Entry) -> bool:
    """The same for an entry of the queue."""
    return is_stuck(entry.state, entry.stuck_since)


def clock(moment: float, now: float) -> str:
    """Time of day, with the date when it is another day than ``now``; both in seconds since the epoch."""
    then, today = time.localtime(moment), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%d %b %H:%M", then)


def in_short(since: float, deadline: float | None, now: float) -> str:
    """For a row: ``since 14:03 · stop 14:33``."""
    end = f"stop {clock(deadline, now)}" if deadline is not None else "never stopped"
    return f"since {clock(since, now)} · {end}"


def in_full(since: float, deadline: float | None, now: float) -> str:
    """For a banner: since when nothing was heard, and when the run will be stopped."""
    silent = f"It should have reported at {clock(since, now)}, {words.duration(now - since)} ago, and did not."
    if deadline is None:
        return f"{silent} The queue is set to leave it alone."
    if deadline <= now:
        return f"{silent} It is about to be stopped."
    return f"{silent} It will be stopped at {clock(deadline, now)}, in {words.duration(deadline - now)}."
