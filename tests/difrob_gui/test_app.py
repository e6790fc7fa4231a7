"""Starting the window where it cannot start: one sentence with the mend, an exit code, and no crash of Qt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from difrob_gui.app import display_problem, library_problem, platform_problem


@pytest.mark.parametrize(
    ("environment", "platform", "usable"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"QT_QPA_PLATFORM": "xcb"}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"QT_QPA_PLATFORM": "offscreen"}, "linux", True),
        ({"QT_QPA_PLATFORM": "offscreen:size=1x1"}, "linux", True),
        ({}, "win32", True),
        ({}, "darwin", True),
    ],
)
def test_whether_there_is_a_display(environment: dict[str, str], platform: str, usable: bool) -> None:
    problem = display_problem(environment, platform)
    assert (problem == "") == usable
    assert usable or "DISPLAY" in problem


def test_a_missing_library_is_named_with_the_command() -> None:
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    text = library_problem(error)
    assert "libGL.so.1" in text and "apt-get install -y libglib2.0-0 libgl1" in text
    text = library_problem(ModuleNotFoundError("No module named 'PySide6'", name="PySide6"))
    assert "PySide6" in text and "pip install" in text and "apt-get" not in text


def test_a_broken_x11_plugin_is_named_with_the_command() -> None:
    def broken(_name: str) -> str:
        return "libxcb-cursor.so.0: cannot open shared object file"

    text = platform_problem({"DISPLAY": ":0"}, broken)
    assert "libxcb-cursor.so.0" in text and "apt-get install -y libxkbcommon-x11-0 libxcb-cursor0" in text
    assert platform_problem({"DISPLAY": ":0"}, lambda _name: "") == ""
    assert platform_problem({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, broken) == ""
    assert platform_problem({"QT_QPA_PLATFORM": "offscreen", "DISPLAY": ":0"}, broken) == ""


def launch(code: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    clean.pop("QT_QPA_PLATFORM", None)
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w")],
        env={**clean, "PYTHONPATH": str(root), **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are found by variables on Linux only")
def test_without_a_display_the_process_ends_in_words(tmp_path: Path) -> None:
    process = launch("import sys; from difrob_gui.app import main; sys.exit(main(sys.argv[1]))", tmp_path)
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith("difrob: there is no display")
    assert len(process.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("package", ["PySide6", "pyqtgraph"])
def test_without_a_package_of_the_window_the_process_ends_in_words(tmp_path: Path, package: str) -> None:
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Block())
from difrob_gui.app import main
sys.exit(main(sys.argv[1]))
"""
    process = launch(code, tmp_path, QT_QPA_PLATFORM="offscreen")
    assert process.returncode == 2, process.stderr
    assert package in process.stderr and "pip install" in process.stderr


def test_an_unusable_workspace_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file where a folder should be")
    code = "import sys; from difrob_gui.app import main; sys.exit(main(sys.argv[1]))"
    process = launch(code, tmp_path, QT_QPA_PLATFORM="offscreen")
    assert process.returncode == 2
    assert process.stderr.startswith("difrob: cannot make a workspace")


def test_it_opens_lives_through_an_error_in_a_slot_and_closes(tmp_path: Path) -> None:
    code = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
import difrob_gui.main_window as module
class Window(module.MainWindow):
    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "autostart": False})
        QTimer.singleShot(50, self, lambda: 1 / 0)
        QTimer.singleShot(600, self, self.look)
    def look(self):
        texts = [toast.text for toast in self.toasts.toasts]
        print("ALIVE", any("ZeroDivisionError" in text for text in texts))
        self.close()
module.MainWindow = Window
from difrob_gui.app import main
sys.exit(main(sys.argv[1], theme="dark"))
"""
    process = launch(code, tmp_path, QT_QPA_PLATFORM="offscreen", XDG_RUNTIME_DIR=str(tmp_path))
    assert process.returncode == 0, process.stderr
    assert "ALIVE True" in process.stdout
    assert "ZeroDivisionError" in (tmp_path / "w" / "window.log").read_text()
    assert (tmp_path / "w" / "window.ini").exists()
