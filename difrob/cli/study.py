"""``difrob study``: comparisons that are declared beforehand, run through the queue, and decided by their own rule."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from difrob import words
from difrob.cli.common import EXIT_INTERRUPTED, JsonOption, WorkspaceOption, console, open_workspace, print_json
from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.studies.continuing import what_is_missing
from difrob.studies.declaration import Contrast, find_study, shipped_studies
from difrob.studies.plan import plan_study
from difrob.studies.study_records import StudyRecord, begin, find_record, is_unchanged, study_records
from difrob.worker.messages import QueueState
from difrob.worker.transport import connect

if TYPE_CHECKING:
    from difrob.studies.report import Cell, Report

study_app = typer.Typer(
    help="Comparisons declared beforehand: arms, seeds, outcomes, and the rule that decides.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(help="A study's name ('difrob study list'), or the path of a declaration.")]
Begun = Annotated[str, typer.Argument(help="A study that was begun: its name (the newest), or its id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(study_app, name="study")


@study_app.command("list")
def list_studies(workspace_folder: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the studies that come with difrob, and those begun in the workspace."""
    workspace = open_workspace(workspace_folder)
    shipped, begun = shipped_studies(), study_records(workspace)
    if as_json:
        print_json({"shipped": [study.name for study in shipped], "begun": [record.study_id for record in begun]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("study", "what it asks", "runs", "about"):
        table.add_column(column, overflow="fold")
    for study in shipped:
        minutes = "" if study.minutes is None else f"{words.duration(60 * study.minutes)} on one core"
        table.add_row(study.name, study.title, str(len(plan_study(study).entries)), minutes)
    console.print(table)
    for record in begun:
        console.print(f"begun: {record.study_id}", markup=False)


@study_app.command("show")
def show_study(name: Name) -> None:
    """Show what a study claims, what it runs and how it decides, before anything is run."""
    study = find_study(name)
    plan = plan_study(study)
    console.print(f"[bold]{study.title}[/bold]\n{study.claim}")
    if study.source:
        console.print(f"[dim]{study.source}[/dim]")
    console.print(f"{len(study.arms)} arms, seeds {', '.join(map(str, study.seeds))}, {len(plan.entries)} runs")
    table = Table(box=None, pad_edge=False)
    for column in ("arm", "what", "differs in"):
        table.add_column(column, overflow="fold")
    for key, arm in study.arms.items():
        table.add_row(key, arm.title, ", ".join(f"{path} = {value}" for path, value in arm.changes.items()))
    console.print(table)
    for decision in study.decisions:
        kind = "contrast of" if isinstance(decision, Contrast) else "trend of"
        mark = "primary" if decision.primary else "exploratory"
        console.print(
            f"decides ({mark}): {decision.name}: {kind} {decision.outcome}, expected {decision.expected}, "
            f"alpha {decision.alpha:g}",
            markup=False,
        )


@study_app.command("run")
def run_study(
    name: Name,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Other seeds, e.g. 0,1,2,3,4.")] = None,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down what will be decided, then queue all runs; 'difrob study report' shows how it stands."""
    workspace = open_workspace(workspace_folder)
    study = find_study(name)
    if seeds is not None:
        study = study.model_copy(update={"seeds": _numbers(seeds)})
    plan = plan_study(study)
    record = begin(workspace, study, plan)
    try:
        with connect(workspace) as connection:
            connection.call("submit", entries=plan.requests())
    except UserError as error:
        raise UserError(
            f"{error}; the study was written down, but its runs were not queued: 'difrob study continue {study.name}' "
            "tries again"
        ) from None
    if as_json:
        print_json({"study_id": record.study_id, "runs": list(plan.entries)})
        return
    console.print(f"begun [bold]{record.study_id}[/bold]: {len(plan.entries)} runs queued", soft_wrap=True)
    console.print(f"'difrob study report {study.name}' shows how it stands; 'difrob queue' how it gets on")


@study_app.command("continue")
def continue_study(study: Begun, workspace_folder: WorkspaceOption = None) -> None:
    """Queue again what is missing: runs that never started, were interrupted, or failed."""
    workspace = open_workspace(workspace_folder)
    record = find_record(workspace, study)
    states = {s.run_id: s.state for s in workspace.summaries()}
    with connect(workspace) as connection:
        queued = {e.run_id: e.state for e in QueueState.model_validate(connection.call("state")).entries}
        missing = what_is_missing(record.plan, states, queued)
        if missing.forgotten:
            connection.call("remove", run_ids=missing.forgotten)
        if missing.requests:
            connection.call("submit", entries=missing.requests)
        for run_id in missing.again:
            connection.call("resume", run_id=run_id)
    console.print(f"{len(missing.requests)} runs queued anew, {len(missing.again)} resumed")


@study_app.command("report")
def report(study: Begun, workspace_folder: WorkspaceOption = None, as_json: JsonOption = False) -> int:
    """Show the table and the decisions as they stand; exit code 3 while runs are missing."""
    from difrob.studies.report import report_on  # needs scipy, for which a list of studies need not wait

    workspace = open_workspace(workspace_folder, create=False)
    record = find_record(workspace, study)
    found = report_on(workspace, record)
    if as_json:
        print_json(_as_json(record, found))
    else:
        print_report(workspace, record, found)
    return 0 if found.is_complete else EXIT_INTERRUPTED


def print_report(workspace: Workspace, record: StudyRecord, found: Report) -> None:
    """The report for people."""
    study = record.study
    console.print(f"[bold]{study.title}[/bold]  [dim]{record.study_id}[/dim]\n{study.claim}", soft_wrap=True)
    if not _is_unchanged(record):
        console.print(
            "[yellow]the shipped declaration has changed since; this is decided by the one written then[/yellow]"
        )
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for name in study.outcomes:
        table.add_column(f"{name} (mean [95 %], seeds)", overflow="fold")
    for arm in study.arms:
        table.add_row(study.arms[arm].title, *(_cell_text(found.cells[arm, name]) for name in study.outcomes))
    console.print(table)
    for verdict in found.verdicts:
        colour = {"supported": "green", "contradicted": "red"}.get(verdict.word, "yellow")
        numbers = "" if verdict.estimate is None else f" {verdict.estimate:+.4g}"
        if verdict.low is not None and verdict.high is not None:
            numbers += f" [{verdict.low:+.4g}, {verdict.high:+.4g}]"
        p = "" if verdict.p_adjusted is None else f", p = {verdict.p_adjusted:.3g}"
        mark = "primary" if verdict.primary else "exploratory"
        console.print(f"[{colour}]{verdict.word}[/{colour}]", end=" ")
        console.print(f"({mark}) {verdict.name}:{numbers}{p}, {verdict.seeds} seeds", markup=False)
    if not found.is_complete:
        states = ", ".join(f"{count} {state}" for state, count in found.states.items())
        console.print(f"not complete: {states}; 'difrob study continue {study.name}' queues what is missing")


def _cell_text(cell: Cell) -> str:
    if cell.mean is None:
        return "—"
    text = words.number(cell.mean, cell.unit)
    if cell.low is not None and cell.high is not None:
        text += f" [{words.number(cell.low, cell.unit)}, {words.number(cell.high, cell.unit)}]"
    return f"{text} ({len(cell.values)})"


def _as_json(record: StudyRecord, found: Report) -> dict[str, object]:
    return {
        "study_id": record.study_id, "title": record.study.title, "claim": record.study.claim, "states": found.states,
        "unfinished": found.unfinished,
        "cells": [{"arm": arm, "outcome": name, **asdict(cell)} for (arm, name), cell in found.cells.items()],
        "verdicts": [asdict(verdict) for verdict in found.verdicts],
    }  # fmt: skip


def _is_unchanged(record: StudyRecord) -> bool:
    try:
        return is_unchanged(record, find_study(record.study.name))
    except UserError:
        return True  # declared in a file of its own, which may lie anywhere


def _numbers(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds '{text}' is not a list of different whole numbers like 0,1,2")
    return seeds
