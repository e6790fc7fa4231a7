"""``difrob show``, ``difrob compare``: looking into runs."""

from __future__ import annotations

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
    find_run,
    format_measure,
    listed_summary,
    open_workspace,
    print_json,
    run_title,
    state_text,
    summary_as_json,
)
from difrob.cli.result_differences import NOTE, result_differences
from difrob.cli.runs import took
from difrob.comparison import Difference, completed, flatten, spec_differences, unlike_conditions, warning_text
from difrob.errors import UserError
from difrob.runs import Measure, RunSummary


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("show")(show)
    app.command("compare")(compare)


def show(
    run: Annotated[str, typer.Argument(help="Id, beginning or end of an id, or name of a run.")],
    log: Annotated[bool, typer.Option("--log", help="Print the whole log.")] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run: how it stands, results with intervals, specification, what it holds."""
    workspace = open_workspace(workspace_folder, create=False)
    run_id = find_run(workspace, run)
    reader = workspace.reader(run_id)
    summary = listed_summary(workspace, run_id)
    lines = reader.log()
    if as_json:
        record = summary_as_json(summary, workspace)
        record["attributes"] = reader.attributes()
        record["metrics"] = {name: len(series.step) for name, series in reader.metrics().items()}
        record["log"] = [line.__dict__ for line in lines]
        print_json(record)
        return
    progress = summary.progress
    console.print(
        f"[bold]{escape(run_title(summary))}[/bold]  {summary.kind}  {state_text(summary.state)}  "
        f"{escape(summary.reason)}"
    )
    console.print(
        f"{progress.done}/{progress.total} {progress.unit} in {words.duration(took(summary))} on {summary.device} "
        f"({escape(summary.host)}), id {escape(run_id)}"
    )
    _print_results(summary)
    for field, parent in summary.parents.items():
        console.print(f"  {field}: {parent}", markup=False)
    table = Table(
        box=None, pad_edge=False, title="specification", title_justify="left", title_style="dim", show_header=False
    )
    for path, value in flatten(completed(summary.spec)).items():
        table.add_row(path, escape(value))
    console.print(table)
    series = reader.metrics()
    if series:
        found = ", ".join(f"{name} ({len(s.step)})" for name, s in series.items())
        console.print(f"[dim]metrics:[/dim] {escape(found)}")
    for line in lines if log else [line for line in lines if line.level != "info"][-5:]:
        console.print(f"{datetime.fromtimestamp(line.time):%H:%M:%S} {line.level}: {line.text}", markup=False)
    console.print(f"[dim]{escape(str(workspace.run_path(run_id)))}[/dim]", soft_wrap=True)


def _print_results(summary: RunSummary) -> None:
    if not summary.results:
        return
    table = Table(box=None, pad_edge=False, title="results", title_justify="left", title_style="dim")
    for column in ("result", "value", "n", "interval", "what it is"):
        table.add_column(column, overflow="fold")
    for name, measure in summary.results.items():
        size = "" if measure.n is None else str(measure.n)
        cells = (name, format_measure(measure), size, measure.interval, measure.sentence)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs.")],
    all_fields: Annotated[bool, typer.Option("--all", help="Show all fields, not only those that differ.")] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold runs against each other: results with intervals, and where their specifications differ."""
    if len(names) < 2:
        raise UserError("a comparison needs two or more runs; 'difrob show' tells about one")
    workspace = open_workspace(workspace_folder, create=False)
    run_ids = [find_run(workspace, name) for name in names]
    for position, run_id in enumerate(run_ids):
        first = names[run_ids.index(run_id)]
        if run_id in run_ids[:position]:
            also = f"'{first}' and '{names[position]}' are" if first != names[position] else f"'{first}' is"
            raise UserError(f"{also} the same run twice, '{run_id}'; a comparison needs different ones")
    summaries = [listed_summary(workspace, run_id) for run_id in run_ids]
    for summary in summaries:
        twin = next((s for s in summaries if s is not summary and summary.copy_of in (s.run_id, s.copy_of)), None)
        if summary.copy_of and twin is not None:
            raise UserError(
                f"the file of '{summary.run_id}' is a copy of that of '{summary.copy_of}', so it is the same run twice; a "
                "comparison needs different ones"
            )
    differences = spec_differences([summary.spec for summary in summaries])
    differences = [difference for difference in differences if all_fields or difference.differs]
    unlike = unlike_conditions(summaries)
    by_how_much = result_differences(*summaries) if len(summaries) == 2 and not unlike else {}
    if as_json:
        print_json(
            {
                "runs": [summary_as_json(summary, workspace) for summary in summaries],
                "differences": {difference.path: difference.values for difference in differences},
                "unlike_conditions": [item.__dict__ for item in unlike],
                "result_differences": {name: measure.__dict__ for name, measure in by_how_much.items()},
            }
        )
        return
    if unlike:
        console.print(f"[bold yellow]Not like with like.[/bold yellow] {escape(warning_text(unlike))}")
    console.print(_results_table(summaries, by_how_much))
    if by_how_much:
        console.print(f"[dim]{NOTE}[/dim]")
    console.print(_differences_table(summaries, differences))


def _results_table(summaries: list[RunSummary], by_how_much: dict[str, Measure]) -> Table:
    table = Table(title=escape("results (value [interval])"), title_justify="left", box=None, pad_edge=False)
    table.add_column("result", overflow="fold")
    for summary in summaries:
        table.add_column(escape(run_title(summary)), overflow="fold")
    if by_how_much:
        table.add_column("difference", overflow="fold")
    for name in dict.fromkeys(name for summary in summaries for name in summary.results):
        cells = [format_measure(s.results[name]) if name in s.results else "—" for s in summaries]
        if by_how_much:
            cells.append(_signed(by_how_much[name]) if name in by_how_much else "")
        table.add_row(escape(name), *(escape(cell) for cell in cells))
    return table


def _signed(difference: Measure) -> str:
    return f"{'+' if difference.value > 0 else ''}{format_measure(difference)}"


def _differences_table(summaries: list[RunSummary], differences: list[Difference]) -> Table:
    table = Table(title="specifications", title_justify="left", box=None, pad_edge=False)
    table.add_column("field", overflow="fold")
    for summary in summaries:
        table.add_column(escape(run_title(summary)), overflow="fold")
    for difference in differences:
        table.add_row(difference.path, *(escape(value) for value in difference.values))
    return table
