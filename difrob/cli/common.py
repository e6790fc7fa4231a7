"""What the commands share: the workspace option, resolving names of runs, printing numbers.

Specifications are imported by the functions that look into them: most commands print what they find, and need not wait for
pydantic.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from difrob import words
from difrob.errors import UserError
from difrob.quantities import PASSED
from difrob.runs import Measure, RunState, RunSummary, Workspace, default_workspace
from difrob.runs.summary_json import summary_to_json

if TYPE_CHECKING:
    from difrob.specs import JobSpec

console = Console(highlight=False, emoji=False)  # names and paths are printed as they are: see rich.markup.escape

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
    """Replace names and beginnings of ids by full run ids in the fields that name other runs, also in groups.

    Raises:
        UserError: for a run that is not there, or of another kind than the field takes.
    """
    from difrob.specs import run_kinds, walk_fields

    result = copy.deepcopy(values)
    for path, info in walk_fields(spec):
        kinds = run_kinds(info)
        place, leaf = _place_of(result, path)
        name = place.get(leaf)
        if kinds and isinstance(name, str) and name:
            run_id = _found(workspace, path, name, kinds)
            kind = workspace.reader(run_id).summary().kind
            if kind not in kinds:
                raise UserError(f"'{path}' needs a run of kind {' or '.join(kinds)}, but '{name}' is of kind {kind}")
            place[leaf] = run_id
    return result


def find_run(workspace: Workspace, text: str, kinds: Collection[str] = ()) -> str:
    """The id of the run that a text names: an id, its beginning or end, a name, or the path of the run's own file.

    Args:
        workspace: where the run is.
        text: what was typed.
        kinds: of the runs that may be meant, for proposing one; empty for all.

    Raises:
        UserError: when no run fits, with the nearest name, or when several do.
    """
    with suppress(OSError, ValueError):
        path = Path(text).expanduser().resolve()
        if path.suffix == ".h5" and path.parent == workspace.runs_folder.resolve() and path.exists():
            return path.stem
    try:
        return workspace.find(text)
    except UserError as error:
        from difrob.specs.words.near_names import did_you_mean

        runs = [run for run in workspace.summaries() if not kinds or run.kind in kinds]
        known = [name for run in runs for name in (run.name, run.run_id)]
        fits_several = any(
            run.name == text or run.run_id.startswith(text) or run.run_id.endswith(text)
            for run in workspace.summaries()
        )
        raise UserError(f"{error}{'' if fits_several else did_you_mean(text, known)}") from None


def _found(workspace: Workspace, field: str, name: str, kinds: Collection[str]) -> str:
    """The id of the run that a field names; for another path in its place UserError says how a file becomes a run."""
    try:
        return find_run(workspace, name, kinds)
    except UserError as error:
        looks_like_path = Path(name).suffix in _endings() or "/" in name or os.sep in name or os.path.exists(name)
        if not looks_like_path:
            raise UserError(f"'{field}': {error}") from None
        how = next((told for kind in kinds if (told := _import_of(kind, name))), "")
        if not how:
            listed = " or ".join(f"'difrob runs --kind {kind}'" for kind in kinds)
            raise UserError(
                f"'{field}' takes a run of kind {' or '.join(kinds)}, not a file or folder like '{name}'; {listed} lists "
                "those that there are"
            ) from None
        raise UserError(
            f"'{field}': {error}. It takes a run, not a file or folder; import it first: 'difrob run {how} --name NAME', "
            f"then --set {field}=NAME"
        ) from None


def name_missing_runs(sentence: str, values: dict[str, Any], spec: type[JobSpec]) -> str:
    """A sentence that says which runs a specification lacks, and how each of them is given on the command line."""
    from difrob.specs import kind_of, run_kinds, walk_fields

    lacking = []
    for path, info in walk_fields(spec):
        kinds = run_kinds(info)
        place, leaf = _place_of(values, path)
        if not kinds or place.get(leaf):
            continue
        group = path.rpartition(".")[0] or kind_of(spec)
        asked_for_by_a_rule = f"'{group}': " in sentence and f"needs a run in '{leaf}'" in sentence
        if f"'{path}' must be given" in sentence or asked_for_by_a_rule:
            lacking.append(f"--set {path}=RUN, a run of kind {' or '.join(kinds)}")
    link = ": " if sentence.endswith("must be given") else "; write "
    return f"{sentence}{link}{' and '.join(lacking)}" if lacking else sentence


def resolve_paths(values: dict[str, Any], spec: type[JobSpec]) -> dict[str, Any]:
    """Write the paths of files and folders in full, as a worker or a later resumption may stand in another folder.

    Raises:
        UserError: naming the first that is not there.
    """
    from difrob.specs import walk_fields
    from difrob.specs.takes import takes_path

    result = copy.deepcopy(values)
    for path, info in walk_fields(spec):
        place, leaf = _place_of(result, path)
        given = place.get(leaf)
        if not takes_path(info):
            continue
        if isinstance(given, str) and given:
            place[leaf] = _full_path(path, given)
        elif isinstance(given, list):
            full = [_full_path(path, item, in_list=True) if isinstance(item, str) and item else item for item in given]
            place[leaf] = full
    return result


def _import_of(kind: str, path: str) -> str:
    """How a file becomes a run of a kind, as words behind ``difrob run``; empty for a kind that reads no files."""
    from difrob.specs import KINDS, default_at, run_kinds, walk_fields
    from difrob.specs.takes import data_set_use, takes_path

    required = {field: info for field, info in walk_fields(KINDS[kind]) if default_at(KINDS[kind], field) is ...}
    if not any(takes_path(info) for info in required.values()):
        return ""
    given = {
        field: path if takes_path(info) else "DATA" if data_set_use(info) else "RUN" if run_kinds(info) else "VALUE"
        for field, info in required.items()
    }
    return " ".join([kind, *(f"--set {field}={value}" for field, value in given.items())])


def _endings() -> set[str]:
    """How files end that some kind of job reads."""
    from difrob.specs import KINDS, walk_fields
    from difrob.specs.takes import takes_of, takes_path

    named = (takes_of(info) for spec in KINDS.values() for _, info in walk_fields(spec) if takes_path(info))
    return {ending for takes in named if takes is not None for ending in takes.of}


def is_given(values: dict[str, Any], path: str) -> bool:
    """Whether a specification in the making says something at a dotted path."""
    place, leaf = _place_of(values, path)
    return leaf in place


def _place_of(values: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The group in which a field stands, empty where it is not given, and its name there."""
    *groups, leaf = path.split(".")
    place: Any = values
    for group in groups:
        place = place.get(group) if isinstance(place, dict) else None
    return (place if isinstance(place, dict) else {}), leaf


