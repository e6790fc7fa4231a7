"""``difrob data``: the data sets of a workspace: taking them over from their original files, looking, checking, removing."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from difrob.cli.common import JsonOption, WorkspaceOption, console, open_workspace, print_json
from difrob.cli.queue import read_state
from difrob.runs import Workspace
from difrob.runs.datasets import DataSetRecord
from difrob.specs import parse_spec

data_app = typer.Typer(
    help="The data sets of the workspace. Without a further word: list them.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(help="Name of a data set.")]
LinesOption = Annotated[
    bool, typer.Option("--lines", help="Print progress and result as one JSON object per line, for other programs.")
]
LINE_SECONDS = 0.2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(data_app, name="data")


@data_app.callback()
def data(context: typer.Context, workspace_folder: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the data sets, or do something with one."""
    context.obj = workspace_folder
    if context.invoked_subcommand is None:
        print_list(open_workspace(workspace_folder), as_json)


def _workspace(context: typer.Context, folder: Path | None) -> Workspace:
    return open_workspace(folder if folder is not None else context.obj)


@data_app.command("list")
def list_data_sets(
    context: typer.Context, workspace_folder: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """List the data sets that specifications may name as data.dataset."""
    print_list(_workspace(context, workspace_folder), as_json)


@data_app.command("add")
def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="File or folder, in the format in which the data set is published.")],
    name: Annotated[str | None, typer.Option("--name", "-n", help="What to call it. Default: its usual name.")] = None,
    format_name: Annotated[
        str, typer.Option("--format", "-f", help="auto, idx, cifar, svhn, arrays, corrupted, hdf5 or folders.")
    ] = "auto",
    validation: Annotated[
        int | None,
        typer.Option(
            "--validation", help="Training images held out for validation. Default: a tenth, at most 1,024.", min=0
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side in pixels to which pictures in folders are scaled and cut.", min=1, max=4096),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Only these classes, comma-separated; their order gives the labels.")
    ] = None,
    flips: Annotated[
        bool | None,
        typer.Option(
            "--flips/--no-flips", help="Whether mirror images show the same. Default: what is known of the set."
        ),
    ] = None,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
    lines: LinesOption = False,
) -> None:
    """Take a data set over into the workspace: read once, checked, stored for fast loading.

    Known are MNIST and Fashion-MNIST (idx), CIFAR-10 and -100 (binary or python, folder or tar.gz), SVHN (.mat), NumPy
    files (.npz with image and label, .npy pairs), CIFAR-10-C, HDF5 files (image and label, or the .h5 of a generated set),
    and folders of PNG or JPEG pictures, one for each class, like ImageNet and TinyImageNet.
    """
    from difrob.data.adding import add_data_set

    workspace = _workspace(context, workspace_folder)
    chosen = [part.strip() for part in classes.split(",")] if classes is not None else None
    with _Bar(quiet=as_json, lines=lines) as bar:
        record = add_data_set(
            workspace.datasets, path, name=name, format_name=format_name, validation=validation, size=size,
            classes=chosen, flips=flips, progress=bar.show,
        )  # fmt: skip
    if lines:
        print_line(name=record.name)
    elif as_json:
        print_json(as_plain(record))
    else:
        print_record(record)
        use = "evaluate ... --set corruptions" if record.is_corrupted else "... --set data.dataset"
        console.print(f"  use it with [bold]difrob run {use}={record.name}[/bold]")


