"""``difrob export``: labelled images of a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from difrob.cli.common import WorkspaceOption, console, find_run, open_workspace
from difrob.errors import UserError

FORMATS = ("npz", "png", "hdf5")
SUFFIXES = {".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5", "": "png"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[str, typer.Argument(help="A generated or imported set: id, part of it, or name.")],
    target: Annotated[Path, typer.Argument(help="File or folder to write, e.g. digits.npz.")],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="npz, hdf5 or png. Default: what the target's ending says; a folder without one is png.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an existing file, or a folder that this command made.")
    ] = False,
    workspace_folder: WorkspaceOption = None,
) -> None:
    """Write the labelled images of a run as other programs read them.

    npz has the arrays 'image' (uint8 NHWC) and 'label' (int64), hdf5 the data sets of the same names, png a folder of
    pictures for each class. The way back is 'difrob run import_images --set paths=TARGET', or 'difrob data add TARGET'.
    """
    chosen = format_of(target) if format_name is None else format_name
    if chosen not in FORMATS:
        raise UserError(f"unknown format '{chosen}'; formats: {', '.join(FORMATS)}")
    if chosen == "npz" and target.suffix.lower() != ".npz":
        raise UserError(f"'{target}' must end in .npz, by which readers know the format")
    if chosen == "hdf5" and SUFFIXES.get(target.suffix.lower()) != "hdf5":
        raise UserError(f"'{target}' must end in .h5 or .hdf5, by which readers know the format")
    if not target.absolute().parent.is_dir():
        raise UserError(f"there is no folder '{target.absolute().parent}'")
    workspace = open_workspace(workspace_folder, create=False)
    from difrob.specs import kinds_holding
    from difrob.specs.takes import LABELLED_IMAGES

    kinds = kinds_holding(LABELLED_IMAGES)
    reader = workspace.reader(find_run(workspace, run, kinds))
    kind = reader.summary().kind
    if kind not in kinds:
        raise UserError(
            f"run '{run}' is of kind {kind}; export takes labelled images, runs of kind {' or '.join(kinds)}"
        )
    from difrob.runs.exchange import export_hdf5, export_npz  # need h5py, for which --help need not wait
    from difrob.runs.exchange_pictures import export_png

    write = {"npz": export_npz, "png": export_png, "hdf5": export_hdf5}[chosen]
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(escape(f"writing {target.name}"))
        count = write(
            reader, target, replace=force, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(f"{count} images written to {target}", soft_wrap=True, markup=False)


def format_of(target: Path) -> str:
    """The format that a target's name asks for.

    Raises:
        UserError: for another ending.
    """
    if target.is_dir():
        return "png"
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"'{target}' must end in .npz, .h5 or .hdf5, or in nothing for a folder of PNG pictures; or give --format"
        )
    return SUFFIXES[target.suffix.lower()]
