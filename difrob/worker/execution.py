"""Running one job in this process, from specification to finished file: the same for a worker and for the command line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from difrob.errors import Stopped, UserError
from difrob.ranks.meeting import broke_off
from difrob.runs import RunState, RunSummary, Workspace
from difrob.runs.causes import Cause
from difrob.runs.recorder import RunRecorder
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import JobSpec, devices_of
from difrob.worker.company import Company, own_devices
from difrob.worker.failures import explain_failure
from difrob.worker.job_function import job_function
from difrob.worker.torch_setup import describe_device, device_facts, leave_on_abort, prepare_torch

FAULT_SECONDS = 5.0  # in which a process of this run that has broken off must have ended


def execute(
    workspace: Workspace,
    run_id: str,
    spec: JobSpec,
    *,
    device: str = "auto",
    control: StopControl | None = None,
    resume: bool = False,
    on_progress: Callable[[SignOfLife], None] | None = None,
    created: float | None = None,
    old_inputs: bool = False,
) -> RunSummary:
    """Run a job to its end, whatever the end is; only a run that cannot even be recorded raises.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; for a run on several GPUs ``cuda:0,cuda:1`` or ``cuda``.
        control: through which others ask the job to pause or stop.
        resume: go on from the last checkpoint of an existing run.
        old_inputs: a resumed run goes on with the inputs that it began with, where those have changed and are still kept.

    Returns:
        The summary, with state ``finished``, ``interrupted`` (stopped, can be resumed), ``cancelled`` or ``failed``.

    Raises:
        UserError: when the run cannot be opened for writing, would go on with other inputs than it began with, or the
            device does not exist.
    """
    control = control or StopControl()
    before = _earlier_facts(workspace, run_id) if resume else {}
    devices = own_devices(device, devices_of(spec))
    torch_device = prepare_torch(devices[0], before.get("threads"))
    job = job_function(spec)
    recorder = RunRecorder(
        workspace, run_id, spec, device=describe_device(torch_device, len(devices)), control=control, resume=resume,
        on_progress=on_progress, created=created, facts=device_facts(torch_device), old_inputs=old_inputs,
    )  # fmt: skip
    if before.get("device_type", torch_device.type) != torch_device.type:
        recorder.note(
            f"it began on '{before['device_type']}' and goes on on '{torch_device.type}': the last digits will differ",
            "warning",
        )
    state, reason, cause = RunState.FINISHED, "", Cause.NONE
    hook = leave_on_abort(control)
    company = Company(workspace, run_id, spec, devices, before.get("threads"))
    together = False  # whether all processes of the run have come to the same end
    try:
        job(spec, company.gather(recorder, torch_device), torch_device)
        recorder.require_same_inputs()
        together = True
    except Stopped as stopped:
        cause = Cause.REQUEST
        together = stopped.grade == "stop"
        if stopped.grade == "abort":
            state, reason = RunState.CANCELLED, "aborted on request"
        else:
            state, reason = RunState.INTERRUPTED, "stopped on request; it can be resumed"
    except Exception as error:
        state = RunState.FAILED
        fault = company.fault(wait=FAULT_SECONDS) if broke_off(error) else None
        cause, reason = (fault.cause, fault.reason) if fault else explain_failure(error)
        recorder.note(reason, "error")
        if fault is not None and fault.details:
            recorder.note(fault.details, "error")
        elif not isinstance(error, UserError):
            recorder.note(traceback.format_exc(), "error")
    finally:
        hook.remove()
        company.settle(broken=not together)
    try:
        return recorder.finish(state, reason, cause)
    finally:
        company.part()


def _earlier_facts(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """What the interrupted run was computed with; its number of threads decides about the last digits of sums."""
    try:
        return workspace.reader(run_id).facts()
    except UserError:
        return {}  # the recorder will say what is the matter with the file
