"""The Queue page linked to a supervisor with six entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.fake_workspace import FakeWorkspace, make_summary
from support.queue_window import Window

from difrob.runs import RunState
from difrob.worker.messages import LiveProgress, QueueState
from difrob_gui.client import SupervisorClient
from difrob_gui.feeds import FeedHub
from difrob_gui.pages.queue import QueuePage


@pytest.fixture
def server(qapp: object, tmp_path: Path) -> Iterator[FakeSupervisor]:
    server = FakeSupervisor(tmp_path / "supervisor.sock")
    server.state = QueueState(
        entries=[
            make_entry("ended", RunState.FAILED, reason="out of memory"),
            make_entry("live", RunState.RUNNING, on_lane="cpu"),
            make_entry("a"), make_entry("b", after=["live"]), make_entry("c", after=["ended"]), make_entry("d"),
        ],
        lanes=["cpu"],
        progress={"live": LiveProgress(run_id="live", done=30, total=60, seconds_left=120.0)},
    )  # fmt: skip
    yield server
    server.close()


@pytest.fixture
def window(qtbot: QtBot, server: FakeSupervisor, tmp_path: Path) -> Iterator[Window]:
    workspace = FakeWorkspace(tmp_path)
    workspace.add(make_summary("done"))
    hub = FeedHub(workspace)
    client = SupervisorClient(workspace.socket_path, tmp_path, autostart=False)
    window = Window(hub, client)
    qtbot.addWidget(window)
    window.resize(1100, 700)
    window.show()
    with qtbot.waitSignal(client.connected):
        client.open()
    qtbot.waitUntil(lambda: window.page.model.rowCount() == 5)
    yield window
    client.close()
    hub.close()


@pytest.fixture
def page(window: Window) -> QueuePage:
    return window.page


@pytest.fixture
def notices(page: QueuePage) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    page.commands.notice.connect(lambda words, action: told.append((words, action)))
    return told
