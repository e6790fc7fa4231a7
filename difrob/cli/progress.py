"""How ``difrob run`` tells how a run gets on: a bar on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from difrob import words
from difrob.cli.common import console
from difrob.runs.records import SignOfLife

LINE_SECONDS = 10.0  # between two plain lines
NEWEST = 3  # metrics beside the progress


def make_report(run_id: str, *, as_json: bool) -> BarReport | LineReport | JsonReport:
    """The report that suits where the output goes."""
    if as_json:
        return JsonReport()
    return BarReport(run_id) if console.is_terminal else LineReport(run_id)


def _newest(sign: SignOfLife) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in list(sign.headline.items())[:NEWEST])


class BarReport:
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
        progress, total = sign.progress, sign.progress.total or None
        self._bar.update(
            self._task,
            completed=progress.done,
            total=total,
            unit=progress.unit,
            headline=escape(sign.waiting or _newest(sign)),
        )

    def say(self, text: str) -> None:
        self._bar.console.print(text)

    def __enter__(self) -> BarReport:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class LineReport:
    """A plain line on stderr every ten seconds, for a log or a pipe, where a bar would leave nothing behind."""

    def __init__(self, run_id: str) -> None:
        self._name = run_id
        self._last = time.monotonic()

    def progress(self, sign: SignOfLife) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self.say(progress_line(self._name, sign))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> LineReport:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def progress_line(name: str, sign: SignOfLife) -> str:
    """Where a run stands in one line, e.g. ``a-run: 120/600 steps, 40 s left, loss 0.31``."""
    progress = sign.progress
    total = f"/{progress.total}" if progress.total else ""
    left = "" if progress.seconds_left is None else f"{words.duration(progress.seconds_left)} left"
    done = f"{progress.done}{total} {progress.unit}".strip()
    return f"{name}: " + ", ".join(filter(None, [done, left, sign.waiting or _newest(sign)]))


class JsonReport:
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

    def __enter__(self) -> JsonReport:
        return self

    def __exit__(self, *_: object) -> None:
        pass
