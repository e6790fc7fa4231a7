"""The link to the supervisor: mirror, calls, loss and mending."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry

from difrob.runs import RunState
from difrob.worker.messages import MAX_LINE, LiveProgress, Meters, encode
from difrob_gui.client import Link, SupervisorClient


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "s.sock")


@pytest.fixture
def server(qapp: object, socket_path: str) -> Iterator[FakeSupervisor]:
    server = FakeSupervisor(socket_path)
    yield server
    server.close()


@pytest.fixture
def make_client(qtbot: QtBot, socket_path: str, tmp_path: Path) -> Iterator[Callable[..., SupervisorClient]]:
    clients = []

    def make(**options: Any) -> SupervisorClient:
        options.setdefault("autostart", False)
        client = SupervisorClient(socket_path, tmp_path, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(server: FakeSupervisor, make_client: Callable[..., SupervisorClient], qtbot: QtBot) -> SupervisorClient:
    client = make_client()
    with qtbot.waitSignal(client.connected):
        client.open()
    return client


def test_full_state_comes_at_connect(
    qtbot: QtBot, server: FakeSupervisor, make_client: Callable[..., SupervisorClient]
) -> None:
    server.set_entries(make_entry("a", RunState.RUNNING), make_entry("b"), lanes=["cpu", "cuda:0"], on_failure="stop")
    client = make_client()
    assert client.link is Link.CLOSED
    with qtbot.waitSignals([client.connected, client.state_changed]):
        client.open()
    assert client.is_connected
    assert client.link is Link.CONNECTED
    assert [entry.run_id for entry in client.state.entries] == ["a", "b"]
    assert client.state.lanes == ["cpu", "cuda:0"]
    assert client.state.on_failure == "stop"
    assert client.state == server.state


def test_small_changes_keep_the_mirror_equal_to_the_state(
    qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient
) -> None:
    server.set_entries(make_entry("a"), make_entry("b"), make_entry("c"))
    with qtbot.waitSignal(client.entry_changed) as told:
        server.event("entry", entry=make_entry("b", RunState.STARTING), position=1)
    assert told.args == ["b"]
    assert [(entry.run_id, entry.state) for entry in client.state.entries] == [
        ("a", RunState.QUEUED), ("b", RunState.STARTING), ("c", RunState.QUEUED),
    ]  # fmt: skip
    with qtbot.waitSignal(client.entry_changed):
        server.event("entry", entry=make_entry("new"), position=0)
    assert list(client.mirror.entries) == ["new", "a", "b", "c"]
    with qtbot.waitSignal(client.state_changed):
        server.event("order", run_ids=["c", "b", "a", "new"])
    assert list(client.mirror.entries) == ["c", "b", "a", "new"]
    with qtbot.waitSignal(client.entry_removed) as told:
        server.event("removed", run_id="c")
    assert told.args == ["c"]
    assert list(client.mirror.entries) == ["b", "a", "new"]
    with qtbot.waitSignal(client.progress_changed) as told:
        server.event("progress", progress=LiveProgress(run_id="b", done=3, total=10, headline={"loss": 0.5}))
    assert told.args == ["b"]
    assert client.state.progress["b"].done == 3
    with qtbot.waitSignal(client.meters_changed):
        server.event("meters", meters=Meters(time=1, cpu=0.5, memory_used=1, memory_total=2, disk_free=3))
    assert client.state.meters is not None and client.state.meters.cpu == 0.5
    with qtbot.waitSignal(client.state_changed):
        server.event("settings", settings={"paused": True})
    assert client.state.paused
    with qtbot.waitSignal(client.state_changed):
        changed = {"on_failure": "go_on", "cpu_lanes": 2, "lanes": ["cpu", "cpu-2"], "stuck_minutes": None, "undo": "x"}
        server.event("settings", settings=changed)
    assert client.state == client.state.model_copy(update=changed) and client.state.paused
    with qtbot.waitSignal(client.entry_changed):
        server.event("entry", entry=make_entry("b", RunState.FINISHED), position=0)
    assert "b" not in client.state.progress, "an ended run has no live progress"
    server.event("progress", progress=LiveProgress(run_id="new"))
    with qtbot.waitSignal(client.state_changed):
        changed_entries = [make_entry("a", held=True), make_entry("x"), make_entry("y")]
        server.event("changes", removed=["new"], entries=changed_entries, order=None)
    assert list(client.mirror.entries) == ["b", "a", "x", "y"] and client.mirror.entries["a"].held
    assert not client.mirror.progress
    with qtbot.waitSignal(client.state_changed):
        server.event("changes", removed=["b", "y"], entries=[make_entry("z")], order=["z", "x", "a"])
    assert list(client.mirror.entries) == ["z", "x", "a"]
    with qtbot.waitSignal(client.state_changed):
        server.event("reasons", reasons={"x": "held", "gone": "held"})
    assert client.mirror.entries["x"].reason == "held" and client.mirror.entries["z"].reason == ""


def test_answers_reach_their_callers(qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient) -> None:
    def refuse(_args: dict[str, Any]) -> None:
        raise ValueError("run 'x' is unknown")

    server.answers["submit"] = lambda args: {"run_ids": [entry["run_id"] for entry in args["entries"]]}
    server.answers["remove"] = refuse
    heard: list[tuple[Any, str | None]] = []
    client.call("submit", lambda result, error: heard.append((result, error)), entries=[{"run_id": "n"}])
    client.call("remove", lambda result, error: heard.append((result, error)), run_ids=["x"])
    qtbot.waitUntil(lambda: len(heard) == 2)
    assert heard == [({"run_ids": ["n"]}, None), (None, "run 'x' is unknown")]
    with qtbot.waitSignal(client.call_failed) as told:
        client.call("remove", run_ids=["x"])
    assert told.args == ["remove", "run 'x' is unknown"]
    server.version = "0.0.9"
    with qtbot.waitSignal(client.call_failed) as told:
        client.call("remove", run_ids=["x"])
    assert told.args[1].startswith(
        "run 'x' is unknown; the supervisor that serves this workspace is of another version"
    )
    assert "(0.0.9, this is " in told.args[1] and "end it (process 1; live runs go on)" in told.args[1]


def test_calls_made_before_the_link_stands_are_sent_when_it_does(
    qtbot: QtBot, socket_path: str, make_client: Callable[..., SupervisorClient]
) -> None:
    client = make_client()
    client.FIRST_PAUSE_MS = 20
    heard: list[Any] = []
    client.call("pause_queue", lambda result, error: heard.append((result, error)), paused=True)
    server = FakeSupervisor(socket_path)
    try:
        server.answers["pause_queue"] = lambda _args: "done"
        qtbot.waitUntil(lambda: heard == [("done", None)])
        assert server.calls == [("pause_queue", {"paused": True})]
    finally:
        server.close()


def test_death_and_return_of_the_supervisor(qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient) -> None:
    server.set_entries(make_entry("old"))
    qtbot.waitUntil(lambda: "old" in client.mirror.entries)
    server.silent = True
    heard: list[str | None] = []
    client.call("hold", lambda _result, error: heard.append(error), run_id="old", held=True)
    with qtbot.waitSignal(client.disconnected) as told:
        server.die()
    assert told.args == ["the supervisor went away"]
    assert not client.is_connected
    assert heard and heard[0] is not None and "look at the queue first" in heard[0]
    assert list(client.mirror.entries) == ["old"], "what was last known stays on show"
    server.silent = False
    server.state = server.state.model_copy(update={"entries": [make_entry("new")]})
    with qtbot.waitSignal(client.connected, timeout=5000):
        server.listen()
    assert list(client.mirror.entries) == ["new"]
    assert client.reason == ""


@pytest.mark.parametrize(
    "line",
    [
        b"not json at all\n",
        b"[1, 2]\n",
        b'{"neither": "answer nor event"}\n',
        b'{"event": "entry", "entry": {"run_id": 7}}\n',
        b'{"event": "entry"}\n',
        b'{"event": "progress", "progress": {"run_id": "a", "done": "many"}}\n',
        b'{"event": "order", "run_ids": 5}\n',
        b'{"event": "removed"}\n',
        b'{"event": "state", "state": {"entries": "none"}}\n',
        b'{"event": "meters", "meters": null}\n',
        b'{"event": "settings", "settings": {"cpu_lanes": "many"}}\n',
        b'{"event": "settings"}\n',
        b"\xff\xfe\x00broken\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_nonsense_costs_a_fresh_copy_and_nothing_else(
    qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient, line: bytes
) -> None:
    with qtbot.waitSignals([client.disconnected, client.connected], timeout=5000, order="strict"):
        server.raw(line)
    assert client.is_connected
    assert client.state.lanes == ["cpu"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "from the future", "x": 1}\n',
        b'{"event": "settings", "settings": {"mood": "new", "entries": "not here"}}\n',
        b"\n",
        b'{"id": 999, "ok": true}\n',
    ],
)
def test_what_is_merely_unknown_is_ignored(
    qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient, line: bytes
) -> None:
    server.raw(line)
    server.event("settings", settings={"paused": True})
    qtbot.waitUntil(lambda: client.state.paused)
    assert client.is_connected


def test_lines_may_come_in_pieces(qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient) -> None:
    line = encode({"event": "entry", "entry": make_entry("käfer"), "position": 0})
    both = line + encode({"event": "settings", "settings": {"paused": True}})
    for piece in (both[:7], both[7 : len(line) + 3], both[len(line) + 3 :]):
        server.raw(piece)
        qtbot.wait(1)
    qtbot.waitUntil(lambda: client.state.paused)
    assert list(client.mirror.entries) == ["käfer"]


def test_an_endless_line_is_refused(qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient) -> None:
    with qtbot.waitSignal(client.disconnected, timeout=10_000) as told:
        server.raw(b"x" * (MAX_LINE + 10))
    assert "longer than" in told.args[0]
    qtbot.waitUntil(lambda: client.is_connected, timeout=5000)


def test_no_answer_in_time_is_told(
    qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CALL_SECONDS", 0.05)
    server.silent = True
    heard: list[str | None] = []
    client.call("hold", lambda _result, error: heard.append(error), run_id="a", held=True)
    qtbot.waitUntil(lambda: heard == ["the supervisor did not answer 'hold' in time"])
    assert client.is_connected


def test_without_a_supervisor_the_reason_is_told_and_waiting_calls_fail(
    qtbot: QtBot, make_client: Callable[..., SupervisorClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    monkeypatch.setattr(client, "CALL_SECONDS", 0.05)
    heard: list[str | None] = []
    with qtbot.waitSignal(client.disconnected) as told:
        client.call("hold", lambda _result, error: heard.append(error), run_id="a", held=True)
    assert told.args == ["no supervisor is running"]
    assert client.link is Link.FAILED
    qtbot.waitUntil(lambda: heard == ["no supervisor is running"])


SERVE = """
import asyncio, json, sys
async def answer(reader, writer):
    while line := await reader.readline():
        request = json.loads(line)
        if request["call"] == "watch":
            writer.write(json.dumps({"event": "state", "state": {"pid": 77}}).encode() + b"\\n")
        writer.write(json.dumps({"id": request["id"], "ok": True, "result": None}).encode() + b"\\n")
        if request["call"] == "shutdown":
            await writer.drain(); sys.exit(0)
