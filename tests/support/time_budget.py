"""What the tests cost: who are the slowest, how much they take together, and which files had best begin first.

A pytest plugin. It counts CPU time, of the test's process and of the processes that the test has waited for: what another
program does on the same machine changes the wall time of a test, hardly its CPU time. Nothing fails for being slow; the end
of a run says so loudly.

``tests/durations.json`` has seconds of CPU time: of every test that takes ``WORTH_A_LINE`` or longer, and under the name of a
file what its other tests take together. Side by side (``pytest -n 2 --dist loadfile``) the files that take longest begin
first, so that no process is left alone with a long file at the end. ``make durations`` measures anew.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DURATIONS = ROOT / "tests" / "durations.json"
WORTH_A_LINE = 0.3
SLOWEST = 15
CORES = 2
BUDGET = 10 * 60.0 * CORES
"""CPU seconds that a run of all tests may take: ten minutes on two cores."""


def cpu_seconds() -> float:
    """CPU time of this process and of those it has waited for, since it began."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def file_of(node: str) -> str:
    """The file of a test, as its name begins."""
    return node.split("::")[0]


def seconds_by_file(durations: Mapping[str, float]) -> dict[str, float]:
    """What all tests of a file take together."""
    sums: dict[str, float] = defaultdict(float)
    for name, seconds in durations.items():
        sums[file_of(name)] += seconds
    return dict(sums)


def longest_first(nodes: list[str], durations: Mapping[str, float]) -> list[int]:
    """The places of the tests in the order in which they should begin: files that take longest first, each file in one piece.

    Files without a known duration are new and come first: they may be long.
    """
    sums = seconds_by_file(durations)
    first_places: dict[str, int] = {}
    for place, node in enumerate(nodes):
        first_places.setdefault(file_of(node), place)

    def rank(place: int) -> tuple[float, int, int]:
        file = file_of(nodes[place])
        return -sums.get(file, float("inf")), first_places[file], place

    return sorted(range(len(nodes)), key=rank)


def renewed(old: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """The durations with those of all measured files replaced; files that are gone fall out.

    ``measured`` has the seconds of single tests.
    """
    files = {file_of(node) for node in measured}
    lines = {name: seconds for name, seconds in old.items() if file_of(name) not in files}
    rest = dict.fromkeys(files, 0.0)
    for node, seconds in measured.items():
        if round(seconds, 1) >= WORTH_A_LINE:
            lines[node] = round(seconds, 1)
        else:
            rest[file_of(node)] += seconds
    lines |= {file: round(seconds, 1) for file, seconds in rest.items()}
    return {name: lines[name] for name in sorted(lines) if (ROOT / file_of(name)).is_file()}


def closing_lines(measured: Mapping[str, float], whole: float) -> list[str]:
    """What is said at the end of a run: the slowest tests, and the sum against the budget."""
    slowest = sorted(measured.items(), key=lambda pair: -pair[1])[:SLOWEST]
    lines = [f"{seconds:7.1f} s  {node}" for node, seconds in slowest if seconds >= WORTH_A_LINE]
    line = f"{whole:.0f} CPU seconds of the {BUDGET:.0f} that {CORES} cores have in {BUDGET / CORES / 60:.0f} minutes"
    if whole > BUDGET:
        line = f"TOO SLOW: {line}. Make the slowest tests cheaper before new ones come."
    return [*lines, line]


class TimeBudget:
    """Adds up what the tests of a run take, in all its processes."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.measured: dict[str, float] = defaultdict(float)
        self._since = cpu_seconds()

    @property
    def is_worker(self) -> bool:
        """Whether another process distributes the tests and says what they took."""
        return hasattr(self.config, "workerinput")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.is_worker and DURATIONS.is_file():
            order = longest_first([item.nodeid for item in items], json.loads(DURATIONS.read_text()))
            items[:] = [items[place] for place in order]

    def pytest_runtest_logstart(self) -> None:
        self._since = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        now = cpu_seconds()
        report.cpu_seconds = now - self._since  # travels to the process that says it
        self._since = now
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.measured[report.nodeid] += getattr(report, "cpu_seconds", 0.0)

    def pytest_sessionfinish(self) -> None:
        if not self.is_worker and self.config.getoption("--record-durations"):
            old = json.loads(DURATIONS.read_text()) if DURATIONS.is_file() else {}
            DURATIONS.write_text(json.dumps(renewed(old, self.measured), indent=0, ensure_ascii=False) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.measured:
            terminalreporter.section("what the tests cost")
            for line in closing_lines(self.measured, cpu_seconds()):
                terminalreporter.line(line, red=line.startswith("TOO SLOW"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-durations", action="store_true", help="write what the tests took to tests/durations.json"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(TimeBudget(config), "time-budget")
