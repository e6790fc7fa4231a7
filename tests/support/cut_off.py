"""Jobs on a real recorder that end before they are done: killed, or stopped, after so many safe points."""

from __future__ import annotations

from difrob.errors import Stopped
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import JobSpec
from difrob.worker.job_function import job_function
from difrob.worker.torch_setup import prepare_torch


class _Killed(BaseException):
    """In place of SIGKILL: nothing in the program may catch it."""


class _CutOff(RunRecorder):
    """Raises at the first safe point at which so many steps, or rows, have been reported."""

    done_at_most: int
    cut: BaseException

    def check_stop(self) -> None:
        super().check_stop()
        if self.summary.progress.done >= self.done_at_most:
            self.flush()  # what was reported in the last moment before a kill would be lost, or not
            raise self.cut


def killed(workspace: Workspace, run_id: str, spec: JobSpec, after: int, *, resume: bool = False) -> None:
    """Run a job until it has reported this progress, and leave it as a killed process does."""
    _cut_off(workspace, run_id, spec, after, _Killed(), resume=resume)


def stopped(workspace: Workspace, run_id: str, spec: JobSpec, after: int) -> None:
    """Run a job until it has reported this progress; it writes a last checkpoint and can be resumed."""
    _cut_off(workspace, run_id, spec, after, Stopped("stop"), resume=False)


def _cut_off(workspace: Workspace, run_id: str, spec: JobSpec, after: int, cut: BaseException, *, resume: bool) -> None:
    device = prepare_torch("cpu", 1)
    recorder = _CutOff(workspace, run_id, spec, resume=resume)
    recorder.done_at_most, recorder.cut = after, cut
    try:
        job_function(spec)(spec, recorder, device)
        raise AssertionError(f"'{run_id}' was done before it was cut off")
    except (_Killed, Stopped):
        if isinstance(cut, Stopped):
            recorder.finish(RunState.INTERRUPTED, "stopped on request; it can be resumed")
    finally:
        recorder.close()
