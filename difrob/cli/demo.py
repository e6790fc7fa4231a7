"""``difrob demo``: the whole story on 200 real handwritten digits, through the queue and a worker."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from difrob import words
from difrob.cli.common import (
    EXIT_FAILED,
    JsonOption,
    WorkspaceOption,
    console,
    open_workspace,
    print_json,
    state_text,
)
from difrob.errors import UserError
from difrob.runs import Measure, RunState, Workspace, new_run_id
from difrob.specs import JobSpec, load_preset, parse_spec
from difrob.system import has_display, missing_qt_libraries
from difrob.worker.messages import Entry, QueueState
from difrob.worker.transport import Connection, connect

REPORTED = {
    "clean_accuracy": "clean", "robust_accuracy": "robust", "average_certified_radius": "average certified radius",
}  # fmt: skip


@dataclass
class Pipeline:
    """Runs that build on each other, with ids chosen in advance so that one can name another."""

    entries: dict[str, tuple[str, JobSpec]] = field(default_factory=dict)

    def add(self, key: str, preset: str, name: str, **inputs: str) -> str:
        """Add a run from a preset; ``inputs`` are fields that name earlier runs. Returns its id."""
        chosen = load_preset(preset)
        spec = parse_spec({"kind": chosen.kind, **chosen.spec, "name": name, **inputs})
        self.entries[key] = (new_run_id(spec.kind, name), spec)
        return self.entries[key][0]

    def requests(self) -> list[dict[str, Any]]:
        """What the supervisor is asked to submit."""
        return [{"run_id": run_id, "spec": spec.model_dump(mode="json")} for run_id, spec in self.entries.values()]

    @property
    def run_ids(self) -> list[str]:
        """Ids in order."""
        return [run_id for run_id, _ in self.entries.values()]


def demo_pipeline() -> Pipeline:
    """Denoiser, 5,000 digits, two classifiers (real only, real + generated), both evaluated, both certified."""
    pipeline = Pipeline()
    denoiser = pipeline.add("denoiser", "digits-200-denoiser", "Diffusion model, 200 digits")
    generated = pipeline.add("generated", "digits-generate-5000", "5,000 generated digits", denoiser=denoiser)
    arms = {
        "real": pipeline.add("real", "digits-200-trades", "TRADES, 200 real"),
        "mixed": pipeline.add("mixed", "digits-200-trades", "TRADES, 200 real + generated", generated=generated),
    }
    labels = {"real": "200 real", "mixed": "200 real + generated"}
    for arm, classifier in arms.items():
        pipeline.add(f"{arm} attacked", "digits-evaluate", f"Attacked: {labels[arm]}", classifier=classifier)
    for arm, classifier in arms.items():
        pipeline.add(
            f"{arm} certified",
            "digits-certify",
            f"Certified: {labels[arm]}",
            classifier=classifier,
            denoiser=denoiser,
        )
    return pipeline


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Show no window, even where there is a display.")
    ] = False,
    workspace_folder: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> int:
    """Train, generate, attack and certify on real digits; a few minutes on two CPU cores.

    Ends with a table of results with intervals, and screenshots of the window in the workspace.
    """
    workspace = open_workspace(workspace_folder)
    workspace.require_writable()
    window = None if headless else open_window(workspace, quiet=as_json)
    began = time.monotonic()
    pipeline = demo_pipeline()
    with connect(workspace) as connection:
        connection.call("submit", entries=pipeline.requests())
        connection.call("pause_queue", paused=False)
        failed = follow(connection, pipeline.run_ids, quiet=as_json)
    took = time.monotonic() - began
    if failed is not None:
        why = escape(f"{failed.spec.get('name')}: {failed.reason}")
        console.print(f"{state_text(failed.state)} {why}")
        console.print(f"'difrob show {failed.run_id} --log' tells more")
        return EXIT_FAILED
    screenshots = take_screenshots(workspace, pipeline)
    report = {
        "seconds": round(took, 1), "workspace": str(workspace.root), "screenshots": screenshots,
        "results": {arm: results_of(workspace, pipeline, arm) for arm in ("real", "mixed")},
    }  # fmt: skip
    if as_json:
        print_json(report)
    else:
        print_report(workspace, pipeline, took, screenshots)
        if window is None and not headless:
            console.print(
                f"open the window with [bold]difrob gui --workspace {escape(str(workspace.root))}[/bold]",
                soft_wrap=True,
            )
    return 0


def open_window(workspace: Workspace, *, quiet: bool) -> subprocess.Popen[bytes] | None:
    """Open the window on the workspace where that is possible; None where it is not."""
    if not has_display() or importlib.util.find_spec("PySide6") is None or missing_qt_libraries(for_window=True):
        if not quiet:
            console.print("[dim]no window here ('difrob doctor' says why); progress follows below[/dim]")
        return None
    command = [sys.executable, "-P", "-m", "difrob_gui", "--workspace", str(workspace.root), "--follow"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def follow(connection: Connection, run_ids: list[str], *, quiet: bool) -> Entry | None:
    """Show how the runs get on until all have ended; returns the first that ended badly, and cancels what needs it."""
    with Live(console=console, refresh_per_second=4, transient=False) if not quiet else _Silence() as live:
        while True:
            state = QueueState.model_validate(connection.call("state"))
            entries = {entry.run_id: entry for entry in state.entries if entry.run_id in run_ids}
            live.update(progress_table([entries[run_id] for run_id in run_ids if run_id in entries], state))
            bad = next((e for e in entries.values() if e.state.is_end and e.state is not RunState.FINISHED), None)
            if bad is not None:
                for entry in entries.values():
                    if not entry.state.is_end:
                        connection.call("stop", run_id=entry.run_id, grade="stop")
                return bad
            if all(entry.state is RunState.FINISHED for entry in entries.values()) and len(entries) == len(run_ids):
                return None
            time.sleep(0.25)


class _Silence:
    """Stands in for the live display when a machine reads the output."""

    def update(self, renderable: object) -> None:
        pass

    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def progress_table(entries: list[Entry], state: QueueState) -> Table:
    """The pipeline as it stands."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "state", "progress", "left", "newest numbers"):
        table.add_column(column)
    for entry in entries:
        live = state.progress.get(entry.run_id)
        newest = "  ".join(f"{name} {value:.3g}" for name, value in list((live.headline if live else {}).items())[:3])
        table.add_row(
            str(entry.spec.get("name")), state_text(entry.state), f"{live.done}/{live.total} {live.unit}" if live else "",
            words.duration(live.seconds_left) if live and live.seconds_left is not None else "", f"[dim]{newest}[/dim]",
        )  # fmt: skip
    return table


