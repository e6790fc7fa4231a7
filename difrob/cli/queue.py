"""``difrob queue`` and ``difrob serve``: the queue of the workspace from the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from difrob import words
from difrob.cli.common import (
    JsonOption,
    WorkspaceOption,
    console,
    find_run,
    open_workspace,
    print_json,
    state_text,
)
from difrob.errors import UserError
from difrob.runs import RunState, Workspace
from difrob.worker.messages import GRADE_LIMITS, Entry, QueueState
from difrob.worker.queue_store import QueueStore
from difrob.worker.transport import Connection, NoSupervisor, connect

queue_app = typer.Typer(
    help="Show and change the queue. Without a further word: show it.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
Run = Annotated[str, typer.Argument(help="Id of an entry, or its beginning or end.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(queue_app, name="queue")
    app.command("serve")(serve)


@queue_app.callback()
def queue(context: typer.Context, workspace_folder: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the queue."""
    context.obj = workspace_folder
    if context.invoked_subcommand is None:
        state = read_state(open_workspace(workspace_folder))
        print_json(state.model_dump(mode="json")) if as_json else print_queue(state)


def read_state(workspace: Workspace) -> QueueState:
    """The state of the queue; without a supervisor, what is on the disk."""
    try:
        with Connection(workspace) as connection:
            return QueueState.model_validate(connection.call("state"))
    except NoSupervisor:
        store = QueueStore(workspace.database)
        try:
            return QueueState(entries=store.load(), **store.settings().model_dump())
        finally:
            store.close()


def print_queue(state: QueueState) -> None:
    """The queue as a table."""
    if not state.pid:
        console.print(
            "[dim]no supervisor runs here just now; one starts with 'difrob run --queue', the window, or 'difrob serve'[/dim]"
        )
    console.print(f"[dim]{settings_text(state)}[/dim]")
    if state.paused:
        console.print("[yellow]the queue is paused: nothing new starts; 'difrob queue go' lets it go on[/yellow]")
    if not state.entries:
        console.print("the queue is empty")
        return
    console.print(_entries_table(state))
    reasons = [(position, entry) for position, entry in enumerate(state.entries, 1) if entry.reason]
    for position, entry in reasons:  # sentences, which want the whole width
        console.print(f"{position} {_state_text(entry)}: {escape(entry.reason)}")


def _entries_table(state: QueueState) -> Table:
    """The entries; columns in which no entry has anything are left out."""
    rows = []
    for position, entry in enumerate(state.entries, 1):
        progress = state.progress.get(entry.run_id)
        rows.append({
            "": str(position), "name": escape(entry.spec.get("name") or ""), "kind": str(entry.spec.get("kind")),
            "priority": str(entry.priority) if entry.priority else "", "state": _state_text(entry),
            "progress": f"{progress.done}/{progress.total}" if progress else "",
            "left": words.duration(progress.seconds_left) if progress else "",
            "lane": ", ".join(entry.on_lanes) or entry.lane, "id": entry.run_id,
        })  # fmt: skip
    table = Table(box=None, pad_edge=False)
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    for name in used:
        table.add_column(name, overflow="fold", no_wrap=name in ("", "left"))
    for row in rows:
        table.add_row(*(row[name] for name in used))
    return table


def settings_text(state: QueueState) -> str:
    """Lanes and settings in one line."""
    lanes = ", ".join(state.lanes) or f"{state.cpu_lanes} for the CPU"
    stuck = "are left alone" if state.stuck_minutes is None else f"are stopped after {state.stuck_minutes:g} min"
    return f"lanes: {lanes} · after a failure: {state.on_failure} · stuck runs {stuck}"


def _state_text(entry: Entry) -> str:
    is_stuck = entry.stuck_since is not None and entry.state.is_live
    return f"{state_text(entry.state)} [red](stuck)[/red]" if is_stuck else state_text(entry.state)


def _call(context: typer.Context, name: str, run: str | None = None, **args: Any) -> Any:
    with connect(open_workspace(context.obj)) as connection:
        if run is not None:
            args["run_id"] = find_entry(connection, run)
        return connection.call(name, **args)


def find_entry(connection: Connection, text: str) -> str:
    """The id of the one entry that ``text`` names. Raises UserError when none or several fit."""
    state = QueueState.model_validate(connection.call("state"))
    names = {entry.run_id: entry.spec.get("name") for entry in state.entries}
    if text in names:
        return text
    fitting = [
        run_id for run_id, name in names.items() if run_id.startswith(text) or run_id.endswith(text) or name == text
    ]
    if len(fitting) != 1:
        raise UserError(f"'{text}' fits {len(fitting)} entries of the queue; 'difrob queue' lists them with their ids")
    return fitting[0]


@queue_app.command("stop")
def stop(
    context: typer.Context,
    run: Run,
    grade: Annotated[
        str, typer.Option("--grade", "-g", help="pause, stop (keep what there is), abort (within 2 s) or kill.")
    ] = "stop",
) -> None:
    """Pause, stop, abort or kill a run; a waiting one is cancelled."""
    if grade not in GRADE_LIMITS:
        raise UserError(f"unknown grade '{grade}'; use one of {', '.join(GRADE_LIMITS)}")
    _call(context, "stop", run, grade=grade)


