"""The ways to stop a run, in words: what each promises, within what time, and what follows when it does not help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from difrob.worker.messages import GRADE_LIMITS, Entry


@dataclass(frozen=True)
class Grade:
    """One way to stop.

    Attributes:
        name: as the supervisor calls it.
        word: what buttons say.
        promise: when it happens and what comes then, in a few words.
        help: what it does with what was reached.
        icon: name of its icon.
        harder: the grade that follows when this one takes too long; empty for none.
    """

    name: str
    word: str
    promise: str
    help: str
    icon: str
    harder: str = ""

    @property
    def text(self) -> str:
        """Word and promise, for menus."""
        return f"{self.word} — {self.promise}"

    @property
    def tip(self) -> str:
        """Everything, for tooltips."""
        return f"{self.text}.\n{self.help}"


def _limit(name: str) -> str:
    return f"{GRADE_LIMITS[name] or 0:g} s"


GRADES: dict[str, Grade] = {
    grade.name: grade
    for grade in (
        Grade("pause", "Pause", "at the next safe point, no limit",
              "Its worker keeps everything in memory and its place.", "pause"),
        Grade("stop", "Stop and keep", f"within a step, at most {_limit('stop')}, then abort",
              "It writes a last checkpoint first, from which it can be resumed.", "stop", "abort"),
        Grade("abort", "Abort", f"within {_limit('abort')}, then kill",
              "It ends without a new checkpoint; what was recorded stays.", "abort", "kill"),
        Grade("kill", "Kill", "at once; resume from the last checkpoint",
              "Its process is ended by force; what was recorded stays.", "kill"),
    )
}  # fmt: skip


def countdown(grade: str, deadline: float | None, now: float) -> str:
    """How an asked-for end proceeds, in a few words, e.g. ``42 s, then abort``; times in seconds since the epoch.

    Empty where nothing is known, as with a grade from a newer supervisor that has no deadline.
    """
    known = GRADES.get(grade)
    if grade == "kill":
        return "its process is being ended"
    if deadline is None:
        return "at the next safe point" if grade == "pause" else ""
    harder = known.harder if known is not None and known.harder else "the next grade"
    left = max(0, math.ceil(deadline - now))
    return f"{left} s, then {harder}" if left else f"{harder} now"


def counts_down(entry: Entry) -> bool:
    """Whether an entry shows seconds that run out."""
    return entry.state.is_live and entry.stop_deadline is not None
