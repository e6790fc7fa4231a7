"""How the processes of one run meet, whoever has started them; then they exchange tensors by ``torch.distributed``.

NCCL carries them between GPUs, Gloo on the CPU. There are two ways:

* over a file in a private folder (:class:`FileMeeting`), where one process has started the others on its own machine;
* over the network (:class:`EnvironmentMeeting`), at an address that a starter such as ``torchrun`` has put into the
  environment of each, on one machine or many.

Whichever it was, what they add up has the same bits.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from difrob.errors import UserError

if TYPE_CHECKING:
    import torch

JOIN_SECONDS = 300.0  # in which a process must have imported torch, found its device and come
PATIENCE = timedelta(days=365)  # a paused run keeps the others waiting for as long as it likes
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK")


class Meeting(Protocol):
    """Where a process finds the others of its run.

    Attributes:
        rank: its number, from 0; number 0 leads.
        world: how many there are.
    """

    @property
    def rank(self) -> int: ...

    @property
    def world(self) -> int: ...

    def join(self, device: torch.device) -> None:
        """Make this process one of ``world`` that exchange tensors; returns when all are there.

        Raises:
            UserError: for GPUs of which this PyTorch knows no way to join them; over the network also when the others
                have not come within :data:`JOIN_SECONDS`.
        """
        ...


@dataclass(frozen=True)
class FileMeeting:
    """A meeting of processes of one machine in a private folder, which belongs to the one that leads."""

    folder: Path
    rank: int
    world: int

    def arrival(self, rank: int) -> Path:
        """The file that a process makes when it has found its device and is about to join."""
        return self.folder / f"{rank}.here"

    def fault(self, rank: int) -> Path:
        """The file in which a process says, before it fails, why: JSON with ``cause``, ``reason`` and ``details``."""
        return self.folder / f"{rank}.fault"

    def join(self, device: torch.device) -> None:
        """As :meth:`Meeting.join` says; waits for as long as the others take."""
        import torch

        _prepare(device, one_machine=True)
        store = torch.distributed.FileStore(str(self.folder / "store"), self.world)
        _join(device, store, self.rank, self.world)


@dataclass(frozen=True)
class EnvironmentMeeting:
    """A meeting at a network address, of processes on one or many machines, as ``torchrun`` prepares it.

    The first process, or ``torchrun`` itself, listens at that address on all networks of its machine, as PyTorch has it:
    fit for a machine or a cluster whose networks are trusted.

    Attributes:
        rank, world: this process among all.
        local_rank: its number among those of its machine, from 0.
        address, port: where they meet.
        one_machine: whether all of them are on this machine.
    """

    rank: int
    world: int
    local_rank: int
    address: str
    port: int
    one_machine: bool

    @classmethod
    def here(cls) -> EnvironmentMeeting:
        """The meeting that the variables of this process's environment name.

        Raises:
            UserError: when one of :data:`VARIABLES` is missing or cannot be right; the message names it.
        """
        missing = [name for name in VARIABLES if not os.environ.get(name)]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise UserError(
                f"{', '.join(missing)} {verb} not set in the environment, so this process cannot find the others of its "
                f"run; start all of them by torchrun, or set {', '.join(VARIABLES)} for each as torchrun does"
            )
        world = _number("WORLD_SIZE", 1)
        address = os.environ["MASTER_ADDR"]
        return cls(
            rank=_number("RANK", 0, world - 1),
            world=world,
            local_rank=_number("LOCAL_RANK", 0, world - 1),
            address=address,
            port=_number("MASTER_PORT", 1, 65535),
            one_machine=_loops_back(address) or os.environ.get("LOCAL_WORLD_SIZE") == str(world),
        )

    def device(self) -> str:
        """The device of this process: the CUDA device whose number is ``local_rank``; the CPU where there are none.

        Raises:
            UserError: when the machine has fewer CUDA devices than processes.
        """
        import torch

        if not torch.cuda.is_available():
            return "cpu"
        if self.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"LOCAL_RANK = {self.local_rank} asks for device 'cuda:{self.local_rank}', which is not here (CUDA devices: "
                f"{torch.cuda.device_count()}); start one process for each device of a machine"
            )
        return f"cuda:{self.local_rank}"

    def join(self, device: torch.device) -> None:
        """As :meth:`Meeting.join` says."""
        import torch

        _prepare(device, one_machine=self.one_machine)
        try:
            store, _, _ = next(
                torch.distributed.rendezvous("env://", self.rank, self.world, timeout=timedelta(seconds=JOIN_SECONDS))
            )
        except torch.distributed.DistError as error:
            raise UserError(
                f"the {self.world} processes of this run did not meet at MASTER_ADDR = {self.address}, MASTER_PORT = "
                f"{self.port} within {JOIN_SECONDS:.0f} s ({str(error).splitlines()[0]}); all of them must be started, and "
                "that address must be the one of the machine of rank 0"
            ) from None
        store.set_timeout(PATIENCE)  # GPUs look each other up at their first sum, which a paused run may put off
        _join(device, store, self.rank, self.world)


def leave(*, broken: bool = False) -> None:
    """Undo :meth:`Meeting.join`. GPUs leave together, so all must come here, unless the connection is broken."""
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


def _prepare(device: torch.device, *, one_machine: bool) -> None:
    """See that the device can be joined to others, and that they meet inside the machine where all of them are on one."""
    import torch

    if device.type == "cuda":
        if not torch.distributed.is_nccl_available():
            raise UserError(
                "this PyTorch cannot join several GPUs, for it has no NCCL (Windows has none); set compute.devices = 1"
            )
        torch.cuda.set_device(device)
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    if one_machine and loopback in [name for _, name in socket.if_nameindex()]:
        # Without a word Gloo listens where the machine's name leads, for others to knock at.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)


def _join(device: torch.device, store: torch.distributed.Store, rank: int, world: int) -> None:
    import torch

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)


def _number(name: str, lowest: int, highest: int | None = None) -> int:
    text = os.environ[name]
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if number < lowest or (highest is not None and number > highest):
        span = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise UserError(f"{name} = '{text}' in the environment is not a whole number {span}")
    return number


def _loops_back(address: str) -> bool:
    """Whether an address leads nowhere but to the machine itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
