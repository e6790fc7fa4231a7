"""Lanes: one for the CPU and one for each CUDA device; a lane runs one worker at a time."""

from __future__ import annotations

import os

from difrob.worker.messages import Entry
from difrob.worker.meters import MachineMeters

CPU = "cpu"


def detect_lanes(meters: MachineMeters) -> list[str]:
    """The lanes of this machine, without importing torch. ``CUDA_VISIBLE_DEVICES`` is respected."""
    count = meters.gpu_count
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = min(count, len([part for part in visible.split(",") if part.strip() not in ("", "-1")]))
    return [f"cuda:{index}" for index in range(count)] + [CPU]


def choose_lane(entry: Entry, lanes: list[str], busy: set[str]) -> str | None:
    """The free lane that an entry may take; ``any`` means a GPU where there is one, else the CPU."""
    if entry.lane == "any":
        fitting = [lane for lane in lanes if lane != CPU] or [CPU]
    else:
        fitting = [lane for lane in lanes if lane == entry.lane]
    return next((lane for lane in fitting if lane not in busy), None)
