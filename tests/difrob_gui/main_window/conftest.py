"""The main window on a workspace without files, linked to a supervisor without runs of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from pytestqt.qtbot import QtBot
from support.fake_supervisor import FakeSupervisor, make_entry
from support.fake_workspace import FakeWorkspace, make_summary

from difrob.runs import RunState
from difrob.worker.messages import QueueState
from difrob_gui.app import compose_window
from difrob_gui.main_window import MainWindow
from difrob_gui.settings import WindowSettings


@pytest.fixture
def fake(tmp_path: Path) -> FakeWorkspace:
    fake = FakeWorkspace(tmp_path)
    fake.add(
        make_summary("done", name="beta 5", created=300.0, result=0.5),
        make_summary("other", name="beta 2", created=200.0, result=0.4),
        make_summary("fallen", RunState.INTERRUPTED, created=100.0, reason="out of memory", has_checkpoint=True),
    )
    return fake


@pytest.fixture
def server(qapp: object, tmp_path: Path) -> Iterator[FakeSupervisor]:
    server = FakeSupervisor(tmp_path / "supervisor.sock")
    server.state = QueueState(
        entries=[
            make_entry("live", RunState.RUNNING, name="running one", created=400.0),
            make_entry("waits", created=500),
        ],
        lanes=["cpu"],
    )
    server.answers["submit"] = lambda args: {"run_ids": ["fresh"]}
    yield server
    server.close()


@pytest.fixture
def make_window(qtbot: QtBot, fake: FakeWorkspace, tmp_path: Path) -> Iterator[Callable[..., MainWindow]]:
    windows: list[MainWindow] = []

    def make(**options: Any) -> MainWindow:
        options.setdefault("theme", "light")
        window = compose_window(fake, WindowSettings(tmp_path / "window.ini"), autostart=False, **options)
        windows.append(window)
        window.show()
        window.start()
        return window

    yield make
    for window in windows:
        window.close()
        assert window.feeds._thread.isFinished()
        active = {type(timer.parent()).__name__ for timer in window.findChildren(QTimer) if timer.isActive()}
        assert active <= {"MonitorPage"}, f"timers left running in: {active}"  # its clock ends with the page
        window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def window(qtbot: QtBot, server: FakeSupervisor, make_window: Callable[..., MainWindow]) -> MainWindow:
    window = make_window()
    qtbot.waitUntil(lambda: window.runs.model.total == 5 and window.client.is_connected)
    return window
