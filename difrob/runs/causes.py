"""Why a run ended other than finished, as a word that a program can act on, and what a person can do about it."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """What ended a run. ``NONE`` belongs to a run that has not ended, or that finished."""

    NONE = ""
    REQUEST = "request"
    BAD_INPUT = "bad_input"
    MEMORY = "memory"
    GPU_MEMORY = "gpu_memory"
    NOT_FINITE = "not_finite"
    DISK_FULL = "disk_full"
    DISK = "disk"
    LOST_DEVICE = "lost_device"
    IMPORT = "import"
    SIGNAL = "signal"
    RESTART = "restart"
    STUCK = "stuck"
    LOST = "lost"
    ERROR = "error"


ADVICE: dict[Cause, str] = {
    Cause.NONE: "",
    Cause.REQUEST: "Resume it to go on from its last checkpoint.",
    Cause.BAD_INPUT: "Change the named setting or input, and start it again.",
    Cause.MEMORY: "Make batch_size (or micro_batch) smaller, or close other programs; then resume it.",
    Cause.GPU_MEMORY: "Set micro_batch below batch_size, or free the device ('difrob doctor' shows who uses it); then "
    "resume it.",
    Cause.NOT_FINITE: "Lower the learning rate or set gradient_clip, and start it anew: a resumed run would do the same.",
    Cause.DISK_FULL: "Free some room ('difrob runs gc' shows what the workspace can spare); then resume it.",
    Cause.DISK: "Check the disk and the rights of the workspace's folder; then resume it.",
    Cause.LOST_DEVICE: "The driver dropped the device: restart the machine or reset the device, then resume it.",
    Cause.IMPORT: "The installation is incomplete; 'difrob doctor' says what is missing.",
    Cause.SIGNAL: "Something outside killed the process; if it happens again, look at the memory. Resume it to go on.",
    Cause.RESTART: "Resume it to go on from its last checkpoint.",
    Cause.STUCK: "The log shows where it hung. Resume it to go on; with slow disks or devices raise the limit of the queue.",
    Cause.LOST: "Resume it to go on from its last checkpoint.",
    Cause.ERROR: "The log holds the traceback. Once what it names is mended, resume it.",
}  # fmt: skip


def advice(cause: str) -> str:
    """What to do next; "" for a word from a newer difrob."""
    try:
        return ADVICE[Cause(cause)]
    except ValueError:
        return ""
