"""What a study still lacks: runs to queue anew, and runs to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from difrob.runs import RunState
from difrob.studies.plan import Plan


@dataclass(frozen=True)
class Missing:
    """What to ask of the queue.

    Attributes:
        forgotten: ids of ended entries whose files were removed since; the queue must drop them before it takes them anew.
        requests: what to submit.
        again: ids to resume.
    """

    forgotten: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether every run has finished or is on its way."""
        return not self.requests and not self.again


def what_is_missing(plan: Plan, states: Mapping[str, RunState], queued: Mapping[str, RunState]) -> Missing:
    """Compare a plan with what there is.

    Args:
        plan: the runs of the study.
        states: state of each run that has a file.
        queued: state of each entry of the queue.
    """
    gone = [run_id for run_id in plan.entries if run_id not in states]
    absent = {run_id for run_id in gone if run_id not in queued or queued[run_id].is_end}
    ended = (run_id for run_id in plan.entries if run_id not in absent)
    return Missing(
        [run_id for run_id in gone if run_id in absent and run_id in queued],
        [request for request in plan.requests() if request["run_id"] in absent],
        [run_id for run_id in ended if _can_resume(queued.get(run_id) or states.get(run_id))],
    )


def _can_resume(state: RunState | None) -> bool:
    return state is not None and state.is_end and state is not RunState.FINISHED
