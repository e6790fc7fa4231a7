"""``difrob gui``: open the window."""

from __future__ import annotations

import importlib.util

import typer

from difrob.cli.common import WorkspaceOption, open_workspace
from difrob.cli.doctor import WINDOW_PACKAGES
from difrob.errors import UserError
from difrob.system import pip_command


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gui")(gui)


def gui(workspace_folder: WorkspaceOption = None) -> int:
    """Open the workbench. Closing it stops nothing: runs belong to the supervisor."""
    for package in ("PySide6", "pyqtgraph"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"the window needs {package}, which is not installed; {pip_command(WINDOW_PACKAGES)}")
    from difrob_gui.app import main

    return int(main(str(open_workspace(workspace_folder).root)))
