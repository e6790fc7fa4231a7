"""What the window opens beside its pages: another workspace, the notice about difrob, the lines of the palette."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

from PySide6 import __version__ as pyside_version
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMessageBox

import difrob
from difrob import words
from difrob_gui.actions import ACTIONS, keys_text
from difrob_gui.theme import icon
from difrob_gui.widgets.command_palette import Command
from difrob_gui.widgets.toasts import Tone

if TYPE_CHECKING:
    from difrob_gui.main_window import MainWindow

PALETTE_RUNS = 500


def palette_commands(window: MainWindow) -> list[Command]:
    """All actions, and the newest runs by name."""
    table = window.actions_table
    commands = [
        Command(
            info.plain_text.rstrip(" …"), info.menu, table[info.id].trigger, keys_text(info), table[info.id].icon(),
            info.words, table[info.id].isEnabled(),
        )
        for info in ACTIONS if info.id != "view.palette"
    ]  # fmt: skip
    rows = sorted(window.runs.model.rows(), key=lambda row: -row.created)[:PALETTE_RUNS]
    commands += [
        Command(
            row.title, words.kind_word(row.kind), lambda run_id=row.run_id: window.show_run(run_id),
            icon=icon("runs", "text_muted"), words=f"{row.run_id} {row.state}",
        )
        for row in rows
    ]  # fmt: skip
    return commands


def open_workspace(window: MainWindow) -> None:
    """Ask for a folder, and open another window on it."""
    dialog = QFileDialog(window, "Open workspace", str(window.workspace.root.parent))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda folder: open_window_on(window, folder))
    dialog.open()


def open_window_on(window: MainWindow, folder: str) -> None:
    """Start another window in a process of its own."""
    command = [sys.executable, "-m", "difrob_gui", "--workspace", folder]
    try:
        subprocess.Popen(command, start_new_session=True, close_fds=True)
    except OSError as error:
        window.tell(f"The window could not be opened: {error.strerror}", Tone.BAD)


def about(window: MainWindow) -> None:
    """Versions, and which workspace this is."""
    text = (
        f"<h3>difrob {difrob.__version__}</h3><p>A workbench for robustness research with diffusion models.</p>"
        f"<p>Python {platform.python_version()}, PySide6 {pyside_version}<br>Workspace: {window.workspace.root}</p>"
    )
    box = QMessageBox(QMessageBox.Icon.NoIcon, "About difrob", text, QMessageBox.StandardButton.Ok, window)
    box.setIconPixmap(icon("difrob", "accent").pixmap(48, 48))
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.open()
