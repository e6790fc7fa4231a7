"""What the commands share: the workspace option, resolving names of runs, printing numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from difrob import words
from difrob.errors import UserError
from difrob.runs import Measure, RunState, RunSummary, Workspace, default_workspace
from difrob.runs.run_file import summary_to_json
from difrob.specs import JobSpec, face_of, walk_fields

console = Console(highlight=False)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help="Folder of runs. Default: $DIFROB_WORKSPACE, else the user's data folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text for people.")]

EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SECOND_SUPERVISOR, EXIT_DOCTOR = 1, 3, 4, 5


def open_workspace(folder: Path | None, *, create: bool = True) -> Workspace:
    """The workspace of an option, or the default one."""
    return Workspace(folder if folder is not None else default_workspace(), create=create)


def exit_code(state: RunState) -> int:
    """The exit code that says how a run ended."""
    return {RunState.FINISHED: 0, RunState.FAILED: EXIT_FAILED}.get(state, EXIT_INTERRUPTED)


def resolve_inputs(workspace: Workspace, values: dict[str, Any], spec: type[JobSpec]) -> dict[str, Any]:
    """Replace names and beginnings of ids by full run ids in the fields that name other runs."""
    result = dict(values)
    for path, info in walk_fields(spec):
        kinds = face_of(info).get("run_kinds")
        if kinds and isinstance(result.get(path), str) and result[path]:
            run_id = workspace.find(result[path])
            kind = workspace.reader(run_id).summary().kind
            if kind not in kinds:
                raise UserError(
                    f"'{path}' needs a run of kind {' or '.join(kinds)}, but '{result[path]}' is a '{kind}' run"
                )
            result[path] = run_id
    return result


def format_measure(measure: Measure) -> str:
    """A number with its interval, e.g. ``94.2 % [92.0, 95.8]``."""
    unit = "" if measure.unit == "share" else measure.unit
    return " ".join(filter(None, [words.number(measure.value, measure.unit), words.interval(measure), unit]))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1, default=str))


def summary_as_json(summary: RunSummary, workspace: Workspace) -> dict[str, Any]:
    """A summary for machines, with the path of its file."""
    return {**summary_to_json(summary), "damaged": summary.damaged, "file": str(workspace.run_path(summary.run_id))}


STATE_STYLES = {
    RunState.FINISHED: "green", RunState.FAILED: "red", RunState.INTERRUPTED: "yellow", RunState.CANCELLED: "yellow",
    RunState.RUNNING: "cyan", RunState.STARTING: "cyan", RunState.PAUSED: "magenta", RunState.QUEUED: "dim",
}  # fmt: skip


def state_text(state: RunState) -> str:
    """A state in words and colour."""
    style = STATE_STYLES.get(state, "cyan")
    return f"[{style}]{state.value}[/{style}]"
