"""The states of a run and the arrows between them."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands. Everything from ``FINISHED`` on is an end; an end other than finished can be resumed."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"

    @property
    def is_live(self) -> bool:
        """A worker process belongs to the run."""
        return self in _LIVE

    @property
    def is_end(self) -> bool:
        """Nothing more happens unless somebody resumes the run."""
        return self in _ENDS


_LIVE = {RunState.STARTING, RunState.RUNNING, RunState.PAUSING, RunState.PAUSED, RunState.STOPPING}
_ENDS = {RunState.FINISHED, RunState.FAILED, RunState.INTERRUPTED, RunState.CANCELLED}
_DIES = {RunState.FAILED, RunState.INTERRUPTED, RunState.CANCELLED}

TRANSITIONS: dict[RunState, set[RunState]] = {
    RunState.QUEUED: {RunState.STARTING, RunState.CANCELLED},
    RunState.STARTING: {RunState.RUNNING, RunState.PAUSING, RunState.PAUSED, RunState.STOPPING, RunState.FINISHED}
    | _DIES,
    RunState.RUNNING: {RunState.PAUSING, RunState.STOPPING, RunState.FINISHED} | _DIES,
    RunState.PAUSING: {RunState.PAUSED, RunState.RUNNING, RunState.STOPPING, RunState.FINISHED} | _DIES,
    RunState.PAUSED: {RunState.RUNNING, RunState.STOPPING, RunState.FINISHED} | _DIES,
    RunState.STOPPING: {RunState.FINISHED} | _DIES,
    RunState.FINISHED: set(),
    RunState.FAILED: {RunState.QUEUED},
    RunState.INTERRUPTED: {RunState.QUEUED},
    RunState.CANCELLED: {RunState.QUEUED},
}


def check_transition(old: RunState, new: RunState) -> None:
    """Raise ``ValueError`` for an arrow that is not in the table; staying in a state is allowed."""
    if new is not old and new not in TRANSITIONS[old]:
        raise ValueError(f"a run cannot go from {old} to {new}")
