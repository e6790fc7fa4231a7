"""A real window on a real (virtual) X display, not only Qt's offscreen platform."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.waiting import wait_until

from difrob.runs import Workspace
from difrob.system import missing_qt_libraries

pytest.importorskip("PySide6")
if not sys.platform.startswith("linux") or shutil.which("Xvfb") is None:
    pytest.skip("Xvfb is not installed (Debian package xvfb)", allow_module_level=True)
if missing_qt_libraries(for_window=True):
    pytest.skip("libraries for real windows are missing ('difrob doctor' names them)", allow_module_level=True)

WIDTH, HEIGHT = 1100, 750


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A virtual display: its name, and the file in which its pixels lie."""
    reading, writing = os.pipe()
    geometry = f"{WIDTH}x{HEIGHT}x24"
    command = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        geometry,
        "-fbdir",
        str(tmp_path),
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as answer:
        display = f":{answer.readline().strip()}"
    yield display, tmp_path / "Xvfb_screen0"
    server.terminate()
    server.wait(10)


def colours(pixels_file: Path) -> int:
    """How many different pixels are on the screen; the pixels are the tail of the dump."""
    size = WIDTH * HEIGHT
    pixels = np.frombuffer(pixels_file.read_bytes()[-4 * size :], dtype=np.uint32)
    return len(np.unique(pixels & 0xFFFFFF))


def test_the_window_appears_on_a_display_and_closes(screen: tuple[str, Path], workspace: Workspace) -> None:
    display, pixels_file = screen
    before = colours(pixels_file)
    environment = {key: value for key, value in os.environ.items() if key not in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "difrob", "gui", "--workspace", str(workspace.root)]
    window = subprocess.Popen(command, env={**environment, "DISPLAY": display}, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: window.poll() is not None or colours(pixels_file) > before + 100, 30)
        assert window.poll() is None, window.stderr.read().decode() if window.stderr else ""
    finally:
        window.send_signal(signal.SIGTERM)
        window.wait(10)
        if window.stderr:
            window.stderr.close()
