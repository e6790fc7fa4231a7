"""How a run stands, from whatever source is newest, and how that is explained to a person: what, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from difrob.runs import Progress, RunState
from difrob.runs.causes import Cause, advice
from difrob_gui import stuck
from difrob_gui.grades import GRADES

RESUME = "Resume"
SHOW_LOG = "Show log"
START_ANEW = "Edit and start anew"
STOP = GRADES["stop"].word
KILL = GRADES["kill"].word
RECOVER = "'difrob runs recover' salvages what can be read."

# A resumed run would meet the same thing again: what helps is another specification.
_ANEW = {Cause.BAD_INPUT, Cause.NOT_FINITE}
# The reason says all there is; the log adds nothing.
_NO_LOG = {Cause.REQUEST, Cause.RESTART, Cause.LOST}


@dataclass(frozen=True)
class RunStanding:
    """What the head of the Monitor page shows of one run.

    Times are seconds since the epoch; ``has_checkpoint`` is None until the run's file has been read.
    """

    run_id: str
    kind: str
    name: str
    state: RunState
    reason: str = ""
    cause: str = ""
    progress: Progress = field(default_factory=Progress)
    started: float | None = None
    ended: float | None = None
    device: str = ""
    host: str = ""
    waiting: str = ""
    stop_grade: str = ""
    stop_deadline: float | None = None
    stuck_since: float | None = None
    stuck_deadline: float | None = None
    has_checkpoint: bool | None = None
    damaged: bool = False

    @property
    def is_stuck(self) -> bool:
        """Whether it should have reported and did not."""
        return stuck.is_stuck(self.state, self.stuck_since)


@dataclass(frozen=True)
class Explanation:
    """A banner: its tone, a word, the reason, what to do about it, and the buttons that do it."""

    tone: str
    title: str
    text: str
    advice: str = ""
    buttons: tuple[str, ...] = ()


def explain(standing: RunStanding, now: float) -> Explanation | None:
    """What needs to be said about how a run stands; None when it is as it should be."""
    state, reason = standing.state, standing.reason
    if standing.damaged:
        return Explanation("bad", "Damaged", _sentence(reason or "its file cannot be read"), RECOVER)
    if standing.is_stuck and standing.stuck_since is not None:
        text = stuck.in_full(standing.stuck_since, standing.stuck_deadline, now)
        advised = "The log shows its last words. Waiting costs nothing; stopping keeps what was recorded."
        return Explanation("warning", stuck.WORD, text, advised, (STOP, KILL, SHOW_LOG))
    if state is RunState.QUEUED and reason:
        return Explanation("info", "Waiting", reason)
    if state is RunState.FAILED:
        text = _sentence(reason or "no reason was recorded")
        return Explanation("bad", "Failed", text, _advice(standing), _buttons(standing))
    if state is RunState.INTERRUPTED:
        text = _sentence(reason or "its process died")
        return Explanation("warning", "Interrupted", text, _advice(standing), _buttons(standing))
    if state is RunState.CANCELLED and (reason or standing.cause):
        text = _sentence(reason or "stopped on request")
        return Explanation("info", "Cancelled", text, _advice(standing), _buttons(standing))
    return None


def advice_for(cause: str, has_checkpoint: bool | None = None) -> str:
    """What to do about an end; where the advice is to resume, it is said when that means starting over."""
    advised = advice(cause)
    if has_checkpoint is False and cause not in _ANEW and "resume it" in advised.lower():
        return f"{advised} Without a checkpoint, as here, it begins from the start."
    return advised


def _advice(standing: RunStanding) -> str:
    return advice_for(standing.cause or _usual_cause(standing.state), standing.has_checkpoint)


def _buttons(standing: RunStanding) -> tuple[str, ...]:
    cause = standing.cause or _usual_cause(standing.state)
    if cause in _ANEW:
        return (START_ANEW, SHOW_LOG)
    return (RESUME,) if cause in _NO_LOG else (RESUME, SHOW_LOG)


def _usual_cause(state: RunState) -> Cause:
    """For runs of a time when no cause was recorded."""
    return {RunState.FAILED: Cause.ERROR, RunState.INTERRUPTED: Cause.LOST}.get(state, Cause.REQUEST)


def _sentence(text: str) -> str:
    """The reason as a sentence of its own; what was written as one is left as it is."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
