"""The processes that share the work of one run: the worker itself, which leads, and those that it starts to follow it.

They meet over a file in a private folder, and exchange gradients by ``torch.distributed`` (NCCL between GPUs, Gloo on the
CPU). Followers live and die with the leader: it holds one end of a pipe to each, and a follower whose pipe closes leaves at
once. When a follower dies, the run ends with what that one had to say.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from difrob.errors import Stopped, UserError
from difrob.runs import RunState, Workspace
from difrob.runs.causes import Cause
from difrob.runs.interface import Recorder
from difrob.runs.recorder import RunRecorder
from difrob.specs import JobSpec
from difrob.worker.cores import crowded, usable_cores
from difrob.worker.deaths import OWN_WORDS, signal_name

if TYPE_CHECKING:
    import torch

JOIN_SECONDS = 300.0  # in which a follower must have imported torch and found its device
GRACE_SECONDS = 20.0  # in which a leader whose follower has died must have noticed by itself
WATCH_SECONDS = 0.2
PATIENCE = timedelta(days=365)  # a paused run keeps the others waiting for as long as it likes
ORDERS = (None, "stop", "abort")
LEADER_GONE = 5  # exit code of a follower that has been left alone
PEER_GONE = 6  # exit code of a process that noticed only that another one had gone


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
        self._meeting: Path | None = None
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
        if device.type == "cpu" and (sentence := crowded(len(self._names), usable_cores())):
            recorder.note(sentence, "warning")
        self._meeting = Path(tempfile.mkdtemp(prefix="difrob-ranks-"))
        checkpoint = recorder.resumed_from
        order = {**self._order, "resumed_at": None if checkpoint is None else checkpoint.step}
        for rank, name in enumerate(self._names[1:], start=1):
            command = [*self._command, "--device", name, "--rank", str(rank), "--meeting", str(self._meeting)]
            follower = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
            self._followers.append(follower)
            assert follower.stdin is not None
            follower.stdin.write(json.dumps(order).encode() + b"\n")
            follower.stdin.flush()
        deadline = time.monotonic() + JOIN_SECONDS
        while not all((self._meeting / f"{rank}.here").exists() for rank in range(1, len(self._names))):
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
        join(self._meeting, 0, len(self._names), device)
        self._joined = True
        return cast(Recorder, LeadingRecorder(recorder))

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
        shutil.rmtree(self._meeting, ignore_errors=True)

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
        return self._meeting / f"{rank}.fault"

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
            shutil.rmtree(self._meeting, ignore_errors=True)
        os._exit(PEER_GONE)


class LeadingRecorder:
    """A recorder whose safe points are those of all ranks: none of them takes a step that another one does not."""

    def __init__(self, recorder: RunRecorder) -> None:
        from difrob.ranks.shares import Ranks

        self._recorder = recorder
        self._ranks = Ranks.here()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)

    def check_stop(self) -> None:
        """As the recorder's, and tell the followers what comes of it."""
        try:
            self._recorder.check_stop()
        except Stopped as stopped:
            self._ranks.told(ORDERS.index(stopped.grade))
            raise
        self._ranks.told(0)


def join(meeting: Path, rank: int, world: int, device: torch.device) -> None:
    """Make this process one of ``world`` that exchange tensors; returns when all are there.

    Raises:
        UserError: for GPUs of which this PyTorch knows no way to join them.
    """
    import torch

    if device.type == "cuda":
        if not torch.distributed.is_nccl_available():
            raise UserError(
                "this PyTorch cannot join several GPUs, for it has no NCCL (Windows has none); set compute.devices = 1"
            )
        torch.cuda.set_device(device)
    if (loopback := {"linux": "lo", "darwin": "lo0"}.get(sys.platform)) in [name for _, name in socket.if_nameindex()]:
        # They are all on this machine; without a word Gloo listens where the machine's name leads, for others to knock at.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store = torch.distributed.FileStore(str(meeting / "store"), world)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)


def leave(*, broken: bool = False) -> None:
    """Undo :func:`join`. GPUs leave together, so all must come here, unless the connection is broken."""
    import torch

    if not torch.distributed.is_initialized():
        return
    if broken and "nccl" in torch.distributed.get_backend_config():
        with contextlib.suppress(RuntimeError):  # whatever cannot be aborted ends with this process
            torch.distributed.distributed_c10d._abort_process_group()
    else:
        torch.distributed.destroy_process_group()


def broke_off(error: BaseException) -> bool:
    """Whether an error says no more than that another process has gone."""
    import torch

    text = str(error)
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "NCCL", "Connection closed by peer"))
    )