@queue_app.command("resume")
def resume(context: typer.Context, run: Annotated[str, typer.Argument(help="Id or name of a run.")]) -> None:
    """Let a paused or held run go on, or queue an interrupted, failed or cancelled one again from its checkpoint."""
    workspace = open_workspace(context.obj)
    with connect(workspace) as connection:
        try:
            run_id = find_entry(connection, run)
        except UserError:
            run_id = find_run(workspace, run)
        connection.call("resume", run_id=run_id)


@queue_app.command("remove")
def remove(context: typer.Context, runs: Annotated[list[str], typer.Argument(help="Entries.")]) -> None:
    """Take waiting or ended entries out of the queue; files of runs stay."""
    with connect(open_workspace(context.obj)) as connection:
        connection.call("remove", run_ids=[find_entry(connection, run) for run in runs])


@queue_app.command("move")
def move(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Entries, moved together in their order.")],
    before: Annotated[
        str | None, typer.Option("--before", help="In front of this entry; left out: to the end.")
    ] = None,
) -> None:
    """Move entries in front of another one, or to the end."""
    with connect(open_workspace(context.obj)) as connection:
        target = None if before is None else find_entry(connection, before)
        connection.call("move", run_ids=[find_entry(connection, run) for run in runs], before=target)


@queue_app.command("hold")
def hold(context: typer.Context, run: Run) -> None:
    """Keep a waiting entry back; 'resume' lets it go."""
    _call(context, "hold", run, held=True)


@queue_app.command("pause")
def pause(context: typer.Context) -> None:
    """Start nothing new; what runs goes on."""
    _call(context, "pause_queue", paused=True)


@queue_app.command("go")
def go(context: typer.Context) -> None:
    """Let a paused queue go on."""
    _call(context, "pause_queue", paused=False)


@queue_app.command("policy")
def policy(
    context: typer.Context,
    on_failure: Annotated[str, typer.Argument(help="skip_dependants, stop (pause the queue) or go_on.")],
) -> None:
    """What happens after a run has failed."""
    _call(context, "set_policy", on_failure=on_failure)


@queue_app.command("priority")
def priority(
    context: typer.Context,
    run: Run,
    number: Annotated[int, typer.Argument(help="From -100 to 100; the highest starts first. For -5 write: -- -5.")],
) -> None:
    """Let a waiting entry start before those of lower priority."""
    with connect(open_workspace(context.obj)) as connection:
        connection.call("set_priority", run_ids=[find_entry(connection, run)], priority=number)


@queue_app.command("lanes")
def lanes(
    context: typer.Context,
    cpu: Annotated[int | None, typer.Option("--cpu", help="So many runs may use the CPU at once.")] = None,
) -> None:
    """Show the lanes, or say how many runs may use the CPU at once; what runs goes on."""
    with connect(open_workspace(context.obj)) as connection:
        if cpu is not None:
            connection.call("set_cpu_lanes", count=cpu)
        console.print(", ".join(QueueState.model_validate(connection.call("state")).lanes))


@queue_app.command("stuck-limit")
def stuck_limit(
    context: typer.Context,
    minutes: Annotated[str, typer.Argument(help="Minutes, or 'never'.")],
) -> None:
    """When a run that gives no sign of life is stopped."""
    try:
        value = None if minutes == "never" else float(minutes)
    except ValueError:
        raise UserError(f"'{minutes}' is neither a number of minutes nor 'never'") from None
    _call(context, "set_stuck_minutes", minutes=value)


@queue_app.command("undo")
def undo(context: typer.Context) -> None:
    """Take back the last change to the queue, as far as runs have not started since."""
    _print_reversal("taken back", _call(context, "undo"))


@queue_app.command("redo")
def redo(context: typer.Context) -> None:
    """Do again what 'undo' has taken back."""
    _print_reversal("done again", _call(context, "redo"))


def _print_reversal(what: str, result: dict[str, Any]) -> None:
    console.print(f"{what}: {result['words']}", markup=False)
    for sentence in result["kept"]:
        console.print(f"  {sentence}", markup=False)


@queue_app.command("clear")
def clear(context: typer.Context) -> None:
    """Forget all entries that have ended; files of runs stay."""
    with connect(open_workspace(context.obj)) as connection:
        state = QueueState.model_validate(connection.call("state"))
        ended = [entry.run_id for entry in state.entries if entry.state.is_end and entry.state is not RunState.QUEUED]
        connection.call("remove", run_ids=ended)
        console.print(f"forgot {len(ended)} entries")


def serve(
    workspace_folder: WorkspaceOption = None,
    idle_seconds: Annotated[
        float, typer.Option("--idle-seconds", help="Leave after so long without work and without clients.")
    ] = float("inf"),
) -> int:
    """Run the supervisor of the workspace in this terminal until Ctrl+C; runs that are live go on without it."""
    from difrob.worker.supervisor import serve_workspace

    workspace = open_workspace(workspace_folder)
    console.print(f"serving [bold]{escape(str(workspace.root))}[/bold]; Ctrl+C ends it, live runs go on")
    return serve_workspace(workspace, idle_seconds, idle_seconds)
