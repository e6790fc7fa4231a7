"""``difrob runs``: the list of runs, which comes from the index; the care of them is imported when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from difrob import words
from difrob.cli.common import (
    JsonOption,
    WorkspaceOption,
    console,
    open_workspace,
    print_json,
    run_title,
    state_text,
    summary_as_json,
)
from difrob.cli.late_commands import LateCommand, late_group
from difrob.errors import UserError
from difrob.quantities import most_telling, quantity_of
from difrob.runs import RunState, RunSummary

CARE = {
    "check": LateCommand(
        "difrob.cli.care",
        "Look at every file of the workspace, changing none. Exit code 1 when something is damaged or cannot be read.",
    ),
    "recover": LateCommand(
        "difrob.cli.care",
        "Fold what dead processes left behind, and save everything readable in damaged files; nothing readable is deleted.",
    ),
    "gc": LateCommand(
        "difrob.cli.care",
        "Show what the workspace can spare, with sizes; with --yes, free it. Live runs and last checkpoints stay.",
    ),
    "keep": LateCommand(
        "difrob.cli.care",
        "Show or set which checkpoints the runs of this workspace keep. It holds from a run's next start on.",
    ),
    "rm": LateCommand(
        "difrob.cli.care", "Move a run into the workspace's bin; 'restore' takes it back out, 'gc' empties the bin."
    ),
    "restore": LateCommand("difrob.cli.care", "Take a run back out of the bin."),
}

runs_app = typer.Typer(
    help="List the runs of the workspace, newest first, or take care of them. Without a further word: list them.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    cls=late_group(CARE),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(runs_app, name="runs")


@runs_app.callback()
def runs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option("--kind", help="Only runs of this kind.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only runs in this state, e.g. finished.")] = None,
    with_ids: Annotated[bool, typer.Option("--ids", help="Print the id below each name.")] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of the workspace, newest first, or take care of them. Without a further word: list them."""
    context.obj = workspace_folder
    if context.invoked_subcommand is not None:
        return
    workspace = open_workspace(workspace_folder, create=False)
    summaries = workspace.summaries()
    if kind is not None:
        from difrob.specs import KINDS  # needs pydantic, which the list itself does not

        _require_known("kind", kind, [*KINDS, *(s.kind for s in summaries)])  # a newer difrob may have made other kinds
    if state is not None:
        _require_known("state", state, [each.value for each in RunState])
    found = [s for s in summaries if (kind is None or s.kind == kind) and (state is None or s.state == state)]
    if as_json:
        print_json([summary_as_json(summary, workspace) for summary in found])
        return
    if not found:
        wanted = "".join([f" of kind {kind}" if kind else "", f" in state {state}" if state else ""])
        mend = "'difrob runs' lists all" if wanted else "'difrob demo' or 'difrob run' makes some"
        console.print(f"no runs{wanted} in {escape(str(workspace.root))}; {mend}", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, title=escape(str(workspace.root)), title_justify="left", title_style="dim")
    for column in ("started", "name", "kind", "state", "took", "result"):
        table.add_column(column, overflow="fold", no_wrap=column in ("started", "took"))
    for summary in found:
        table.add_row(
            datetime.fromtimestamp(summary.started or summary.created).strftime("%m-%d %H:%M"),
            escape(run_title(summary)), summary.kind, state_text(summary.state),
            words.duration(took(summary)), escape(_headline(summary)),
        )  # fmt: skip
        if with_ids:
            table.add_row("", f"[dim]{summary.run_id}[/dim]")
    console.print(table)


def _require_known(what: str, word: str, known: Iterable[str]) -> None:
    """Raise UserError for a word by which no run can be found, as an empty list would hide the slip."""
    names = list(dict.fromkeys(known))
    if word not in names:
        from difrob.specs.words.near_names import did_you_mean

        raise UserError(f"unknown {what} '{word}'{did_you_mean(word, names)}; known {what}s: {', '.join(names)}")


def took(summary: RunSummary) -> float | None:
    """Seconds from a run's start to its end, or until now; None for one that has not started."""
    return None if summary.started is None else (summary.ended or time.time()) - summary.started


def _headline(summary: RunSummary) -> str:
    name = most_telling(summary.results)
    if name is None:
        return summary.reason
    measure = summary.results[name]
    return f"{words.number(measure.value, measure.unit)} {words.interval(measure)} {quantity_of(name, measure).title}"
