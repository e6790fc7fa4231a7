"""``difrob export``: labelled images of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from difrob.cli.common import WorkspaceOption, console, open_workspace
from difrob.errors import UserError
from difrob.runs.exchange import export_npz


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[str, typer.Argument(help="A generated or imported set: id, part of it, or name.")],
    target: Annotated[Path, typer.Argument(help="File to write, e.g. digits.npz.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    workspace_folder: WorkspaceOption = None,
) -> None:
    """Write the labelled images of a run as .npz ('image' uint8 NHWC, 'label' int64), as other training code reads them.

    The way back is 'difrob run import_images --set paths=FILE.npz'.
    """
    if target.suffix != ".npz":
        raise UserError(f"'{target}' must end in .npz, the format that is written")
    if not target.absolute().parent.is_dir():
        raise UserError(f"there is no folder '{target.absolute().parent}'")
    workspace = open_workspace(workspace_folder, create=False)
    reader = workspace.reader(workspace.find(run))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"writing {target.name}")
        count = export_npz(
            reader, target, replace=force, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(f"{count} images written to {target}", soft_wrap=True)
