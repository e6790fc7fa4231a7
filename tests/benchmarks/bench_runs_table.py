"""How soon the runs table is there with ten thousand runs. Run as ``python tests/benchmarks/bench_runs_table.py``.

The window is a process of its own, offscreen; its time runs from ``show`` until rows have been painted. Beside it stands the
same for a workspace with one run: what the window takes anyway. Times are the best of several turns.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from difrob.runs import RunState, Workspace
from difrob.runs.damage.seal import seal_of
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainDenoiserSpec

TEMPLATE = "20260101T000000Z-template-000000"
MISSED: list[str] = []  # what did not reach its goal
GOAL_COLD, GOAL_INDEXED = 2.0, 0.5
LIMIT_SECONDS = 300


def small_run(workspace: Workspace) -> bytes:
    """The file of a small finished run, without its seal."""
    run = RunRecorder(workspace, TEMPLATE, TrainDenoiserSpec(name="copied many times"))
    for step in range(100):
        run.metric("loss", step, 0.1 * step)
    run.finish(RunState.FINISHED)
    path = workspace.run_path(TEMPLATE)
    data = path.read_bytes()
    path.unlink()
    return data[: len(data) - len(seal_of(io.BytesIO(data), len(data), []))]


def make_workspace(root: Path, count: int) -> Workspace:
    """A workspace with so many copies of a small run, each under its own id."""
    workspace = Workspace(root)
    data = small_run(workspace)
    for number in range(count):
        run_id = f"20260101T000000Z-template-{number:06d}"  # as long as the template's, so nothing moves in the file
        named = data.replace(TEMPLATE.encode(), run_id.encode())
        workspace.run_path(run_id).write_bytes(named + seal_of(io.BytesIO(named), len(named), []))
    forget_index(workspace)
    return workspace


def forget_index(workspace: Workspace) -> None:
    """What a deleted ``workspace.db`` leaves."""
    for path in workspace.root.glob("workspace.db*"):
        path.unlink()


def best(turns: int, work: Callable[[], float]) -> float:
    """The least of what several turns give."""
    return min(work() for _ in range(turns))


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def window_seconds(workspace: Workspace) -> dict[str, float]:
    """Seconds from the window's ``show`` until its first rows, and until all of them, have been painted."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, __file__, "--window", str(workspace.root)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if answer.returncode:
        raise SystemExit(f"the window failed: {answer.stderr.strip()}")
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def open_window(root: Path) -> int:
    """Be that window: show, wait for painted rows, print the seconds."""
    from PySide6.QtCore import QEvent, QObject, QTimer
    from PySide6.QtWidgets import QApplication

    from difrob_gui.app import compose_window
    from difrob_gui.settings import WindowSettings

    workspace = Workspace(root, create=False)
    count = sum(name.endswith(".h5") for name in os.listdir(workspace.runs_folder))
    app = QApplication([])
    with tempfile.TemporaryDirectory() as settings:
        window = compose_window(
            workspace, WindowSettings(Path(settings) / "window.ini"), autostart=False, theme="light"
        )
        painted: dict[str, float] = {}

        class Watch(QObject):
            """Notes the first paint with rows, and the first with all of them."""

            def eventFilter(self, watched: QObject, event: QEvent) -> bool:
                if event.type() is QEvent.Type.Paint:
                    rows = window.runs.model.rowCount()
                    QTimer.singleShot(0, lambda: self.note(rows))  # when it has been painted
                return False

            def note(self, rows: int) -> None:
                if rows:
                    painted.setdefault("first", time.perf_counter() - began)
                if rows == count:
                    painted.setdefault("all", time.perf_counter() - began)
                    app.quit()

        watch = Watch()
        window.runs.table.viewport().installEventFilter(watch)
        QTimer.singleShot(LIMIT_SECONDS * 1000, app.quit)
        began = time.perf_counter()
        window.show()
        window.start()
        app.exec()
        window.close()
        print(json.dumps(painted))
    return 0 if "all" in painted else 1


def show(what: str, seconds: float, floor: float, floor_is: str, goal: float | None = None) -> None:
    verdict = "" if goal is None else f"  goal {goal:g} s: {'met' if seconds < goal else 'MISSED'}"
    if goal is not None and seconds >= goal:
        MISSED.append(what)
    print(f"{what:<52}{seconds * 1e3:>9,.0f} ms{floor * 1e3:>9,.0f} ms{seconds / floor:>8.1f}x  {floor_is}{verdict}")


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--window", type=Path, help="be the window on this workspace (used by the benchmark itself)")
    arguments = parser.parse_args()
    if arguments.window:
        return open_window(arguments.window)
    print(f"{'':<52}{'measured':>12}{'floor':>12}")
    with tempfile.TemporaryDirectory(prefix="difrob-bench-") as folder:
        workspace = make_workspace(Path(folder) / "many", arguments.runs)
        single = make_workspace(Path(folder) / "single", 1)
        bench_summaries(workspace, arguments.runs, arguments.turns)
        with suppress(ModuleNotFoundError):
            import PySide6  # noqa: F401 - the window needs it, the list does not

            bench_window(workspace, single, arguments.runs, arguments.turns)
    return int(bool(MISSED))


def bench_summaries(workspace: Workspace, count: int, turns: int) -> None:
    """``Workspace.summaries()`` of a fresh process: without an index, with one, and once more."""

    def listed() -> float:
        def work() -> None:
            assert len(Workspace(workspace.root).summaries()) == count

        return seconds_of(work)

    def unlisted() -> float:
        forget_index(workspace)
        return listed()

    floor = best(3, lambda: seconds_of(lambda: [entry.stat() for entry in os.scandir(workspace.runs_folder)]))
    floor_is = "scandir and stat"
    show(f"summaries of {count:,} runs without an index", best(min(turns, 2), unlisted), floor, floor_is)
    show(f"summaries of {count:,} runs with the index", best(turns, listed), floor, floor_is)
    opened = Workspace(workspace.root)
    opened.summaries()
    show(f"summaries of {count:,} runs again", best(turns, lambda: seconds_of(opened.summaries)), floor, floor_is)


def bench_window(workspace: Workspace, single: Workspace, count: int, turns: int) -> None:
    """First painted rows of the real window."""
    floor = best(turns, lambda: window_seconds(single)["first"])
    floor_is = "the same with one run"

    def cold() -> dict[str, float]:
        forget_index(workspace)
        return window_seconds(workspace)

    found = [cold() for _ in range(min(turns, 2))]
    show("first rows painted, no index", min(f["first"] for f in found), floor, floor_is, GOAL_COLD)
    show(f"all {count:,} rows painted, no index", min(f["all"] for f in found), floor, floor_is)
    found = [window_seconds(workspace) for _ in range(turns)]
    show("first rows painted, valid index", min(f["first"] for f in found), floor, floor_is, GOAL_INDEXED)
    show(f"all {count:,} rows painted, valid index", min(f["all"] for f in found), floor, floor_is)


if __name__ == "__main__":
    sys.exit(main())
