"""How a process sets torch up for a run: the device, the threads, determinism; whoever has started that process."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

from difrob.errors import Stopped, UserError
from difrob.runs.stop import StopControl
from difrob.words import plural

if TYPE_CHECKING:
    import torch

THREADS = "DIFROB_THREADS"


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


def device_facts(device: torch.device) -> dict[str, Any]:
    """What a run is computed with, as facts of its file: ``device_type``, and on the CPU ``threads``."""
    import torch

    return {"device_type": device.type, **({"threads": torch.get_num_threads()} if device.type == "cpu" else {})}


def leave_on_abort(control: StopControl) -> torch.utils.hooks.RemovableHandle:
    """Look for an abort before every module call: tens of milliseconds instead of a whole training step."""
    import torch

    def look(module: torch.nn.Module, inputs: object) -> None:
        if control.grade == "abort":
            raise Stopped("abort")

    return torch.nn.modules.module.register_module_forward_pre_hook(look)


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