async def serve():
    await asyncio.sleep(0.2)
    async with await asyncio.start_unix_server(answer, sys.argv[1]) as server:
        await server.serve_forever()
asyncio.run(serve())
"""


def test_a_supervisor_is_started_on_demand_without_blocking(
    qtbot: QtBot, socket_path: str, make_client: Callable[..., SupervisorClient]
) -> None:
    client = make_client(autostart=True, start_command=[sys.executable, "-c", SERVE, socket_path])
    links: list[Link] = []
    client.link_changed.connect(links.append)
    began = time.monotonic()
    client.open()
    assert time.monotonic() - began < 0.5
    qtbot.waitUntil(lambda: client.is_connected, timeout=15_000)
    assert links == [Link.CONNECTING, Link.STARTING, Link.CONNECTED]
    assert client.state.pid == 77
    client.call("shutdown", lambda *_: None)
    with qtbot.waitSignal(client.disconnected, timeout=5000):
        pass
    qtbot.waitUntil(lambda: client.is_connected, timeout=15_000)
    client.call("shutdown", lambda *_: client.close())
    qtbot.waitUntil(lambda: client.link is Link.CLOSED, timeout=5000)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('difrob: the disk is full')"], "the disk is full"),
        (["/nowhere/python"], "could not be started: No such file"),
    ],
)
def test_a_supervisor_that_cannot_start_says_why(
    qtbot: QtBot, make_client: Callable[..., SupervisorClient], command: list[str], reason: str
) -> None:
    client = make_client(autostart=True, start_command=command)
    with qtbot.waitSignal(client.disconnected, timeout=15_000) as told:
        client.open()
    assert reason in told.args[0]
    assert client.link is Link.FAILED


def test_close_leaves_nothing_running(qtbot: QtBot, server: FakeSupervisor, client: SupervisorClient) -> None:
    server.silent = True
    heard: list[str | None] = []
    client.call("hold", lambda _result, error: heard.append(error), run_id="a", held=True)
    client.close()
    assert heard == ["the window was closed"]
    assert client.link is Link.CLOSED
    assert not client._clock.isActive() and not client._retry.isActive()