def results_of(workspace: Workspace, pipeline: Pipeline, arm: str) -> dict[str, Any]:
    """The results of one classifier, from its evaluation and its certification."""
    found: dict[str, Measure] = {}
    for key in (f"{arm} certified", f"{arm} attacked"):
        found |= workspace.reader(pipeline.entries[key][0]).summary().results
    return {name: found[name].__dict__ for name in REPORTED if name in found}


def print_report(workspace: Workspace, pipeline: Pipeline, took: float, screenshots: list[str]) -> None:
    """The table at the end, every number with its interval and what it is."""
    console.print()
    table = Table(title=f"600 real test digits, after {words.duration(took)}", title_justify="left")
    table.add_column("trained on")
    results = {arm: results_of(workspace, pipeline, arm) for arm in ("real", "mixed")}
    for label in REPORTED.values():
        table.add_column(label, justify="right")
    for arm, label in (("real", "200 real digits"), ("mixed", "200 real + 5,000 generated")):
        table.add_row(label, *(_cell(Measure(**results[arm][name])) for name in REPORTED))
    console.print(table)
    for name, label in REPORTED.items():
        measure = Measure(**results["real"][name])
        console.print(f"[dim]{label}: {measure.sentence} (n = {measure.n}, {measure.interval})[/dim]")
    for path in screenshots:
        console.print(f"screenshot {path}", soft_wrap=True, markup=False)


def _cell(measure: Measure) -> str:
    """A number over its interval; the unit stands below the table."""
    return f"{words.number(measure.value, measure.unit)}\n{words.interval(measure)}"


def take_screenshots(workspace: Workspace, pipeline: Pipeline) -> list[str]:
    """Pictures of Monitor and Compare, drawn off the screen in a process of their own; empty without Qt."""
    if importlib.util.find_spec("PySide6") is None or missing_qt_libraries(for_window=False):
        return []
    folder = workspace.root / "screenshots"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [
        sys.executable,
        "-P",
        "-m",
        "difrob_gui.screenshots",
        "--workspace",
        str(workspace.root),
        "--out",
        str(folder),
    ]
    command += ["--monitor", pipeline.entries["mixed"][0], "--pages", "monitor,compare", "--theme", "light"]
    for key in ("real attacked", "mixed attacked", "real certified", "mixed certified"):
        command += ["--compare", pipeline.entries[key][0]]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if process.returncode:
        raise UserError(f"the screenshots could not be taken: {(process.stderr.strip().splitlines() or ['?'])[-1]}")
    return [line for line in process.stdout.splitlines() if line.endswith(".png")]
