"""The messages on the private socket between a client (window, command line, worker) and the supervisor.

One JSON object per line, UTF-8, at most :data:`MAX_LINE` bytes. A client sends requests ``{"id", "call", "args"}`` and gets
one reply ``{"id", "ok", "result" | "error"}`` each. After the call ``watch`` it also gets events: first ``state`` with the
full state, then small changes. Numbers of a run do not travel here: they are read from its journal. A refusal carries the
version of the supervisor, which may have been started before difrob was changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from difrob import __version__
from difrob.errors import UserError
from difrob.runs.states import RunState
from difrob.specs import KINDS, walk_fields

MAX_LINE = 32_000_000
"""Bytes; the full state of a queue of 5,000 entries has 9 million."""

Grade = Literal["pause", "stop", "abort", "kill"]
GRADE_LIMITS: dict[str, float | None] = {"pause": None, "stop": 60.0, "abort": 2.0, "kill": 0.0}


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(Message):
    """One run in the queue, waiting, live or ended. The entry's id is the id of the run.

    ``after`` holds ids of runs that must have finished first; ``lane`` is ``"any"``, ``"cpu"`` or ``"cuda:N"``.
    ``on_lane`` is the lane that a live run holds, or the lanes of a run on several GPUs joined by commas, the leader's first.
    Of entries that may start, the one with the highest ``priority`` comes first, and of equals the one further up.
    ``reason`` says why the entry waits, or why the run ended as it did, ``cause`` the latter in one word (see
    :class:`difrob.runs.causes.Cause`). ``stuck_since`` is when the worker should have reported again but did not (seconds
    since the epoch); at ``stuck_deadline`` it will be stopped. ``stop_grade`` is how it has been asked to end, and at
    ``stop_deadline`` the next harder grade follows.
    """

    run_id: str
    spec: dict[str, Any]
    after: list[str] = []
    lane: str = "any"
    priority: int = Field(default=0, ge=-100, le=100)
    state: RunState = RunState.QUEUED
    reason: str = ""
    cause: str = ""
    created: float = 0.0
    started: float | None = None
    pid: int | None = None
    on_lane: str = ""
    stop_grade: str = ""
    stop_deadline: float | None = None
    stuck_since: float | None = None
    stuck_deadline: float | None = None
    resume: bool = False
    held: bool = False

    @property
    def devices(self) -> int:
        """So many GPUs the run needs at once, at least 1; where it runs on the CPU, one lane does whatever this says."""
        compute = self.spec.get("compute")
        devices = compute.get("devices") if isinstance(compute, dict) else None
        return max(1, devices) if isinstance(devices, int) else 1

    @property
    def on_lanes(self) -> list[str]:
        """The lanes that the run holds, the leader's first; none while it is not live."""
        return self.on_lane.split(",") if self.on_lane else []


class LiveProgress(Message):
    """Latest progress of a live run; ``headline`` holds its newest metrics for tables.

    ``report_within`` is the worker's announcement: so many seconds after this message at the latest it will have done
    something again. None where nothing can be promised (paused, or waiting for room on the disk).
    """

    run_id: str
    done: int = 0
    total: int = 0
    unit: str = "steps"
    seconds_left: float | None = None
    headline: dict[str, float] = {}
    waiting: str = ""
    report_within: float | None = None


class Meters(Message):
    """Load of the machine. Shares in [0,1], memory in bytes; ``gpus`` is empty without an NVIDIA driver."""

    time: float
    cpu: float
    memory_used: int
    memory_total: int
    disk_free: int
    gpus: list[GpuMeter] = []


class GpuMeter(Message):
    """Load of one GPU: ``load`` in [0,1], memory in bytes, temperature in Celsius, power in watts."""

    name: str
    load: float
    memory_used: int
    memory_total: int
    temperature: float | None = None
    power: float | None = None


class QueueState(Message):
    """The full state: entries in queue order, lanes, settings.

    ``cpu_lanes`` runs may use the CPU at once (their lanes are ``cpu``, ``cpu-2``, ...). A run that has been stuck for
    ``stuck_minutes`` is stopped; None means never. ``undo`` and ``redo`` say what those calls would take back or do again,
    "" when there is nothing.
    """

    entries: list[Entry] = []
    lanes: list[str] = []
    paused: bool = False
    progress: dict[str, LiveProgress] = {}
    on_failure: str = "skip_dependants"
    cpu_lanes: int = 1
    stuck_minutes: float | None = 30.0
    undo: str = ""
    redo: str = ""
    meters: Meters | None = None
    pid: int = 0


class Request(Message):
    """What a client sends."""

    id: int = Field(ge=0)
    call: str = Field(max_length=64)
    args: dict[str, Any] = {}


Meters.model_rebuild()


@dataclass(frozen=True)
class Written:
    """A part of a message that is JSON already, because it has been written before."""

    text: str


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line of bytes."""
    parts = (f"{json.dumps(name)}:{_text(value)}" for name, value in message.items())
    return f"{{{','.join(parts)}}}\n".encode()


def _text(value: Any) -> str:
    if isinstance(value, Written):
        return value.text
    if isinstance(value, list) and value and all(isinstance(each, Entry) for each in value):
        return f"[{','.join(each.model_dump_json() for each in value)}]"
    return json.dumps(value, separators=(",", ":"), default=_plain)


def decode(line: bytes) -> dict[str, Any]:
    """One line back into a message.

    Raises:
        UserError: when the line is too long, not JSON, or not an object.
    """
    if len(line) > MAX_LINE:
        raise UserError(f"a message of {len(line)} bytes is longer than the {MAX_LINE} allowed")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"a message is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise UserError("a message must be a JSON object")
    return message


def parse_request(line: bytes) -> Request:
    """A client's line into a request. Raises UserError when it is malformed."""
    try:
        return Request.model_validate(decode(line))
    except ValidationError as error:
        raise UserError(f"malformed request: {error.errors()[0]['msg']}") from None


@cache
def own_version() -> str:
    """The version of this difrob, with a digest of the fields that specifications have in it: they change more often."""
    fields = sorted(f"{kind} {path}" for kind, spec in KINDS.items() for path, _ in walk_fields(spec))
    return f"{__version__}+{hashlib.sha256(','.join(fields).encode()).hexdigest()[:8]}"


def refusal(number: int, error: str) -> dict[str, Any]:
    """The supervisor's answer to a request that it refuses."""
    return {"id": number, "ok": False, "error": error, "version": own_version()}


def refusal_text(answer: dict[str, Any], pid: int | None = None) -> str:
    """What a refusal says to a person; where the supervisor is of another version than this client, also that.

    Args:
        answer: a :func:`refusal`; one without a version is from before they carried any.
        pid: the supervisor's process id, where it is known.
    """
    error = str(answer.get("error") or "no reason was given")
    theirs = answer.get("version")
    if theirs == own_version():
        return error
    process = f" (process {pid}; live runs go on)" if pid else ""
    return (
        f"{error}; the supervisor that serves this workspace is of another version of difrob "
        f"({theirs or 'an older one'}, this is {own_version()}), which may be the cause: end it{process} and try again"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot travel in a message")
