"""What the window opens beside its pages: another workspace, the notice about difrob, the lines of the palette."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from PySide6 import __version__ as pyside_version
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

import difrob
from difrob import words
from difrob_gui.actions import ACTIONS, ActionTable, keys_text
from difrob_gui.models.run_row import RunRow
from difrob_gui.theme import icon
from difrob_gui.widgets.command_palette import Command
from difrob_gui.widgets.toasts import Tell, Tone

PALETTE_RUNS = 500


def palette_commands(table: ActionTable, runs: Iterable[RunRow], show_run: Callable[[str], None]) -> list[Command]:
    """All actions, and the newest runs by name."""
    commands = [
        Command(
            info.plain_text.rstrip(" …"), info.menu, table[info.id].trigger, keys_text(info), table[info.id].icon(),
            info.words, table[info.id].isEnabled(),
        )
        for info in ACTIONS if info.id != "view.palette"
    ]  # fmt: skip
    rows = sorted(runs, key=lambda row: -row.created)[:PALETTE_RUNS]
    commands += [
        Command(
            row.title, words.kind_word(row.kind), partial(show_run, row.run_id),
            icon=icon("runs", "text_muted"), words=f"{row.run_id} {row.state}",
        )
        for row in rows
    ]  # fmt: skip
    return commands


def open_workspace(over: QWidget, root: Path, tell: Tell) -> None:
    """Ask for a folder, beginning beside ``root``, and open another window on it; what goes wrong is told."""
    dialog = QFileDialog(over, "Open workspace", str(root.parent))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda folder: open_window_on(folder, tell))
    dialog.open()


def open_window_on(folder: str, tell: Tell) -> None:
    """Start another window in a process of its own; ``tell`` hears when that fails."""
    command = [sys.executable, "-m", "difrob_gui", "--workspace", folder]
    try:
        subprocess.Popen(command, start_new_session=True, close_fds=True)
    except OSError as error:
        tell(f"The window could not be opened: {error.strerror}", Tone.BAD, None)


def about(over: QWidget, root: Path) -> None:
    """Versions, and which workspace this is."""
    text = (
        f"<h3>difrob {difrob.__version__}</h3><p>A workbench for robustness research with diffusion models.</p>"
        f"<p>Python {platform.python_version()}, PySide6 {pyside_version}<br>Workspace: {root}</p>"
    )
    box = QMessageBox(QMessageBox.Icon.NoIcon, "About difrob", text, QMessageBox.StandardButton.Ok, over)
    box.setIconPixmap(icon("difrob", "accent").pixmap(48, 48))
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.open()
