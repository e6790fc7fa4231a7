"""Messages that no client of ours would send, and a real supervisor that has to live with them."""

from __future__ import annotations

import json
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from faults.hostile_files import flip_bytes, odd_json, spoil_json
from faults.references import ENDLESS
from faults.report import Report
from support.processes import processes_of

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.messages import MAX_LINE
from difrob.worker.transport import Connection, connect

MESSAGES = "hostile message"
LIMIT_SECONDS = 20.0
LIMIT_BYTES = 1 << 30
OPEN_AT_ONCE = 40
CHECK_EVERY = 25
REQUESTS: list[dict[str, Any]] = [
    {"call": "submit", "args": {"entries": [{"run_id": "held", "spec": ENDLESS, "held": True}]}},
    {"call": "stop", "args": {"run_id": "held", "grade": "stop"}},
    {"call": "resume", "args": {"run_id": "held"}},
    {"call": "move", "args": {"run_ids": ["held"], "before": None}},
    {"call": "remove", "args": {"run_ids": ["held"]}},
    {"call": "hold", "args": {"run_id": "held", "held": True}},
    {"call": "edit", "args": {"run_id": "held", "spec": ENDLESS, "after": [], "lane": "cpu"}},
    {"call": "duplicate", "args": {"run_id": "held"}},
    {"call": "set_policy", "args": {"on_failure": "go_on"}},
    {"call": "state", "args": {}},
    {"call": "watch", "args": {}},
    {"call": "worker_hello", "args": {"run_id": "held", "pid": 1, "state": "running"}},
    {"call": "worker_progress", "args": {"progress": {"run_id": "held", "done": 1}}},
    {"call": "worker_state", "args": {"run_id": "held", "state": "finished"}},
    {"call": "undo", "args": {}},
    {"call": "redo", "args": {}},
]


def hostile_message(chance: random.Random) -> bytes:
    """Bytes for a socket: malformed, huge, unknown, of wrong types, or half a line."""
    request = json.loads(json.dumps({"id": chance.randrange(9), **chance.choice(REQUESTS)}))
    how = chance.randrange(10)
    if how == 0:
        return json.dumps(odd_json(chance)).encode() + b"\n"
    if how == 1:
        return flip_bytes(json.dumps(request).encode(), chance) + b"\n"
    if how == 2:
        return chance.randbytes(chance.randrange(1, 5000)) + b"\n"
    if how == 3 and chance.random() < 0.1:
        size = chance.choice([MAX_LINE - 100, MAX_LINE + 1, 3 * MAX_LINE])
        return json.dumps({**request, "more": "x" * size}).encode() + b"\n"
    if how == 4:
        return chance.choice([b"[" * 100_000, b'{"a":' * 50_000, b"", b"\n" * 1000, b"1" * 10_000, b"null"]) + b"\n"
    if how == 5:
        return json.dumps(request).encode()[: chance.randrange(40)]  # half a line
    if how == 6:
        return b"".join(json.dumps({**request, "id": number}).encode() + b"\n" for number in range(100))
    for _ in range(chance.choice([1, 1, 2, 4])):
        spoil_json(request, chance)
    return json.dumps(request).encode() + b"\n"


def fuzz_supervisor(root: Path, count: int, report: Report, seed: int) -> None:
    """Send so many messages over many connections to a real supervisor, which must stay alive, answer and stay small."""
    workspace = Workspace(root)
    chance = random.Random(f"{seed} messages")
    strangers: list[socket.socket] = []
    survived = sent = 0
    with connect(workspace) as connection:
        connection.call("pause_queue", paused=True)
        supervisor = psutil.Process(connection.call("state")["pid"])
        try:
            for sent in range(1, count + 1):
                send_somewhere(workspace, strangers, hostile_message(chance), chance)
                if sent % CHECK_EVERY == 0 or sent == count:
                    check_alive(workspace, supervisor)
                    survived = sent
                if sent % 500 == 0:
                    report.say(f"{MESSAGES}: {sent} of {count} sent")
            peak = peak_bytes(supervisor.pid)
            report.notes.append(f"{MESSAGES}: the supervisor took {peak / 1e6:,.0f} MB at most")
            if peak > LIMIT_BYTES:
                report.complain(f"the supervisor took {peak / 1e6:,.0f} MB; {LIMIT_BYTES / 1e6:,.0f} MB are the bound")
        except (AssertionError, UserError, OSError, psutil.Error) as error:
            report.complain(f"{MESSAGES} up to {sent} of seed {seed}: {error!r}")
        finally:
            for stranger in strangers:
                stranger.close()
            for process in processes_of(workspace.root):
                with suppress(psutil.Error):
                    process.kill()
    report.tally(MESSAGES).add(injected=sent, readable=survived)


def send_somewhere(workspace: Workspace, strangers: list[socket.socket], data: bytes, chance: random.Random) -> None:
    """Send bytes over a new connection or an open one; now and then close one, or read what it was answered."""
    if not strangers or chance.random() < 0.3:
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stranger.settimeout(LIMIT_SECONDS)
        stranger.connect(workspace.socket_path)
        strangers.append(stranger)
    at = chance.randrange(len(strangers))
    with suppress(BrokenPipeError, ConnectionResetError):  # hung up on: an answer, too
        strangers[at].sendall(data)
    if chance.random() < 0.3:
        strangers[at].settimeout(0.001)
        with suppress(OSError):
            strangers[at].recv(1 << 16)
        strangers[at].settimeout(LIMIT_SECONDS)
    if len(strangers) > OPEN_AT_ONCE or chance.random() < 0.1:
        strangers.pop(at).close()


def check_alive(workspace: Workspace, supervisor: psutil.Process) -> None:
    """The same supervisor answers a newcomer, within the limit. Raises AssertionError otherwise."""
    with Connection(workspace) as newcomer:
        newcomer.send("state")
        answer = newcomer.receive(LIMIT_SECONDS)
    assert answer is not None and answer.get("ok"), f"the supervisor answers {answer}"
    assert answer["result"]["pid"] == supervisor.pid, "another supervisor answers"


def peak_bytes(pid: int) -> int:
    """The most resident memory that a process ever took."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
