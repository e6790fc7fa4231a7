"""Lanes: one or more for the CPU and one for each CUDA device; a lane runs one worker at a time."""

from __future__ import annotations

import os
import re

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
    """The device that a worker on this lane uses, as torch calls it."""
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

    A worker may be on a CPU lane that is no more, its number having been lowered; it takes the place of one that is left.
    """
    gpus = [lane for lane in lanes if not _is_cpu(lane)]
    if entry.lane in gpus or (entry.lane == "any" and gpus):
        return next((lane for lane in gpus if lane not in busy and entry.lane in ("any", lane)), None)
    if entry.lane not in ("any", CPU):
        return None
    on_cpu = [lane for lane in lanes if _is_cpu(lane)]
    if sum(_is_cpu(lane) for lane in busy) >= len(on_cpu):
        return None
    return next((lane for lane in on_cpu if lane not in busy), None)


def _is_cpu(lane: str) -> bool:
    return _CPU_LANE.fullmatch(lane) is not None
