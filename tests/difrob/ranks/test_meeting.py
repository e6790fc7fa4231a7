"""How processes meet: two of them really do, over a file and over the network, and exchange the same bits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from difrob.errors import UserError
from difrob.ranks import meeting as module
from difrob.ranks.meeting import VARIABLES, EnvironmentMeeting, FileMeeting, Meeting

SCRIPT = Path(__file__).parents[2] / "support" / "one_of_two_ranks.py"
WHOLE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def sums_of_two(folder: Path, *, over_the_network: bool) -> bytes:
    """What two processes have added up, after each has made sure that all it sees is right."""
    folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    port = str(free_port())
    runs = []
    for rank in map(str, range(2)):
        variables = {**WHOLE, "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank} if over_the_network else {}
        command = [sys.executable, str(SCRIPT), str(folder), *([] if over_the_network else [rank])]
        runs.append(subprocess.Popen(command, env={**clean, **variables}, stderr=subprocess.PIPE, text=True))
    for run in runs:
        _, errors = run.communicate(timeout=110)
        assert run.returncode == 0, errors
    first, second = ((folder / f"sums.{rank}").read_bytes() for rank in range(2))
    assert first == second
    return first


def test_processes_exchange_the_same_bits_however_they_met(tmp_path: Path) -> None:
    """Sums, means, orders, a stop and the smallest piece, over two real processes; see the script they run."""
    over_a_file = sums_of_two(tmp_path / "file", over_the_network=False)
    over_the_network = sums_of_two(tmp_path / "network", over_the_network=True)
    assert len(over_a_file) > 2_000_000
    assert over_a_file == over_the_network


def set_variables(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name, value in {**WHOLE, "LOCAL_WORLD_SIZE": None, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_the_environment_says_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch)
    assert EnvironmentMeeting.here() == EnvironmentMeeting(
        rank=1, world=2, local_rank=1, address="127.0.0.1", port=29500, one_machine=True
    )


@pytest.mark.parametrize("missing", VARIABLES)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, value: str | None) -> None:
    set_variables(monkeypatch, **{missing: value})
    with pytest.raises(UserError, match=f"^{missing} is not set in the environment, .*start all of them by torchrun"):
        EnvironmentMeeting.here()


def test_all_missing_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, MASTER_PORT=None, RANK=None, LOCAL_RANK=None)
    with pytest.raises(UserError, match="^MASTER_PORT, RANK, LOCAL_RANK are not set in the environment"):
        EnvironmentMeeting.here()


@pytest.mark.parametrize(
    ("name", "value", "span"),
    [
        ("RANK", "2", "from 0 to 1"),
        ("RANK", "-1", "from 0 to 1"),
        ("LOCAL_RANK", "first", "from 0 to 1"),
        ("WORLD_SIZE", "0", "of at least 1"),
        ("MASTER_PORT", "65536", "from 1 to 65535"),
        ("MASTER_PORT", "1e3", "from 1 to 65535"),
    ],
)
def test_a_variable_that_cannot_be_right_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, span: str
) -> None:
    set_variables(monkeypatch, **{name: value})
    with pytest.raises(UserError, match=f"^{name} = '{value}' in the environment is not a whole number {span}$"):
        EnvironmentMeeting.here()


@pytest.mark.parametrize(
    ("address", "local_world", "one_machine"),
    [
        ("localhost", None, True),
        ("::1", None, True),
        ("10.0.0.1", None, False),
        ("node-1.cluster", "1", False),
        ("node-1.cluster", "2", True),
    ],
)
def test_processes_of_one_machine_are_known_by_their_address_or_their_number(
    monkeypatch: pytest.MonkeyPatch, address: str, local_world: str | None, one_machine: bool
) -> None:
    set_variables(monkeypatch, MASTER_ADDR=address, LOCAL_WORLD_SIZE=local_world)
    assert EnvironmentMeeting.here().one_machine is one_machine


def test_the_local_rank_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, WORLD_SIZE="8", RANK="5", LOCAL_RANK="1")
    meeting = EnvironmentMeeting.here()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert meeting.device() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert meeting.device() == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"LOCAL_RANK = 1 .*'cuda:1'.*CUDA devices: 1\); start one process for each"):
        meeting.device()


def test_a_process_whom_nobody_meets_says_where_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    set_variables(monkeypatch, MASTER_PORT=str(port))
    monkeypatch.setattr(module, "JOIN_SECONDS", 1.0)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # joining leaves what it finds
    with pytest.raises(UserError, match=rf"MASTER_ADDR = 127.0.0.1, MASTER_PORT = {port} within 1 s"):
        EnvironmentMeeting.here().join(torch.device("cpu"))
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("way", ["file", "network"])
def test_gpus_are_not_joined_without_nccl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    set_variables(monkeypatch)
    meeting: Meeting = FileMeeting(tmp_path, 0, 2) if way == "file" else EnvironmentMeeting.here()
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    with pytest.raises(UserError, match=r"NCCL.*set compute.devices = 1"):
        meeting.join(torch.device("cuda:0"))