def _full_path(field: str, text: str, *, in_list: bool = False) -> str:
    full = Path(os.path.abspath(Path(text).expanduser()))
    if not os.path.exists(full):  # a name longer than any file may have is not there either
        hint = f'; several are written as \'{field}=["A", "B"]\'' if in_list and "," in text else ""
        raise UserError(f"'{field}': there is no file or folder '{full}'{hint}")
    return str(full)


def format_measure(measure: Measure) -> str:
    """A number with its interval, e.g. ``94.2 % [92.0, 95.8]``; the outcome of a check in a word."""
    if measure.unit == PASSED:
        return "passed" if measure.value >= 1 else "failed"
    number, ends = words.number(measure.value, measure.unit), words.interval(measure)
    return " ".join(filter(None, [number, ends, words.unit_text(measure.unit)]))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1, default=str))


def summary_as_json(summary: RunSummary, workspace: Workspace) -> dict[str, Any]:
    """A summary for machines, with the path of its file: also of one whose name no run would get ("... (1).h5")."""
    file = workspace.runs_folder / f"{summary.run_id}.h5"
    facts = {"damaged": summary.damaged, "copy_of": summary.copy_of, "file": str(file)}
    return {**summary_to_json(summary), **facts}


def listed_summary(workspace: Workspace, run_id: str) -> RunSummary:
    """The newest summary of a run, which also tells whose copy it is."""
    copies = {summary.run_id: summary.copy_of for summary in workspace.summaries()}
    return replace(workspace.reader(run_id).summary(), copy_of=copies.get(run_id, ""))


def run_title(summary: RunSummary) -> str:
    """Name or id of a run, and whether it is a copy."""
    title = words.run_title(summary.name, summary.run_id)
    return f"{title} (copy of {summary.copy_of})" if summary.copy_of else title


STATE_STYLES = {
    RunState.FINISHED: "green", RunState.FAILED: "red", RunState.INTERRUPTED: "yellow", RunState.CANCELLED: "yellow",
    RunState.RUNNING: "cyan", RunState.STARTING: "cyan", RunState.PAUSED: "magenta", RunState.QUEUED: "dim",
}  # fmt: skip


def state_text(state: RunState) -> str:
    """A state in words and colour."""
    style = STATE_STYLES.get(state, "cyan")
    return f"[{style}]{state.value}[/{style}]"
