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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from difrob import words
from difrob.errors import UserError
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

# How a file becomes a run of these kinds, and what such files are called.
_IMPORTS = {
    "import_images": "import_images --set paths={path}",
    "import_denoiser": "import_denoiser --set path={path} --set data.dataset=DATA",
}
_SUFFIXES = (".npz", ".npy", ".h5", ".hdf5", ".zip", ".pt", ".pth", ".pkl", ".safetensors")

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
    from difrob.specs import face_of, walk_fields

    result = copy.deepcopy(values)
    for path, info in walk_fields(spec):
        kinds = face_of(info).get("run_kinds")
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
        fits_several = any(run.run_id.startswith(text) or run.run_id.endswith(text) for run in workspace.summaries())
        raise UserError(f"{error}{'' if fits_several else did_you_mean(text, known)}") from None


def _found(workspace: Workspace, field: str, name: str, kinds: list[str]) -> str:
    """The id of the run that a field names; for another path in its place UserError says how a file becomes a run."""
    try:
        return find_run(workspace, name, kinds)
    except UserError as error:
        looks_like_path = Path(name).suffix in _SUFFIXES or "/" in name or os.sep in name or os.path.exists(name)
        if not looks_like_path:
            raise UserError(f"'{field}': {error}") from None
        importer = next((_IMPORTS[kind] for kind in kinds if kind in _IMPORTS), None)
        if importer is None:
            listed = " or ".join(f"'difrob runs --kind {kind}'" for kind in kinds)
            raise UserError(
                f"'{field}' takes a run of kind {' or '.join(kinds)}, not a file or folder like '{name}'; {listed} lists "
                "those that there are"
            ) from None
        how = importer.format(path=name)
        raise UserError(
            f"'{field}': {error}. It takes a run, not a file or folder; import it first: 'difrob run {how} --name NAME', "
            f"then --set {field}=NAME"
        ) from None


def name_missing_runs(sentence: str, values: dict[str, Any], spec: type[JobSpec]) -> str:
    """A sentence that says which runs a specification lacks, and how each of them is given on the command line."""
    from difrob.specs import face_of, walk_fields

    lacking = []
    for path, info in walk_fields(spec):
        kinds = face_of(info).get("run_kinds")
        place, leaf = _place_of(values, path)
        if not kinds or place.get(leaf):
            continue
        group = path.rpartition(".")[0] or str(spec.model_fields["kind"].default)
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

    result = copy.deepcopy(values)
    for path, _ in walk_fields(spec):
        place, leaf = _place_of(result, path)
        given = place.get(leaf)
        if leaf.endswith("path") and isinstance(given, str) and given:
            place[leaf] = _full_path(path, given)
        elif leaf.endswith("paths") and isinstance(given, list):
            place[leaf] = [_full_path(path, item) if isinstance(item, str) and item else item for item in given]
    return result


def _place_of(values: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The group in which a field stands, empty where it is not given, and its name there."""
    *groups, leaf = path.split(".")
    place: Any = values
    for group in groups:
        place = place.get(group) if isinstance(place, dict) else None
    return (place if isinstance(place, dict) else {}), leaf


def _full_path(field: str, text: str) -> str:
    full = Path(os.path.abspath(Path(text).expanduser()))
    if not os.path.exists(full):  # a name longer than any file may have is not there either
        hint = f'; several are written as \'{field}=["A", "B"]\'' if field.endswith("paths") and "," in text else ""
        raise UserError(f"'{field}': there is no file or folder '{full}'{hint}")
    return str(full)


def format_measure(measure: Measure) -> str:
    """A number with its interval, e.g. ``94.2 % [92.0, 95.8]``."""
    number, ends = words.number(measure.value, measure.unit), words.interval(measure)
    return " ".join(filter(None, [number, ends, words.unit_text(measure.unit)]))


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
