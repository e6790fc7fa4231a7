"""How much work a start takes: the help, the list of runs, and the window up to its first painted rows.

Run as ``python tests/benchmarks/bench_start.py``. What counts is CPU time of the process, user and system, of all its threads;
it depends less on what else the machine does than the clock on the wall. As machines differ, the same is measured for
``pip --version`` and for a Python that does nothing, and the goals, which are for a machine on which pip takes
0.55 s, are held against what this machine takes for it. Each figure is the least of several turns, the first of which
writes the bytecode for the others, as any first start does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from difrob.runs import Workspace

PIP_SECONDS = 0.55
"""CPU seconds of ``pip --version`` on the machine for which the goals were set."""
GOAL_HELP, GOAL_RUNS, GOAL_WINDOW = 0.4, 0.7, 1.5
FEW = 20
"""Runs of which a list fills a screen; a list of a thousand is mostly the drawing of a table a thousand lines long."""
LIMIT_SECONDS = 120
MISSED: list[str] = []  # what did not reach its goal


def cpu_seconds(command: list[str], turns: int, bytecode: Path) -> float:
    """CPU seconds of a command and all that it waited for, the least of several turns.

    Raises:
        SystemExit: when the command fails.
    """
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for _ in range(1 + turns):
        process = os.posix_spawn(command[0], command, environment, file_actions=silent)
        _, status, usage = os.wait4(process, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
        found.append(usage.ru_utime + usage.ru_stime)
    return min(found)


def open_window(root: Path) -> None:
    """Be the window on a workspace, up to the moment at which the first rows of its table have been painted."""
    from difrob_gui.app import import_window, nothing_thrown_away

    with tempfile.TemporaryDirectory() as settings:
        with nothing_thrown_away():
            import_window()
            from PySide6.QtCore import QEvent, QObject, QTimer
            from PySide6.QtWidgets import QApplication

            from difrob_gui.app import compose_window
            from difrob_gui.settings import WindowSettings

            app = QApplication([])
            window = compose_window(Workspace(root), WindowSettings(Path(settings) / "window.ini"), autostart=False)

            class Watch(QObject):
                """Leaves at once when rows have been painted; what closing costs is no part of a start."""

                def eventFilter(self, watched: QObject, event: QEvent) -> bool:
                    if event.type() is QEvent.Type.Paint and window.runs.model.rowCount():
                        QTimer.singleShot(0, lambda: os._exit(0))
                    return False

            watch = Watch()
            window.runs.table.viewport().installEventFilter(watch)
            QTimer.singleShot(LIMIT_SECONDS * 1000, app.quit)
            window.show()
            window.start()
        app.exec()
    raise SystemExit("no row was painted")


def show(what: str, seconds: float, pip: float, goal: float | None = None) -> None:
    """A line of the table."""
    verdict = ""
    if goal is not None:
        is_met = seconds / pip <= goal / PIP_SECONDS
        verdict = f"  goal {goal:g} s where pip takes {PIP_SECONDS:g}: {'met' if is_met else 'MISSED'}"
        if not is_met:
            MISSED.append(what)
    print(f"{what:<36}{seconds:>8.2f} s{seconds / pip:>8.2f}x pip{seconds / pip * PIP_SECONDS:>7.2f} s{verdict}")


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--window", type=Path, help="be the window on this workspace (used by the benchmark itself)")
    arguments = parser.parse_args()
    if arguments.window:
        open_window(arguments.window)
    from bench_runs_table import make_workspace  # not in the window, which would import the recorder for it

    python, count = sys.executable, arguments.runs
    with tempfile.TemporaryDirectory(prefix="difrob-bench-") as folder:

        def spent(*words: str) -> float:
            return cpu_seconds([python, *words], arguments.turns, Path(folder) / "bytecode")

        few, many = (make_workspace(Path(folder) / name, runs) for name, runs in (("few", FEW), ("many", count)))
        for workspace in (few, many):
            workspace.summaries()  # writes the index
        pip = spent("-m", "pip", "--version")
        print(f"{'':<36}{'CPU time':>10}{'':>13}{'there':>9}")
        show("python -c pass", spent("-c", "pass"), pip)
        show("pip --version", pip, pip)
        show("difrob --help", spent("-m", "difrob", "--help"), pip, GOAL_HELP)
        for workspace, runs, goal in ((few, FEW, GOAL_RUNS), (many, count, None)):
            listed = spent("-m", "difrob", "runs", "--workspace", str(workspace.root))
            show(f"difrob runs, {runs:,} runs", listed, pip, goal)
        if find_spec("PySide6") is not None:
            painted = spent(__file__, "--window", str(many.root))
            show(f"window to first rows, {count:,} runs", painted, pip, GOAL_WINDOW)
    return int(bool(MISSED))


if __name__ == "__main__":
    sys.exit(main())
