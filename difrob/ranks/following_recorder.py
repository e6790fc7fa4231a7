"""The recorder of a process that helps with a run which another process records."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from difrob.errors import Stopped, UserError
from difrob.runs.datasets import DataSetRecord
from difrob.runs.input_states import InputState, NotedRun, noted_states
from difrob.runs.interface import Checkpoint, Measure
from difrob.runs.reader import RunReader
from difrob.runs.workspace import Workspace

LEADER_SECONDS = 120.0  # in which the leading process must have read an input
LOOK_SECONDS = 0.05


class FollowingRecorder:
    """Implements :class:`difrob.runs.interface.Recorder`: reads what a job needs, and drops what it reports.

    The leading process runs the same job on the same state, so what is dropped here is written there.

    Args:
        workspace: where the run and its inputs are.
        run_id: the run.
        resumed_at: step of the checkpoint from which the leading process goes on; None at a fresh start.
        order: how the leading process was asked to stop at this safe point, None if it goes on; waits until it is known.

    Raises:
        UserError: when the file of the run does not hold that checkpoint.
    """

    def __init__(
        self, workspace: Workspace, run_id: str, resumed_at: int | None, order: Callable[[], str | None]
    ) -> None:
        self._workspace = workspace
        self._states = _LeadersStates(RunReader(run_id, workspace.run_path(run_id), workspace.journal_path(run_id)))
        self._order = order
        self._resumed_from = None if resumed_at is None else _checkpoint(workspace.reader(run_id), resumed_at)

    def check_stop(self) -> None:
        grade = self._order()
        if grade is not None:
            raise Stopped(grade)

    def input_run(self, run_id: str) -> NotedRun:
        """The run in the state in which the leading process reads it, also where it goes on meanwhile."""
        return NotedRun(self._workspace.reader(run_id), self._states)

    def data_set(self, name: str) -> DataSetRecord:
        return self._workspace.data_set(name)

    @property
    def resumed_from(self) -> Checkpoint | None:
        return self._resumed_from

    @property
    def recorded_samples(self) -> int:
        return 0

    def recorded_column(self, name: str) -> np.ndarray:
        raise UserError(f"a process that only helps with a run has recorded no column '{name}'")

    def metric(
        self,
        name: str,
        step: int,
        value: float,
        low: float | None = None,
        high: float | None = None,
        *,
        interval: str = "",
    ) -> None:
        pass

    def curve(
        self,
        name: str,
        step: int,
        x: np.ndarray,
        y: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        *,
        x_label: str = "x",
        y_label: str = "y",
        interval: str = "",
    ) -> None:
        pass

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        pass

    def samples(self, **columns: np.ndarray) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        pass

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        pass

    def note(self, text: str, level: str = "info") -> None:
        pass

    def result(self, name: str, measure: Measure) -> None:
        pass

    def attribute(self, name: str, value: Any) -> None:
        pass


class _LeadersStates:
    """In which state the leading process has read its inputs, as the journal of the run says; waits until it has."""

    def __init__(self, leader: RunReader) -> None:
        self._leader = leader

    def known(self, run_id: str, part: str) -> InputState:
        until = time.monotonic() + LEADER_SECONDS
        while True:
            states = noted_states(self._leader.parents().get(run_id, {}))
            if part in states:
                return states[part]
            if time.monotonic() > until:
                raise UserError(
                    f"the leading process of run '{self._leader.run_id}' has not read run '{run_id}' within "
                    f"{LEADER_SECONDS:.0f} seconds"
                )
            time.sleep(LOOK_SECONDS)

    def take(self, reader: RunReader, part: str, state: InputState) -> None:
        """The leading process notes it."""


def _checkpoint(reader: RunReader, step: int) -> Checkpoint:
    found, _ = reader.newest_whole_checkpoint()
    if found is None or found.step != step:
        raise UserError(f"the file of run '{reader.run_id}' does not hold its checkpoint at step {step} any more")
    return found
