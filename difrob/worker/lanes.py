"""Lanes: one or more for the CPU and one for each CUDA device; a lane runs one worker at a time.

A worker may take several lanes of CUDA devices. They are written as one, joined by commas: ``cuda:0,cuda:1``.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from difrob.errors import UserError
from difrob.worker.messages import Entry
from difrob.worker.meters import MachineMeters

CPU = "cpu"
_CPU_LANE = re.compile(r"cpu(-\d+)?")
_LANE = re.compile(r"any|cpu|cuda:\d{1,3}")


def detect_gpus(meters: MachineMeters) -> list[str]:
    """The GPU lanes of this machine, without importing torch. ``CUDA_VISIBLE_DEVICES`` is respected."""
    count = meters.gpu_count
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = min(count, len([part for part in visible.split(",") if part.strip() not in ("", "-1")]))
    return [f"cuda:{index}" for index in range(count)]


def cpu_lanes(count: int) -> list[str]:
    """The names of so many CPU lanes: ``cpu``, ``cpu-2``, ..."""
    return [CPU] + [f"{CPU}-{number}" for number in range(2, count + 1)]


def device_of(lane: str) -> str:
    """The device that a worker on this lane uses, as torch calls it; of several lanes all devices, joined as they are."""
    return CPU if _is_cpu(lane) else lane


def wanted_lane(text: str) -> str:
    """What an entry may ask for, written as it is kept. One CPU lane is as good as another, so all are ``cpu``.

    Raises:
        UserError: for anything that no machine has a lane of that name for.
    """
    lane = {"": "any", "cuda": "cuda:0"}.get(text, text)
    lane = CPU if _is_cpu(lane) else lane
    if not _LANE.fullmatch(lane):
        raise UserError(f"unknown lane '{text}'; use any, cpu or cuda:N")
    return lane


def choose_lane(entry: Entry, lanes: list[str], busy: set[str]) -> str | None:
    """The free lane that an entry may take; ``any`` means a GPU where there is one, else the CPU.

    An entry that needs several GPUs gets as many lanes, joined by commas, or None; one that asks for ``cuda:N`` gets that
    one first. On the CPU one lane is enough for it.

    A worker may be on a CPU lane that is no more, its number having been lowered; it takes the place of one that is left.
    """
    if wants_gpus(entry, lanes):
        found = lanes_to_keep(entry, lanes, busy)
        return ",".join(found) if len(found) == entry.devices else None
    if entry.lane not in ("any", CPU):
        return None
    on_cpu = [lane for lane in lanes if _is_cpu(lane)]
    if sum(_is_cpu(lane) for lane in busy) >= len(on_cpu):
        return None
    return next((lane for lane in on_cpu if lane not in busy), None)


def gpus_of(lanes: list[str]) -> list[str]:
    """The lanes among these that are GPUs."""
    return [lane for lane in lanes if not _is_cpu(lane)]


def wants_gpus(entry: Entry, lanes: list[str]) -> bool:
    """Whether an entry would run on GPUs of a machine with these lanes."""
    gpus = gpus_of(lanes)
    return entry.lane in gpus or (entry.lane == "any" and bool(gpus))


def lanes_to_keep(entry: Entry, lanes: list[str], busy: set[str]) -> list[str]:
    """The free GPU lanes that an entry for GPUs would take, the leader's first; while too few, they are kept for it.

    Otherwise an entry that needs several would wait for ever behind a stream of those that need one. A GPU that it asks
    for by name and that is busy leaves its place open, so that no more are kept than it will need.
    """
    free = [lane for lane in gpus_of(lanes) if lane not in busy]
    if entry.lane == "any":
        return free[: entry.devices]
    others = [lane for lane in free if lane != entry.lane]
    return [lane for lane in free if lane == entry.lane] + others[: entry.devices - 1]


def why_never(entry: Entry, lanes: list[str]) -> str:
    """Why an entry can never start on a machine with these lanes, and the mend; "" where it can."""
    if entry.lane not in ("any", *lanes):
        return f"this machine has no lane '{entry.lane}'"
    if entry.devices > 1 and wants_gpus(entry, lanes) and entry.devices > (count := len(gpus_of(lanes))):
        return f"asks for {entry.devices} GPUs (compute.devices), this machine has {count}; edit it, or give it the lane cpu"
    return ""


def why_not_yet(entry: Entry, lanes: list[str], busy: set[str]) -> str:
    """What an entry that needs several GPUs waits for; "" for any other, which waits for a lane and for nothing else."""
    if entry.devices == 1 or not wants_gpus(entry, lanes):
        return ""
    gpus = gpus_of(lanes)
    named = "" if entry.lane == "any" else f", {entry.lane} among them"
    return f"needs {entry.devices} GPUs at once{named}; free: {len(set(gpus) - busy)} of {len(gpus)}"


@lru_cache(maxsize=256)  # asked ten times a second for every entry and lane
def _is_cpu(lane: str) -> bool:
    return _CPU_LANE.fullmatch(lane) is not None
