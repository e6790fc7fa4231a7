"""How many CPU cores this process may use, which can be fewer than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of the container, "200000 100000" for two cores; Linux, cgroup v2


def usable_cores(quota: Path = CPU_QUOTA) -> int:
    """Cores that the system lets this process use: those it may run on, and no more than its container is given.

    Args:
        quota: file with the share of the container in microseconds per period.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        cores = min(cores, int(allowed) // int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        pass
    return max(1, cores)


def crowded(processes: int, cores: int) -> str:
    """What comes of a run on the CPU by more processes than it has cores; "" where each has one of its own."""
    if processes <= cores:
        return ""
    owned = "1 CPU core" if cores == 1 else f"{cores} CPU cores"
    return (
        f"compute.devices = {processes} asks for more processes than the {owned} that this run may use: they wait for each "
        "other, and the run takes longer than with fewer"
    )
