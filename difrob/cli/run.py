"""``difrob run``: run one job here and now, or put it into the queue."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

from difrob import words
from difrob.cli.common import (
    JsonOption,
    WorkspaceOption,
    console,
    exit_code,
    find_run,
    format_measure,
    is_given,
    name_missing_runs,
    open_workspace,
    print_json,
    resolve_inputs,
    resolve_paths,
    state_text,
    summary_as_json,
)
from difrob.cli.fields import WAYS, print_fields, print_presets
from difrob.cli.progress import make_report
from difrob.errors import UserError
from difrob.inputs.checks import remarks
from difrob.inputs.facts import InputFacts
from difrob.inputs.fitting import require_fitting_inputs
from difrob.runs import RunState, RunSummary, Workspace, new_run_id
from difrob.runs.causes import advice
from difrob.runs.stop import StopControl
from difrob.signals import ended_by_system
from difrob.signals import exit_code as exit_code_of
from difrob.specs import (
    KINDS,
    JobSpec,
    apply_overrides,
    face_of,
    input_runs,
    load_preset,
    parse_spec,
    spec_class,
    value_at,
    walk_fields,
)
from difrob.specs.words.field_words import show

SUMMARY = "Run one job, in this terminal or through the queue."
LINES_AT_END = 5  # warnings of the log that are repeated below the results


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", cls=RunCommand, help=SUMMARY)(run)


class RunCommand(TyperCommand):
    """The command, whose own help also tells the kinds; they are looked for only then, as packages may bring some."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        kinds = "\n\n".join(f"* {kind}: {spec.summary}" for kind, spec in KINDS.items())
        self.help = f"{SUMMARY}\n\nKinds:\n\n{kinds}"
        super().format_help(ctx, formatter)


