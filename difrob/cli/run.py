"""``difrob run``: run one job here and now, or put it into the queue."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from dataclasses import asdict
from types import FrameType
from typing import Annotated, Any, get_origin

import typer
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from difrob import words
from difrob.cli.common import (
    JsonOption,
    WorkspaceOption,
    console,
    exit_code,
    format_measure,
    open_workspace,
    print_json,
    resolve_inputs,
    resolve_paths,
    state_text,
    summary_as_json,
)
from difrob.errors import UserError
from difrob.runs import RunState, RunSummary, Workspace, new_run_id
from difrob.runs.causes import advice
from difrob.runs.fitting import require_fitting_inputs
from difrob.runs.input_facts import InputFacts
from difrob.runs.misfits import idle_mixture
from difrob.runs.records import SignOfLife
from difrob.runs.stop import StopControl
from difrob.specs import (
    KINDS,
    JobSpec,
    TrainClassifierSpec,
    apply_overrides,
    default_at,
    face_of,
    list_presets,
    load_preset,
    parse_spec,
    spec_class,
    value_at,
    walk_fields,
)
from difrob.specs.field_words import choices_of, limits_of, show

LINES_AT_END = 5  # warnings of the log that are repeated below the results


def register(app: typer.Typer) -> None:
    """Add the command."""
    kinds = "\n\n".join(f"* {kind}: {spec.summary}" for kind, spec in KINDS.items())
    app.command("run", help=f"Run one job, in this terminal or through the queue.\n\nKinds:\n\n{kinds}")(run)


def run(
    kind: Annotated[str | None, typer.Argument(help="Job kind; left out with --resume.", show_default=False)] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", help="A preset's name, or the path of its file.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="FIELD=VALUE", help="Set a field; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name shown in tables.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of all random streams.")] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps; with --queue: the lane.")
    ] = "auto",
    queue: Annotated[bool, typer.Option("--queue", "-q", help="Put it into the queue and return at once.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="List the fields and presets of this kind, then stop.")
    ] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run one job."""
    workspace = open_workspace(workspace_folder)
    if resume is not None:
        if kind or preset or overrides or name or seed is not None:
            raise UserError("--resume goes on with a run as it was; it takes no kind, preset or fields")
        run_id = workspace.find(resume)
        summary = workspace.reader(run_id).summary()
        if summary.state.is_live or summary.state == "finished":
            raise UserError(f"run '{run_id}' is {summary.state}; only an interrupted, failed or cancelled run resumes")
        spec = parse_spec(summary.spec)
    elif kind is None:
        raise UserError(f"which kind? One of: {', '.join(KINDS)}")
    elif fields:
        print_fields(spec_class(kind))
        return 0
    else:
        spec = build_spec(workspace, kind, preset, overrides or [], name, seed)
        run_id = new_run_id(spec.kind, spec.name)
        if not queue:  # which itself knows of the runs that wait in it
            require_fitting_inputs(InputFacts(workspace), spec)
    workspace.require_writable()
    if queue:
        return submit(workspace, run_id, spec, device, resuming=resume is not None, as_json=as_json)
    summary = run_here(workspace, run_id, spec, device, resuming=resume is not None, as_json=as_json)
    return exit_code(summary.state)


def build_spec(
    workspace: Workspace, kind: str, preset: str | None, overrides: list[str], name: str | None, seed: int | None
) -> JobSpec:
    """Defaults, then preset, then overrides, then the short options. Raises UserError for anything that does not fit."""
    spec = spec_class(kind)
    values: dict[str, Any] = {} if preset is None else dict(load_preset(preset, kind).spec)
    values = apply_overrides(values, overrides, spec)
    if name is not None:
        values["name"] = name
    if seed is not None:
        values["seed"] = seed
    values = resolve_paths(resolve_inputs(workspace, values, spec), spec)
    parsed = parse_spec({"kind": kind, **values})
    workspace.require_data_of(parsed)
    require_teacher(parsed, overrides)
    sentences = without_effect(parsed, overrides)
    if isinstance(parsed, TrainClassifierSpec) and "generated_fraction" in values and (idle := idle_mixture(parsed)):
        sentences.append(f"note: {idle}")
    for sentence in sentences:
        print(f"difrob: {sentence}", file=sys.stderr)
    return parsed


def require_teacher(spec: JobSpec, overrides: list[str]) -> None:
    """Refuse a weight of the alignment that was asked for, but that nothing is aligned by.

    Records and presets name the weight in any case, so that only here it is known to be meant.

    Raises:
        UserError: naming the fields that are missing.
    """
    is_given = "alignment.weight" in _given(overrides)
    if is_given and isinstance(spec, TrainClassifierSpec) and not spec.alignment.is_on and spec.alignment.weight > 0:
        raise UserError(
            f"alignment.weight = {spec.alignment.weight:g} needs a teacher: set alignment.teacher and its run, "
            "alignment.denoiser or alignment.classifier"
        )


def _given(overrides: list[str]) -> set[str]:
    """The fields that overrides name."""
    return {override.partition("=")[0].strip() for override in overrides}


def without_effect(spec: JobSpec, overrides: list[str]) -> list[str]:
    """A sentence for each field that was set but does not matter, since another one has a value without use for it."""
    given = _given(overrides)
    sentences = []
    for path, info in walk_fields(type(spec)):
        group = path.rpartition(".")[0]
        for sibling, wanted in face_of(info).get("shown_when", {}).items():
            other = f"{group}.{sibling}" if group else sibling
            value = value_at(spec, other)
            if path in given and value not in wanted:
                sentences.append(f"note: '{path}' has no effect while {other} = {show(value) or 'none'}")
    return sentences


