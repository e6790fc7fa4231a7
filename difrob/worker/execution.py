"""Running one job in this process, from specification to finished file: the same for a worker and for the command line."""

from __future__ import annotations

import ctypes
import importlib
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from difrob.errors import Stopped, UserError
from difrob.runs import Progress, RunState, RunSummary, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.runs.stop import StopControl
from difrob.specs import JobSpec

if TYPE_CHECKING:
    import torch

THREADS = "DIFROB_THREADS"


def execute(
    workspace: Workspace,
    run_id: str,
    spec: JobSpec,
    *,
    device: str = "auto",
    control: StopControl | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress, dict[str, float], str], None] | None = None,
    created: float | None = None,
) -> RunSummary:
    """Run a job to its end, whatever the end is; only a run that cannot even be recorded raises.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        control: through which others ask the job to pause or stop.
        resume: go on from the last checkpoint of an existing run.

    Returns:
        The summary, with state ``finished``, ``interrupted`` (stopped, can be resumed), ``cancelled`` or ``failed``.

    Raises:
        UserError: when the run cannot be opened for writing, or the device does not exist.
    """
    control = control or StopControl()
    torch_device = prepare_torch(device)
    job = importlib.import_module(f"difrob.jobs.{spec.kind}").run
    recorder = RunRecorder(
        workspace, run_id, spec, device=describe_device(torch_device), control=control, resume=resume,
        on_progress=on_progress, created=created,
    )  # fmt: skip
    state, reason = RunState.FINISHED, ""
    hook = _leave_on_abort(control)
    try:
        job(spec, recorder, torch_device)
    except Stopped as stopped:
        if stopped.grade == "abort":
            state, reason = RunState.CANCELLED, "aborted on request"
        else:
            state, reason = RunState.INTERRUPTED, "stopped on request; it can be resumed"
    except UserError as error:
        state, reason = RunState.FAILED, str(error)
        recorder.note(reason, "error")
    except Exception as error:
        state, reason = RunState.FAILED, explain_failure(error)
        recorder.note(reason, "error")
        recorder.note(traceback.format_exc(), "error")
    finally:
        hook.remove()
    return recorder.finish(state, reason)


def prepare_torch(device: str) -> torch.device:
    """Import torch, choose the device and the number of threads, and switch nondeterminism off.

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
        torch.set_num_threads(_threads())
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


def describe_device(device: torch.device) -> str:
    """The device in words, e.g. ``cpu (2 threads)`` or ``cuda:0 NVIDIA H200``."""
    import torch

    if device.type == "cuda":
        return f"cuda:{device.index or 0} {torch.cuda.get_device_name(device)}"
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def explain_failure(error: Exception) -> str:
    """One sentence about an exception that a job did not expect, with the next step where there is one."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "out of GPU memory; use a smaller batch_size, or free the device ('difrob doctor' shows who uses it)"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory; use a smaller batch_size"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}; the log holds the traceback"


def _leave_on_abort(control: StopControl) -> torch.utils.hooks.RemovableHandle:
    """Look for an abort before every module call: tens of milliseconds instead of a whole training step."""
    import torch

    def look(module: torch.nn.Module, inputs: object) -> None:
        if control.grade == "abort":
            raise Stopped("abort")

    return torch.nn.modules.module.register_module_forward_pre_hook(look)
