"""The window with a real supervisor and a real worker: submit, watch, stop, and what survives the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from pytestqt.qtbot import QtBot

from difrob.runs import RunState, Workspace
from difrob_gui.app import compose_window
from difrob_gui.client import Link
from difrob_gui.main_window import MainWindow
from difrob_gui.settings import WindowSettings

pytestmark = pytest.mark.slow
PATIENCE = 90_000


@pytest.fixture
def open_window(qtbot: QtBot, workspace: Workspace, tmp_path: Path) -> Iterator[Callable[[], MainWindow]]:
    windows: list[MainWindow] = []

    def make() -> MainWindow:
        window = compose_window(workspace, WindowSettings(tmp_path / "window.ini"), theme="light")
        windows.append(window)
        window.show()
        window.start()
        return window

    yield make
    for window in windows:
        window.close()
        window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def submit(qtbot: QtBot, window: MainWindow, steps: int, seeds: int = 1) -> list[str]:
    window.show_page("launch")
    window.launch.choose_kind("train_denoiser")
    window.launch.header.name.setText("tiny")
    window.launch.header.count.setValue(seeds)
    for path, value in {"steps": steps, "network.width": 16, "network.blocks": 1, "batch_size": 8, "log_every": 1,
                        "sample_every": 0, "checkpoint_every": steps}.items():  # fmt: skip
        window.launch.form.rows[path].set_value(value)
    with qtbot.waitSignal(window.launch.submitted, timeout=PATIENCE) as told:
        window.actions_table["run.start"].trigger()
    return list(told.args[0])


@pytest.mark.timeout(240)
def test_from_the_form_to_the_finished_run(qtbot: QtBot, open_window: Callable[[], MainWindow]) -> None:
    window = open_window()
    began = time.monotonic()
    qtbot.waitUntil(lambda: window.client.link is Link.CONNECTED, timeout=PATIENCE)
    assert time.monotonic() - began < 30
    first, second = submit(qtbot, window, steps=5, seeds=2)
    qtbot.waitUntil(
        lambda: all(
            (row := window.runs.model.row(run_id)) is not None and row.state is RunState.FINISHED and row.has_file
            for run_id in (first, second)
        ),
        timeout=2 * PATIENCE,
    )
    assert [window.runs.model.row(run_id).spec["seed"] for run_id in (first, second)] == [0, 1]
    assert any("has finished" in toast.text for toast in window.toasts.toasts)
    window.show_run(first)
    qtbot.waitUntil(lambda: window.feeds.summary_of(first) is not None, timeout=PATIENCE)
    window.runs.select(first)
    window.commands.remove()
    qtbot.waitUntil(lambda: window.runs.model.row(first) is None, timeout=PATIENCE)
    window.toasts.toasts[-1].action_button.click()
    qtbot.waitUntil(lambda: window.runs.model.row(first) is not None, timeout=PATIENCE)


@pytest.mark.timeout(240)
def test_a_run_outlives_the_window_and_a_new_window_stops_it(
    qtbot: QtBot, open_window: Callable[[], MainWindow]
) -> None:
    window = open_window()
    qtbot.waitUntil(lambda: window.client.is_connected, timeout=PATIENCE)
    (run_id,) = submit(qtbot, window, steps=1_000_000)
    qtbot.waitUntil(
        lambda: (live := window.client.mirror.progress.get(run_id)) is not None and live.done > 0, timeout=PATIENCE
    )
    window.actions_table["queue.pause"].trigger()
    qtbot.waitUntil(lambda: window.client.state.paused, timeout=PATIENCE)
    done = window.client.mirror.progress[run_id].done
    window.close()
    again = open_window()
    qtbot.waitUntil(
        lambda: (live := again.client.mirror.progress.get(run_id)) is not None and live.done > done, timeout=PATIENCE
    )
    assert again.client.state.paused
    again.runs.select(run_id)
    qtbot.waitUntil(lambda: again.runs.current is not None and again.actions_table["run.kill"].isEnabled())
    again.actions_table["run.kill"].trigger()
    qtbot.waitUntil(lambda: again.client.mirror.entries[run_id].state.is_end, timeout=PATIENCE)
    entry = again.client.mirror.entries[run_id]
    assert entry.state in (RunState.CANCELLED, RunState.INTERRUPTED), entry
    qtbot.waitUntil(lambda: again.runs.model.row(run_id).state is entry.state, timeout=PATIENCE)


@pytest.mark.timeout(240)
def test_a_killed_supervisor_is_replaced_and_the_run_goes_on(
    qtbot: QtBot, open_window: Callable[[], MainWindow]
) -> None:
    import os
    import signal

    window = open_window()
    qtbot.waitUntil(lambda: window.client.is_connected, timeout=PATIENCE)
    (run_id,) = submit(qtbot, window, steps=1_000_000)
    qtbot.waitUntil(
        lambda: (live := window.client.mirror.progress.get(run_id)) is not None and live.done > 0, timeout=PATIENCE
    )
    first = window.client.state.pid
    with qtbot.waitSignal(window.client.disconnected, timeout=PATIENCE):
        os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.client.is_connected and window.client.state.pid != first, timeout=PATIENCE)
    done = window.client.mirror.progress[run_id].done if run_id in window.client.mirror.progress else 0
    qtbot.waitUntil(
        lambda: (live := window.client.mirror.progress.get(run_id)) is not None and live.done > done, timeout=PATIENCE
    )
    assert window.client.mirror.entries[run_id].state is RunState.RUNNING


@pytest.mark.timeout(240)
def test_screenshots_of_a_workspace(workspace: Workspace, tmp_path: Path) -> None:
    import subprocess
    import sys

    from PySide6.QtGui import QImage

    out = tmp_path / "pictures"
    process = subprocess.run(
        [
            sys.executable, "-m", "difrob_gui.screenshots", "--workspace", str(workspace.root), "--out", str(out),
            "--theme", "dark", "--scale", "2", "--size", "1000x650", "--pages", "launch,queue,monitor,compare",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert [Path(line).name for line in process.stdout.split()] == [
        "launch-dark.png", "queue-dark.png", "monitor-dark.png", "compare-dark.png",
    ]  # fmt: skip
    for line in process.stdout.split():
        picture = QImage(line)
        assert (picture.width(), picture.height()) == (2000, 1300)
        colours = {picture.pixel(x, y) for x in range(0, 2000, 40) for y in range(0, 1300, 40)}
        assert len(colours) > 5, line


def test_screenshots_of_no_workspace(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "difrob_gui.screenshots",
        "--workspace",
        str(tmp_path / "no"),
        "--out",
        str(tmp_path),
    ]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert process.stderr.strip().endswith("give another --workspace")
