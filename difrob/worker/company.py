"""The starter of the processes that share one run on this machine: the worker itself leads, those it starts follow it.

They meet in a private folder (:class:`difrob.ranks.meeting.FileMeeting`). Followers live and die with the leader: it holds
one end of a pipe to each, and a follower whose pipe closes leaves at once. When a follower dies, the run ends with what that
one had to say.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from difrob.errors import UserError
from difrob.ranks.leading_recorder import LeadingRecorder
from difrob.ranks.meeting import JOIN_SECONDS, FileMeeting, leave
from difrob.ranks.orders import LEADER_GONE, PEER_GONE
from difrob.runs import RunState, Workspace
from difrob.runs.causes import Cause
from difrob.runs.interface import Recorder
from difrob.runs.recorder import RunRecorder
from difrob.specs import JobSpec
from difrob.worker.cores import crowded, usable_cores
from difrob.worker.deaths import OWN_WORDS, signal_name

if TYPE_CHECKING:
    import torch

GRACE_SECONDS = 20.0  # in which a leader whose follower has died must have noticed by itself
WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class Fault:
    """Why a follower ended that should not have."""

    cause: Cause
    reason: str
    details: str = ""


def own_devices(device: str, count: int) -> list[str]:
    """The devices of all ranks, from what a worker was given.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``mps``, or one or more CUDA devices, ``cuda:0,cuda:1``.
        count: how many devices the specification asks for.

    Raises:
        UserError: when there are not so many.
    """
    given = [part.strip() for part in device.split(",") if part.strip()] or ["auto"]
    if count == 1:
        return given[:1]
    import torch

    if given[0] == "auto":
        given = ["cuda" if torch.cuda.is_available() else "cpu"]
    if given == ["cuda"]:
        given = [f"cuda:{index}" for index in range(min(count, torch.cuda.device_count()))]
    if given == ["cpu"]:
        given *= count
    chosen = given[:count]
    are_gpus = all(name.startswith("cuda:") for name in chosen) and len(set(chosen)) == len(chosen)
    if len(chosen) < count or not (are_gpus or set(chosen) == {"cpu"}):
        raise UserError(
            f"compute.devices = {count} asks for so many different CUDA devices, and this run was given {', '.join(given)} "
            f"(CUDA devices here: {torch.cuda.device_count()}); lower compute.devices, or name them: "
            f"--device {','.join(f'cuda:{index}' for index in range(count))}"
        )
    return chosen


class Company:
    """The followers of a run, from their start to their end; none, where one device does it all.

    Args:
        workspace, run_id, spec: the run.
        devices: of all ranks, the leader's first.
        threads: CPU threads of each.
    """

    def __init__(
        self, workspace: Workspace, run_id: str, spec: JobSpec, devices: list[str], threads: int | None
    ) -> None:
        self._order = {"spec": spec.model_dump(mode="json"), "threads": threads}
        self._names = devices
        self._command = [
            # -P: the folder that somebody happens to be in is no place to import from.
            sys.executable, "-P", "-m", "difrob.worker.follower", "--workspace", str(workspace.root), "--run-id", run_id,
            "--world", str(len(devices)),
        ]  # fmt: skip
        self._meeting: FileMeeting | None = None
        self._followers: list[subprocess.Popen[bytes]] = []
        self._settled = threading.Event()
        self._joined = self._broken = False

    def gather(self, recorder: RunRecorder, device: torch.device) -> Recorder:
        """Start the followers and wait until all have come; the recorder through which the job must ask.

        Raises:
            UserError: when a follower ends instead of coming, or takes longer than :data:`JOIN_SECONDS`.
        """
        if len(self._names) == 1:
            return recorder
        from difrob.ranks.shares import Ranks

        if device.type == "cpu" and (sentence := crowded(len(self._names), usable_cores())):
            recorder.note(sentence, "warning")
        meeting = FileMeeting(Path(tempfile.mkdtemp(prefix="difrob-ranks-")), 0, len(self._names))
        self._meeting = meeting
        checkpoint = recorder.resumed_from
        order = {**self._order, "resumed_at": None if checkpoint is None else checkpoint.step}
        for rank, name in enumerate(self._names[1:], start=1):
            command = [*self._command, "--device", name, "--rank", str(rank), "--meeting", str(meeting.folder)]
            follower = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
            self._followers.append(follower)
            assert follower.stdin is not None
            follower.stdin.write(json.dumps(order).encode() + b"\n")
            follower.stdin.flush()
        deadline = time.monotonic() + JOIN_SECONDS
        while not all(meeting.arrival(rank).exists() for rank in range(1, meeting.world)):
            recorder.check_stop()
            if (fault := self.fault()) is not None:
                raise UserError(fault.reason)
            if time.monotonic() > deadline:
                raise UserError(
                    f"the processes for {', '.join(self._names[1:])} did not come within {JOIN_SECONDS:.0f} s"
                )
            time.sleep(0.05)
        # From now on this process may wait for one that has died.
        threading.Thread(target=self._watch, args=(recorder,), name="followers", daemon=True).start()
        meeting.join(device)
        self._joined = True
        return LeadingRecorder(recorder, Ranks.here())

    def fault(self, *, wait: float = 0.0) -> Fault | None:
        """What went wrong with the first follower that has ended badly by itself.

        Args:
            wait: seconds to give them; the leader may notice that a connection broke before the other process has ended.
        """
        deadline = time.monotonic() + wait
        while True:
            codes = {rank: follower.poll() for rank, follower in enumerate(self._followers, start=1)}
            bad = {rank: code for rank, code in codes.items() if code not in (None, 0, LEADER_GONE, PEER_GONE)}
            if bad:  # one that says why comes first: the others may have ended because of it
                first = min(bad, key=lambda rank: not self._told_by(rank).exists())
                return self._fault_of(first, bad[first])
            if time.monotonic() > deadline:
                return None
            time.sleep(WATCH_SECONDS / 4)

    def settle(self, *, broken: bool) -> None:
        """The job has ended here. After a fault, or an abort of which the others do not know, they are ended too."""
        self._settled.set()
        self._broken = broken or not self._joined
        if self._broken:
            self._dismiss()

    def part(self) -> None:
        """Give up the connection, last of all, and clear up: a GPU that still waits for one that has gone may never answer,
        and then this process, which has nothing left to do, is ended."""
        if self._meeting is None:
            return
        patience = threading.Timer(2 * GRACE_SECONDS, self._exit)
        patience.daemon = True
        patience.start()
        # Before the folder goes: NCCL looks into the file every second, and waits minutes for one that is missing.
        leave(broken=self._broken)
        self._wait_for_end()
        self._dismiss()
        patience.cancel()
        shutil.rmtree(self._meeting.folder, ignore_errors=True)

    def _dismiss(self) -> None:
        for follower in self._followers:
            if follower.poll() is None:
                follower.kill()
        for follower in self._followers:
            follower.wait()
            if follower.stdin is not None:
                follower.stdin.close()

    def _wait_for_end(self) -> None:
        """Let followers end that have done their part; they came to their end with the leader."""
        deadline = time.monotonic() + GRACE_SECONDS
        while any(follower.poll() is None for follower in self._followers) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _told_by(self, rank: int) -> Path:
        assert self._meeting is not None
        return self._meeting.fault(rank)

    def _name_of(self, rank: int) -> str:
        return f"process {rank + 1} of {len(self._names)} ({self._names[rank]})"

    def _fault_of(self, rank: int, code: int) -> Fault:
        who = self._name_of(rank)
        try:
            told = json.loads(self._told_by(rank).read_text())
            return Fault(Cause(told["cause"]), f"{who}: {told['reason']}", told["details"])
        except (OSError, ValueError, KeyError):
            if code < 0:
                return Fault(Cause.SIGNAL, f"{who} was killed by signal {signal_name(-code)}")
            return Fault(Cause.ERROR, f"{who} ended with exit code {code}")

    def _broken_off(self) -> Fault | None:
        """The first follower that has ended because it lost the others; while the leader is there, none should."""
        for rank, follower in enumerate(self._followers, start=1):
            if follower.poll() == PEER_GONE:
                return Fault(Cause.ERROR, f"{self._name_of(rank)} lost its connection to the others")
        return None

    def _watch(self, recorder: RunRecorder) -> None:
        """A leader that waits on its GPU for a process that has died would wait for ever: record why, and leave."""
        while not self._settled.wait(WATCH_SECONDS):
            fault = self.fault() or self._broken_off()
            if fault is not None and not self._settled.wait(GRACE_SECONDS):
                fault = self.fault() or fault  # one that lost the others may have ended before the one that it lost
                print(f"{OWN_WORDS}{fault.reason}", file=sys.stderr, flush=True)
                with contextlib.suppress(Exception):  # the journal has all but the end
                    recorder.note(fault.reason, "error")
                    if fault.details:
                        recorder.note(fault.details, "error")
                    recorder.finish(RunState.FAILED, fault.reason, fault.cause)
                self._exit()

    def _exit(self) -> None:
        if self._meeting is not None:
            shutil.rmtree(self._meeting.folder, ignore_errors=True)
        os._exit(PEER_GONE)
