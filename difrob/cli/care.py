"""``difrob runs check, recover, gc, keep, rm, restore``: the care of a workspace.

What opens run files is imported by the functions that do so: it needs h5py, for which ``--help`` need not wait.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from difrob.cli.common import JsonOption, WorkspaceOption, console, find_run, open_workspace, print_json
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.runs.retention import Retention, read_retention, write_retention

if TYPE_CHECKING:
    from difrob.runs.care import Finding

EXIT_DAMAGED = 1
RunsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, beginnings or ends of ids, or names. Default: all.")
]
RunArgument = Annotated[str, typer.Argument(help="Id, beginning or end of an id, or name of a run.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the group ``runs``."""
    app.command("check")(check_runs)
    app.command("recover")(recover_runs)
    app.command("gc")(collect)
    app.command("keep")(keep)
    app.command("rm")(remove)
    app.command("restore")(restore)


def size_text(count: float) -> str:
    """Bytes for people, e.g. ``1.5 MB`` (of 1000 kB)."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _open(context: typer.Context, folder: WorkspaceOption) -> Workspace:
    return open_workspace(folder if folder is not None else context.obj, create=False)


def _resolved(workspace: Workspace, names: list[str] | None) -> list[str] | None:
    from difrob.runs.care import runs_in

    known = runs_in(workspace)
    return [name if name in known else find_run(workspace, name) for name in names] if names else None


def check_runs(
    context: typer.Context,
    names: RunsArgument = None,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every file of the workspace, changing none. Exit code 1 when something is damaged or cannot be read."""
    from difrob.runs.care import Verdict, check

    workspace = _open(context, workspace_folder)
    findings = check(workspace, _resolved(workspace, names))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print_findings(workspace, findings)
    if any(finding.verdict in (Verdict.DAMAGED, Verdict.REFUSED) for finding in findings):
        raise typer.Exit(EXIT_DAMAGED)


def _print_findings(workspace: Workspace, findings: list[Finding]) -> None:
    from difrob.runs.care import Verdict

    styles = {Verdict.WHOLE: "green", Verdict.LEFTOVER: "dim", Verdict.REFUSED: "yellow", Verdict.DAMAGED: "red"}
    table = Table(box=None, pad_edge=False, title=escape(str(workspace.root)), title_justify="left", title_style="dim")
    for column in ("file", "", "size", "what was found"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for finding in findings:
        style = styles[finding.verdict]
        table.add_row(
            escape(finding.file), f"[{style}]{finding.verdict.value}[/{style}]", size_text(finding.size),
            escape(finding.sentence),
        )  # fmt: skip
    console.print(table)
    damaged = sum(finding.verdict is Verdict.DAMAGED for finding in findings)
    console.print(f"{len(findings)} files looked at, {damaged} damaged")


def recover_runs(
    context: typer.Context,
    names: RunsArgument = None,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold what dead processes left behind, and save everything readable in damaged files; nothing readable is deleted."""
    from difrob.runs.care import recover_run, runs_in
    from difrob.runs.damage.inspection import Inspector

    workspace = _open(context, workspace_folder)
    wanted = _resolved(workspace, names) or sorted(runs_in(workspace))
    done: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    with Inspector() as inspector:
        for run_id in wanted:
            try:
                if sentences := recover_run(workspace, run_id, inspector):
                    done[run_id] = sentences
            except UserError as error:
                refused[run_id] = str(error)
    if as_json:
        print_json({"recovered": done, "left": refused})
        return
    for run_id, sentences in done.items():
        console.print(f"{run_id}: {'; '.join(sentences)}", markup=False)
    for run_id, why in refused.items():
        console.print(f"{run_id}: left as it is; {why}", markup=False)
    if not done and not refused:
        console.print("nothing to recover")


def collect(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Free it. Without this it is only shown.")] = False,
    keep_last: Annotated[
        int | None,
        typer.Option("--keep-last", help="Newest checkpoints to keep. Default: the setting of the workspace."),
    ] = None,
    keep_best: Annotated[bool | None, typer.Option("--keep-best/--no-keep-best", help="Keep the best one.")] = None,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Only what is that old.")
    ] = 0,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the workspace can spare, with sizes; with --yes, free it. Live runs and last checkpoints stay."""
    from difrob.runs.spare import find_spare, free

    workspace = _open(context, workspace_folder)
    retention = read_retention(workspace.root)
    retention = replace(retention, keep_last=retention.keep_last if keep_last is None else keep_last)
    retention = replace(retention, keep_best=retention.keep_best if keep_best is None else keep_best)
    spare = find_spare(workspace, retention, older_than)
    freed, failures = 0, []
    for thing in spare if yes else []:
        try:
            freed += free(workspace, thing, retention)
        except UserError as error:
            failures.append(str(error))
    if as_json:
        things = [{**asdict(thing), "path": str(thing.path)} for thing in spare]
        print_json({"spare": things, "freed": freed, "failures": failures})
        return
    if not spare:
        console.print("there is nothing to spare")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "file", "size", "what it is"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for thing in spare:
        table.add_row(thing.kind.value, escape(thing.path.name), size_text(thing.size), escape(thing.what))
    console.print(table)
    for failure in failures:
        console.print(failure, markup=False)
    total = size_text(sum(thing.size for thing in spare))
    console.print(f"freed {size_text(freed)}" if yes else f"{total} can be freed; 'difrob runs gc --yes' does it")


def keep(
    context: typer.Context,
    last: Annotated[int | None, typer.Option("--last", help="How many of the newest checkpoints a run keeps.")] = None,
    best: Annotated[bool | None, typer.Option("--best/--no-best", help="Whether it keeps the best one too.")] = None,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set which checkpoints the runs of this workspace keep. It holds from a run's next start on."""
    workspace = _open(context, workspace_folder)
    if last is not None and best is not None:  # sets everything, so it also mends a file that makes no sense
        retention = Retention(last, best)
    else:
        retention = read_retention(workspace.root)
        retention = replace(
            retention,
            keep_last=retention.keep_last if last is None else last,
            keep_best=retention.keep_best if best is None else best,
        )
    if last is not None or best is not None:
        write_retention(workspace.root, retention)
    print_json(asdict(retention)) if as_json else console.print(f"runs keep {retention}")


def remove(context: typer.Context, run: RunArgument, workspace_folder: WorkspaceOption = None) -> None:
    """Move a run into the workspace's bin; 'restore' takes it back out, 'gc' empties the bin."""
    workspace = _open(context, workspace_folder)
    run_id = find_run(workspace, run)
    workspace.remove_run(run_id)
    console.print(f"{run_id} lies in the bin; 'difrob runs restore {run_id}' takes it back out", markup=False)


def restore(context: typer.Context, run: RunArgument, workspace_folder: WorkspaceOption = None) -> None:
    """Take a run back out of the bin."""
    workspace = _open(context, workspace_folder)
    binned = workspace.binned_runs()
    fitting = [run_id for run_id in binned if run_id == run] or [
        r for r in binned if r.startswith(run) or r.endswith(run)
    ]
    if len(fitting) > 1:
        raise UserError(f"'{run}' fits {len(fitting)} runs in the bin: {', '.join(fitting[:5])}")
    run_id = fitting[0] if fitting else run
    workspace.restore_run(run_id)
    console.print(f"{run_id} is back", markup=False)
