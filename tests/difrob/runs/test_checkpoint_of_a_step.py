"""Reading the checkpoint of a step: any that the retention left, and no other."""

from __future__ import annotations

import pytest
from support.recorded_runs import WEIGHTS, recording

from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.runs.retention import Retention, write_retention


def test_kept_steps_are_read_and_others_refused_by_name(workspace: Workspace) -> None:
    write_retention(workspace.root, Retention(keep_last=3, keep_best=False))
    with recording(workspace, "run") as recorder:
        for step in range(1, 6):
            recorder.checkpoint(step, WEIGHTS[step:], {"step": step})
        recorder.finish(RunState.FINISHED)
    reader = workspace.reader("run")
    for step in (3, 4, 5):
        found = reader.checkpoint(step)
        assert (found.step, found.weights, found.state) == (step, WEIGHTS[step:], {"step": step})
    with pytest.raises(UserError, match=r"run 'run' holds no checkpoint of step 2, only of 3, 4, 5; .*keep --last 20"):
        reader.checkpoint(2)
    assert reader.checkpoint("last").step == 5


def test_of_many_steps_those_at_both_ends_are_named(workspace: Workspace) -> None:
    write_retention(workspace.root, Retention(keep_last=30))
    with recording(workspace, "run") as recorder:
        for step in range(10, 310, 10):
            recorder.checkpoint(step, WEIGHTS, {})
        recorder.finish(RunState.FINISHED)
    with pytest.raises(UserError, match=r"only of 10, 20, 30, 40, 50, 60, \.\.\., 260, 270, 280, 290, 300; choose"):
        workspace.reader("run").checkpoint(11)