def run(
    kind: Annotated[str | None, typer.Argument(help="Job kind; left out with --resume.", show_default=False)] = None,
    part: Annotated[
        str | None, typer.Argument(help="With --fields: only those with this word, e.g. alignment.", show_default=False)
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", help="A preset's name, or the path of its file.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="FIELD=VALUE", help=f"Set a field; may be repeated. {WAYS}"),
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
    old_inputs: Annotated[
        bool,
        typer.Option(
            "--old-inputs",
            help="With --resume: where an input has changed, go on with what the run began with, if that is still kept.",
        ),
    ] = False,
    fields: Annotated[
        bool,
        typer.Option("--fields", help="List the fields of this kind with their meaning, and its presets, then stop."),
    ] = False,
    presets: Annotated[bool, typer.Option("--presets", help="List the presets of this kind, then stop.")] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run one job."""
    if part is not None and not fields:
        how = f"a field is set with --set {part}" if "=" in part else "fields are set with --set FIELD=VALUE"
        raise UserError(f"'{part}' is one word too many; {how}")
    if kind is not None and (fields or presets):
        spec_kind = spec_class(kind)
        if fields:
            print_fields(spec_kind, part or "")
        if presets or not part:
            print_presets(spec_kind)
        return 0
    if old_inputs and (resume is None or queue):
        raise UserError("--old-inputs goes with --resume, and not with --queue")
    workspace = open_workspace(workspace_folder)
    if resume is not None:
        if kind or preset or overrides or name or seed is not None:
            raise UserError("--resume goes on with a run as it was; it takes no kind, preset or fields")
        run_id = find_run(workspace, resume)
        summary = workspace.reader(run_id).summary()
        require_resumable(summary)
        spec = parse_spec(summary.spec)
    elif kind is None:
        raise UserError(f"which kind? One of: {', '.join(KINDS)}")
    else:
        spec = build_spec(workspace, kind, preset, overrides or [], name, seed)
        run_id = new_run_id(spec.kind, spec.name)
        if not queue:  # which itself knows of the runs that wait in it
            require_fitting_inputs(InputFacts(workspace), spec)
            tell_unfinished_inputs(workspace, spec)
    workspace.require_writable()
    if queue:
        return submit(workspace, run_id, spec, device, resuming=resume is not None, as_json=as_json)
    return run_here(
        workspace, run_id, spec, device, resuming=resume is not None, old_inputs=old_inputs, as_json=as_json
    )


def tell_unfinished_inputs(workspace: Workspace, spec: JobSpec) -> None:
    """Say which runs that this one reads have not finished; the queue would wait for them."""
    for run_id in dict.fromkeys(input_runs(spec).values()):
        state = workspace.reader(run_id).summary().state
        if state is not RunState.FINISHED:
            print(
                f"difrob: note: run '{run_id}' has not finished ({state}); what it holds now is taken. With --queue this run "
                "would wait for it",
                file=sys.stderr,
            )


def require_resumable(summary: RunSummary) -> None:
    """Raise UserError for a run that is live or has finished, saying what to do instead."""
    run_id = summary.run_id
    if summary.state == RunState.FINISHED:
        raise UserError(
            f"run '{run_id}' is finished, there is nothing to go on with; 'difrob show {run_id}' shows its results, and "
            f"'difrob run {summary.kind} --set ...' starts another one with the fields that are listed there"
        )
    if summary.state.is_live:
        mend = (
            "'difrob queue resume' lets it go on"
            if summary.state == RunState.PAUSED
            else "wait for it, or stop it first"
        )
        raise UserError(
            f"run '{run_id}' is {summary.state}; only an interrupted, failed or cancelled run resumes: {mend}"
        )


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
    try:
        parsed = parse_spec({"kind": kind, **values})
    except UserError as error:
        raise UserError(name_missing_runs(str(error), values, spec)) from None
    workspace.require_data_of(parsed)
    asked = _given(overrides)
    stated = {path for path, _ in walk_fields(spec) if is_given(values, path)}
    for sentence in [*without_effect(parsed, asked), *remarks.of(spec)(parsed, asked, stated)]:
        print(f"difrob: note: {sentence}", file=sys.stderr)
    return parsed


def _given(overrides: list[str]) -> set[str]:
    """The fields that overrides name."""
    return {override.partition("=")[0].strip() for override in overrides}


def without_effect(spec: JobSpec, given: set[str]) -> list[str]:
    """A sentence for each field that was set but does not matter, since another one has a value without use for it."""
    sentences = []
    for path, info in walk_fields(type(spec)):
        group = path.rpartition(".")[0]
        for sibling, wanted in face_of(info).get("shown_when", {}).items():
            other = f"{group}.{sibling}" if group else sibling
            value = value_at(spec, other)
            if path in given and value not in wanted:
                sentences.append(f"'{path}' has no effect while {other} = {show(value) or 'none'}")
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
    workspace: Workspace,
    run_id: str,
    spec: JobSpec,
    device: str,
    *,
    resuming: bool,
    as_json: bool,
    old_inputs: bool = False,
) -> int:
    """Run a job in this process. The first Ctrl+C stops at a safe point, the second one at once.

    Returns:
        The exit code: that of the signal where one came before the first step, else that of the run's state.
    """
    with ended_by_system():
        from difrob.worker.execution import execute
    done_before = workspace.reader(run_id).summary().progress.done if resuming else 0
    control = StopControl()
    report = make_report(run_id, as_json=as_json)
    presses = signalled = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal presses, signalled
        presses += 1
        signalled = number
        grade = "stop" if presses == 1 else "abort"
        threading.Thread(target=control.request, args=(grade,), daemon=True).start()
        report.say(
            "stopping at the next safe point; press Ctrl+C again to leave at once" if presses == 1 else "leaving"
        )

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with report:
            summary = execute(
                workspace, run_id, spec, device=device, control=control, resume=resuming, on_progress=report.progress,
                old_inputs=old_inputs,
            )  # fmt: skip
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if as_json:
        print_json(summary_as_json(summary, workspace))
    else:
        print_outcome(summary, workspace)
    has_begun = summary.progress.done > done_before
    return exit_code(summary.state) if has_begun or not signalled else exit_code_of(signalled)


def print_outcome(summary: RunSummary, workspace: Workspace) -> None:
    """How a run ended, and its results."""
    reason = escape(f": {summary.reason}") if summary.reason else ""
    title = escape(words.run_title(summary.name, summary.run_id))
    console.print(f"{state_text(summary.state)} [bold]{title}[/bold]{reason}")
    if summary.state is not RunState.FINISHED and (mend := advice(summary.cause)):
        console.print(f"  {mend}")
    for name, measure in summary.results.items():
        details = ", ".join(filter(None, [measure.sentence, f"n = {measure.n}" if measure.n else "", measure.interval]))
        console.print(
            f"  {escape(name)}: [bold]{escape(format_measure(measure))}[/bold]"
            + (f"  [dim]{escape(details)}[/dim]" if details else "")
        )
    for line in [line for line in workspace.reader(summary.run_id).log() if line.level == "warning"][-LINES_AT_END:]:
        console.print(f"  {line.level}: {line.text}", markup=False)
    console.print(f"  [dim]{escape(str(workspace.run_path(summary.run_id)))}[/dim]", soft_wrap=True)