def submit(workspace: Workspace, run_id: str, spec: JobSpec, device: str, *, resuming: bool, as_json: bool) -> int:
    """Put a run into the queue, starting the supervisor when there is none."""
    from difrob.worker.transport import connect

    with connect(workspace) as connection:
        if resuming:
            connection.call("resume", run_id=run_id)
        else:
            lane = "any" if device == "auto" else device
            entry = {"run_id": run_id, "spec": spec.model_dump(mode="json"), "lane": lane}
            connection.call("submit", entries=[entry])
    if as_json:
        print_json({"run_id": run_id})
    else:
        console.print(f"queued [bold]{run_id}[/bold]; 'difrob queue' shows how it gets on")
    return 0


def run_here(
    workspace: Workspace, run_id: str, spec: JobSpec, device: str, *, resuming: bool, as_json: bool
) -> RunSummary:
    """Run a job in this process. The first Ctrl+C stops at a safe point, the second one at once."""
    from difrob.worker.execution import execute

    control = StopControl()
    report = _JsonReport() if as_json else _ProgressReport(run_id)
    presses = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        grade = "stop" if presses == 1 else "abort"
        threading.Thread(target=control.request, args=(grade,), daemon=True).start()
        report.say(
            "stopping at the next safe point; press Ctrl+C again to leave at once" if presses == 1 else "leaving"
        )

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with report:
            summary = execute(
                workspace, run_id, spec, device=device, control=control, resume=resuming, on_progress=report.progress
            )
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if as_json:
        print_json(summary_as_json(summary, workspace))
    else:
        print_outcome(summary, workspace)
    return summary


def print_outcome(summary: RunSummary, workspace: Workspace) -> None:
    """How a run ended, and its results."""
    reason = escape(f": {summary.reason}") if summary.reason else ""
    title = escape(words.run_title(summary.name, summary.run_id))
    console.print(f"{state_text(summary.state)} [bold]{title}[/bold]{reason}")
    if summary.state is not RunState.FINISHED and (mend := advice(summary.cause)):
        console.print(f"  {mend}")
    for name, measure in summary.results.items():
        details = ", ".join(
            filter(None, [measure.description, f"n = {measure.n}" if measure.n else "", measure.interval])
        )
        console.print(
            f"  {escape(name)}: [bold]{escape(format_measure(measure))}[/bold]"
            + (f"  [dim]{escape(details)}[/dim]" if details else "")
        )
    for line in [line for line in workspace.reader(summary.run_id).log() if line.level == "warning"][-LINES_AT_END:]:
        console.print(f"  {line.level}: {line.text}", markup=False)
    console.print(f"  [dim]{escape(str(workspace.run_path(summary.run_id)))}[/dim]", soft_wrap=True)


def print_fields(spec: type[JobSpec]) -> None:
    """All fields of a kind with defaults, units and help, and its presets."""
    table = Table(
        title=f"{spec.title} ({spec.model_fields['kind'].default})", title_justify="left", box=None, pad_edge=False
    )
    for column in ("field", "default", "unit", "meaning"):
        table.add_column(column, overflow="fold")
    for path, info in walk_fields(spec):
        face = face_of(info)
        if not face:
            continue
        default = default_at(spec, path)
        written = "(required)" if default is ... else "(none)" if default in (None, ()) else str(default)
        if isinstance(default, tuple) and default:
            written = ",".join(show(member) for member in default)
        source = f" [dim]({escape(face['source'])})[/dim]" if face["source"] else ""
        meaning = " ".join(filter(None, [info.description, allowed_values(info)]))
        table.add_row(f"[bold]{path}[/bold]", escape(written) or "''", escape(face["unit"]), escape(meaning) + source)
    console.print(table)
    for preset in list_presets(spec.model_fields["kind"].default):
        console.print(f"preset [bold]{escape(preset.name)}[/bold]: {escape(preset.description)}")


def allowed_values(info: FieldInfo) -> str:
    """The choices of a field that its description does not all name, and its limits, as sentences."""
    choices = choices_of(info.annotation)
    described = re.findall(r"[a-z0-9_]+(?=[:,])", info.description or "")
    several = "One or more of" if get_origin(info.annotation) is tuple else "One of"
    sentences = [f"{several}: {', '.join(choices)}."] if not set(choices) <= set(described) else []
    limits = limits_of(info)
    return " ".join([*sentences, *([f"{limits[0].upper()}{limits[1:]}."] if limits else [])])


class _ProgressReport:
    """A progress bar with time left and the newest metrics."""

    def __init__(self, run_id: str) -> None:
        columns = (
            TextColumn("[bold]{task.description}"), BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[unit]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[headline]}", style="dim"),
        )  # fmt: skip
        self._bar = Progress(*columns, console=console, transient=True)
        self._task: TaskID = self._bar.add_task(run_id[:40], total=None, unit="", headline="")

    def progress(self, sign: SignOfLife) -> None:
        newest = "  ".join(f"{name} {value:.4g}" for name, value in list(sign.headline.items())[:3])
        progress, total = sign.progress, sign.progress.total or None
        self._bar.update(
            self._task,
            completed=progress.done,
            total=total,
            unit=progress.unit,
            headline=escape(sign.waiting or newest),
        )

    def say(self, text: str) -> None:
        self._bar.console.print(text)

    def __enter__(self) -> _ProgressReport:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class _JsonReport:
    """A line of JSON on stderr every second, for machines that watch."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, sign: SignOfLife) -> None:
        if time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            line = {**asdict(sign.progress), "metrics": sign.headline, "waiting": sign.waiting}
            print(json.dumps(line), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)

    def __enter__(self) -> _JsonReport:
        return self

    def __exit__(self, *_: object) -> None:
        pass
