"""The table of states, arrow by arrow."""

from __future__ import annotations

import itertools

import pytest

from difrob.runs import RunState
from difrob.runs.states import TRANSITIONS, check_transition

ENDS = "finished failed interrupted cancelled"
ARROWS = {
    "queued": "starting cancelled",
    "starting": f"running pausing paused stopping {ENDS}",
    "running": f"pausing stopping {ENDS}",
    "pausing": f"paused running stopping {ENDS}",
    "paused": f"running stopping {ENDS}",
    "stopping": ENDS,
    "finished": "",
    "failed": "queued",
    "interrupted": "queued",
    "cancelled": "queued",
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(RunState, RunState)))
def test_each_arrow_is_allowed_or_refused(old: RunState, new: RunState) -> None:
    if old is new or new.value in ARROWS[old.value].split():
        check_transition(old, new)
    else:
        with pytest.raises(ValueError, match=f"a run cannot go from {old} to {new}"):
            check_transition(old, new)


@pytest.mark.parametrize("state", RunState)
def test_every_state_is_waiting_live_or_an_end(state: RunState) -> None:
    assert state.is_end == (state.value in ENDS.split())
    assert state.is_live == (state.value in ("starting", "running", "pausing", "paused", "stopping"))
    assert (state is RunState.QUEUED) == (not state.is_end and not state.is_live)
    assert state in TRANSITIONS


def test_a_live_run_can_always_end_and_an_end_is_left_only_for_the_queue() -> None:
    ends = {state for state in RunState if state.is_end}
    for state in RunState:
        if state.is_live:
            assert ends <= TRANSITIONS[state]
        if state.is_end:
            assert TRANSITIONS[state] <= {RunState.QUEUED}