@data_app.command("show")
def show(
    context: typer.Context, name: Name, workspace_folder: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show what is known about a data set: where it came from, its splits and classes."""
    record = _workspace(context, workspace_folder).data_set(name)
    if as_json:
        print_json(as_plain(record))
        return
    print_record(record)
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for split in record.splits:
        table.add_column(split, justify="right")
    for number, class_name in enumerate(record.class_names):
        table.add_row(escape(class_name), *(str(split.per_class[number]) for split in record.splits.values()))
    console.print(table)


@data_app.command("check")
def check(
    context: typer.Context,
    name: Name,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
    lines: LinesOption = False,
) -> None:
    """Read every byte of a data set again and hold it against its digests."""
    record = _workspace(context, workspace_folder).data_set(name)
    if record.folder is not None:
        from difrob.data.stored import check_stored

        with _Bar(quiet=as_json, lines=lines) as bar:
            for done, total in check_stored(record):
                bar.show(done, total, "reading")
    if lines:
        print_line(name=record.name, digest=record.digest)
    elif as_json:
        print_json({"name": record.name, "digest": record.digest, "whole": True})
    else:
        console.print(f"[green]whole[/green] [bold]{record.name}[/bold], digest {record.digest}")


@data_app.command("rm")
def remove(
    context: typer.Context, name: Name, workspace_folder: WorkspaceOption = None, lines: LinesOption = False
) -> None:
    """Move a data set into the workspace's bin, unless live or waiting runs use it."""
    workspace = _workspace(context, workspace_folder)
    entries = [entry for entry in read_state(workspace).entries if not entry.state.is_end]
    target = workspace.remove_data_set(name, [parse_spec(entry.spec) for entry in entries])
    if lines:
        print_line(name=name, bin=str(target))
        return
    place = workspace.datasets.folder / name
    way = escape(f"{target}; to take it back, move it to {place}")
    console.print(f"moved [bold]{name}[/bold] to {way}", soft_wrap=True)


def print_list(workspace: Workspace, as_json: bool) -> None:
    """The data sets as a table, and those that cannot be used."""
    records, damaged = workspace.data_sets(), workspace.datasets.damaged()
    if as_json:
        print_json({"data_sets": [as_plain(record) for record in records], "damaged": damaged})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "images", "size", "classes", "flips", "what it is"):
        table.add_column(column, overflow="fold")
    for record in records:
        table.add_row(
            record.name, _counts(record), _size(record), str(record.num_classes), "yes" if record.flips else "no",
            escape(record.title),
        )  # fmt: skip
    console.print(table)
    for reason in damaged.values():
        console.print(f"[red]{escape(reason)}[/red]", soft_wrap=True)


def print_record(record: DataSetRecord) -> None:
    """A data set in a few lines."""
    classes = "1 class" if record.num_classes == 1 else f"{record.num_classes} classes"
    console.print(f"[bold]{record.name}[/bold]  {escape(record.title)}  {_size(record)}, {classes}")
    console.print(f"  {_counts(record)}")
    mirrored = "mirror images show the same" if record.flips else "mirror images do not show the same (--flips says so)"
    console.print(f"  {mirrored}")
    for note in record.notes:
        line = f"[yellow]{escape(note)}[/yellow]" if note.startswith("warning: ") else f"note: {escape(note)}"
        console.print(f"  {line}", soft_wrap=True)
    if record.folder is not None:
        console.print(f"  [dim]from {escape(record.source_path)} ({record.format})[/dim]", soft_wrap=True)
        console.print(f"  [dim]in {escape(str(record.folder))}, digest {record.digest}[/dim]", soft_wrap=True)


def as_plain(record: DataSetRecord) -> dict[str, Any]:
    """A record for machines."""
    counts = {name: split.images for name, split in record.splits.items()}
    return {**asdict(record), "images": counts, "folder": record.folder and str(record.folder)}


def _counts(record: DataSetRecord) -> str:
    """``train 54,000, validation 1,024, test 10,000``; of very many splits only how many."""
    if record.is_drawn:
        return "as many points as asked for"
    if len(record.splits) > 6:
        total = sum(split.images for split in record.splits.values())
        return f"{len(record.splits)} splits, {total:,} in all, e.g. {next(iter(record.splits))}"
    return ", ".join(f"{name} {split.images:,}" for name, split in record.splits.items())


def _size(record: DataSetRecord) -> str:
    channels, height, width = record.image_shape
    if record.is_points:
        return f"{channels * height * width} numbers"
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'}"


def print_line(**values: Any) -> None:
    """One JSON object in one line on stdout, at once."""
    print(json.dumps(values), flush=True)


class _Bar:
    """A progress bar, lines for another program, or nothing."""

    def __init__(self, *, quiet: bool, lines: bool = False) -> None:
        self._lines, self._next_line = lines, 0.0
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Progress(*columns, console=console, transient=True, disable=quiet or lines)
        self._task: TaskID = self._bar.add_task("reading", total=None)

    def show(self, done: int, total: int, what: str) -> None:
        """How far it is."""
        if self._lines and (time.monotonic() >= self._next_line or done >= total):
            self._next_line = time.monotonic() + LINE_SECONDS
            print_line(done=done, total=total, what=what)
        self._bar.update(self._task, completed=done, total=total, description=escape(what))

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
