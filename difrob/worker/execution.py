"""Running one job in this process, from specification to finished file: the same for a worker and for the command line."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from difrob.errors import Stopped, UserError
from difrob.runs import RunState, RunSummary, Workspace
from difrob.runs.causes import Cause
from difrob.runs.recorder import RunRecorder
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import JobSpec, devices_of
from difrob.words import plural
from difrob.worker.company import Company, broke_off, own_devices
from difrob.worker.failures import explain_failure
from difrob.worker.job_function import job_function

if TYPE_CHECKING:
    import torch

THREADS = "DIFROB_THREADS"
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
) -> RunSummary:
    """Run a job to its end, whatever the end is; only a run that cannot even be recorded raises.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; for a run on several GPUs ``cuda:0,cuda:1`` or ``cuda``.
        control: through which others ask the job to pause or stop.
        resume: go on from the last checkpoint of an existing run.

    Returns:
        The summary, with state ``finished``, ``interrupted`` (stopped, can be resumed), ``cancelled`` or ``failed``.

    Raises:
        UserError: when the run cannot be opened for writing, or the device does not exist.
    """
    control = control or StopControl()
    before = _earlier_facts(workspace, run_id) if resume else {}
    devices = own_devices(device, devices_of(spec))
    torch_device = prepare_torch(devices[0], before.get("threads"))
    job = job_function(spec)
    recorder = RunRecorder(
        workspace, run_id, spec, device=describe_device(torch_device, len(devices)), control=control, resume=resume,
        on_progress=on_progress, created=created, facts=_facts(torch_device),
    )  # fmt: skip
    if before.get("device_type", torch_device.type) != torch_device.type:
        recorder.note(
            f"it began on '{before['device_type']}' and goes on on '{torch_device.type}': the last digits will differ",
            "warning",
        )
    state, reason, cause = RunState.FINISHED, "", Cause.NONE
    hook = _leave_on_abort(control)
    company = Company(workspace, run_id, spec, devices, before.get("threads"))
    together = False  # whether all processes of the run have come to the same end
    try:
        job(spec, company.gather(recorder, torch_device), torch_device)
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


def _facts(device: torch.device) -> dict[str, Any]:
    import torch

    return {"device_type": device.type, **({"threads": torch.get_num_threads()} if device.type == "cpu" else {})}


def prepare_torch(device: str, threads: int | None = None) -> torch.device:
    """Import torch, choose the device and the number of threads, and switch nondeterminism off.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads; None for what ``DIFROB_THREADS`` says.

    Raises:
        UserError: for a device that this machine does not have.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        import torch
    except ImportError as error:
        raise UserError(f"torch cannot be imported ({error}); run 'difrob doctor'") from None
    _keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"unknown device '{device}'; use auto, cpu, cuda, cuda:N or mps") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"there is no device '{device}' here (CUDA devices: {torch.cuda.device_count()}); use --device cpu"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("there is no MPS device here; use --device cpu")
    if chosen.type == "cpu":
        torch.set_num_threads(threads or _threads())
    if chosen.type == "cuda":
        # Sums by atomic additions come out differently each time; the few operations without another way only warn.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return chosen


def _threads() -> int:
    """CPU threads of a run: one, unless ``DIFROB_THREADS`` says otherwise.

    A fixed number, because results depend on it in the last digits. One, because at 8x8 pixels a second thread gains a
    fifth on an idle machine and costs a factor of two on a busy one (measured: 10 s against 13 s, and 31 s against 16 s).
    """
    try:
        return max(1, int(os.environ.get(THREADS, "1")))
    except ValueError:
        raise UserError(f"{THREADS} = '{os.environ[THREADS]}' is not a whole number") from None


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of giving them back to the system and asking for them again.

    Small networks on large batches spend up to half their time on such page faults otherwise (measured: certification of
    600 images took 10.4 s of CPU time before and 5.5 s after).
    """
    trim_threshold, mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system: nothing to tune there
        return
    mallopt(trim_threshold, 2_000_000_000)
    mallopt(mmap_threshold, 1_000_000_000)


def describe_device(device: torch.device, processes: int = 1) -> str:
    """The device in words, e.g. ``cpu (2 threads)`` or ``cuda:0 NVIDIA H200``, and how many processes share the work."""
    import torch

    if device.type == "cuda":
        others = f" and {plural(processes - 1, 'other')}" if processes > 1 else ""
        return f"cuda:{device.index or 0} {torch.cuda.get_device_name(device)}{others}"
    threads = plural(torch.get_num_threads(), "thread")
    if device.type == "cpu" and processes > 1:
        return f"cpu ({processes} processes of {threads})"
    return f"cpu ({threads})" if device.type == "cpu" else device.type


def _leave_on_abort(control: StopControl) -> torch.utils.hooks.RemovableHandle:
    """Look for an abort before every module call: tens of milliseconds instead of a whole training step."""
    import torch

    def look(module: torch.nn.Module, inputs: object) -> None:
        if control.grade == "abort":
            raise Stopped("abort")

    return torch.nn.modules.module.register_module_forward_pre_hook(look)
