"""The recorder of a process that helps: takes what a job reports, keeps nothing, and stops when the leader does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.recorder_protocol import METHODS, PROPERTIES, parameters

from difrob.errors import Stopped, UserError
from difrob.ranks.following_recorder import FollowingRecorder
from difrob.runs import RunState, Workspace
from difrob.runs.interface import Recorder
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainClassifierSpec


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_what_the_protocol_says(name: str) -> None:
    assert parameters(FollowingRecorder, name) == parameters(Recorder, name)


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_has_every_property(name: str) -> None:
    assert isinstance(getattr(FollowingRecorder, name), property)


def test_it_goes_on_and_stops_as_the_leader_says(workspace: Workspace) -> None:
    orders = iter([None, None, "abort"])
    recorder = FollowingRecorder(workspace, "run", None, lambda: next(orders))
    recorder.check_stop()
    recorder.check_stop()
    with pytest.raises(Stopped) as stopped:
        recorder.check_stop()
    assert stopped.value.grade == "abort"


def test_it_goes_on_from_the_checkpoint_of_the_leader_and_from_no_other(workspace: Workspace) -> None:
    leader = RunRecorder(workspace, "run", TrainClassifierSpec())
    leader.checkpoint(4, b"weights", {"epoch": 1})
    leader.finish(RunState.INTERRUPTED)
    found = FollowingRecorder(workspace, "run", 4, lambda: None).resumed_from
    assert found is not None and (found.step, found.weights, found.state) == (4, b"weights", {"epoch": 1})
    assert FollowingRecorder(workspace, "run", None, lambda: None).resumed_from is None
    with pytest.raises(UserError, match="run 'run' does not hold its checkpoint at step 6 any more"):
        FollowingRecorder(workspace, "run", 6, lambda: None)


def test_it_has_recorded_nothing(workspace: Workspace) -> None:
    recorder = FollowingRecorder(workspace, "run", None, lambda: None)
    assert recorder.recorded_samples == 0
    with pytest.raises(UserError, match="has recorded no column 'radius'"):
        recorder.recorded_column("radius")
    assert not workspace.run_path("run").exists()


def test_it_reads_an_input_as_the_leader_has_read_it_also_when_that_has_gone_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = RunRecorder(workspace, "parent", TrainClassifierSpec())
    parent.checkpoint(1, b"first", {})
    parent.samples(index=np.arange(3))
    parent.flush()
    leader = RunRecorder(workspace, "run", TrainClassifierSpec())
    try:
        read = leader.input_run("parent")
        assert read.checkpoint("last").weights == b"first" and len(read.array("samples/index")) == 3
        parent.samples(index=np.arange(2))
        parent.flush()
        assert len(read.array("samples/index")) == 3
        leader.flush()
        parent.checkpoint(2, b"second", {})
        recorder = FollowingRecorder(workspace, "run", None, lambda: None)
        assert recorder.input_run("parent").checkpoint("last").weights == b"first"
        assert len(recorder.input_run("parent").array("samples/index")) == 3
        parent.checkpoint(3, b"third", {})
        with pytest.raises(UserError, match="run 'parent' has gone on while this run read it"):
            recorder.input_run("parent").checkpoint("last")
        monkeypatch.setattr("difrob.ranks.following_recorder.LEADER_SECONDS", 0.0)
        with pytest.raises(UserError, match="the leading process of run 'run' has not read run 'parent'"):
            recorder.input_run("parent").checkpoint("best")
    finally:
        parent.close()
        leader.close()
