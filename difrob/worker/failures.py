"""What an exception that ended a job means to the person whose run it was."""

from __future__ import annotations

from difrob.errors import NotFinite, UserError
from difrob.runs.causes import Cause
from difrob.runs.full_disk import is_full

# What CUDA, ROCm and Metal say when the device itself has gone, not the program wrong.
_DEVICE_LOST = (
    "device is lost", "devicelost", "gpu is lost", "fallen off the bus", "uncorrectable ecc", "no cuda-capable device",
    "unspecified launch failure", "unknown error", "devices unavailable", "hardware stack error", "nvlink",
    "system not yet initialized", "driver shutting down", "initialization error", "hip error: no device",
)  # fmt: skip
_ASSERTED = "device-side assert"


def explain_failure(error: Exception) -> tuple[Cause, str]:
    """The cause, and one sentence about it; what to do next belongs to the cause (:data:`difrob.runs.causes.ADVICE`)."""
    from difrob.memory import out_of_memory

    if isinstance(error, NotFinite):
        return Cause.NOT_FINITE, str(error)
    if isinstance(error, UserError):
        return Cause.BAD_INPUT, str(error)
    what = out_of_memory(error)
    if what == "gpu":
        return Cause.GPU_MEMORY, f"out of GPU memory ({_first_line(error)})"
    if what == "cpu":
        return Cause.MEMORY, f"out of memory ({_first_line(error)})"
    if isinstance(error, ImportError):
        return Cause.IMPORT, f"a package is missing or broken: {_first_line(error)}"
    if isinstance(error, OSError) and is_full(error):
        return Cause.DISK_FULL, f"the disk is full{_where(error)}"
    if isinstance(error, OSError) and error.errno is not None:
        return Cause.DISK, f"the system refused{_where(error)}: {error.strerror}"
    if isinstance(error, RuntimeError) and _is_device_error(error):
        return Cause.LOST_DEVICE, f"the device was lost: {_first_line(error)}"
    return Cause.ERROR, f"{type(error).__name__}: {_first_line(error)}; the log holds the traceback"


def _is_device_error(error: RuntimeError) -> bool:
    text = str(error).lower()
    of_device = any(word in text for word in ("cuda", "hip", "cudnn", "cublas", "mps", "metal"))
    return of_device and _ASSERTED not in text and any(phrase in text for phrase in _DEVICE_LOST)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _where(error: OSError) -> str:
    return f" at '{error.filename}'" if error.filename else ""
