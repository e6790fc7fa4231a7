"""How long a supervisor with a large queue keeps its clients waiting, and how long it takes to take thousands of runs.

Run as ``python tests/benchmarks/bench_queue.py``. A real supervisor serves a paused queue; its clients watch and ask in turn.
What counts for an answer is the CPU time of the supervisor's process from one request to the next, so all that it does in
between counts as well: events for those who watch, and ticks. A submission is timed by the clock on the wall, from the
request to the answer: it contains the write to the disk.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from difrob.errors import UserError
from difrob.runs import Workspace
from difrob.worker.transport import Connection, connect

GOAL_ANSWER_MS, GOAL_SUBMIT_SECONDS = 100.0, 2.0
SPEC = {"kind": "train_classifier", "steps": 10}
MISSED: list[str] = []  # what did not reach its goal


def cpu_clock(pid: int) -> Callable[[], float]:
    """What reads the CPU seconds of a process: to the nanosecond on Linux, elsewhere as fine as the system counts them."""
    if sys.platform == "linux":
        clock = (~pid << 3) | 2  # as clock_getcpuclockid(3) makes it
        return lambda: time.clock_gettime(clock)
    process = psutil.Process(pid)
    return lambda: sum(process.cpu_times()[:2])


def wishes(chance: random.Random, run_ids: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """What clients ask for: mostly the state, and every change that a person makes."""
    one, other = chance.sample(run_ids, 2)
    some = chance.sample(run_ids, 50)
    fresh = {"spec": {**SPEC, "name": "one more"}, "after": [one]}
    return [
        ("state", {}), ("state", {}), ("state", {}), ("hold", {"run_id": one, "held": chance.random() < 0.5}),
        ("set_priority", {"run_ids": some, "priority": chance.randint(-5, 5)}),
        ("move", {"run_ids": [one], "before": other}), ("duplicate", {"run_id": other}),
        ("edit", {"run_id": one, "spec": {**SPEC, "steps": chance.randint(1, 999)}}),
        ("submit", {"entries": [fresh]}), ("undo", {}), ("redo", {}), ("pause_queue", {"paused": True}),
    ]  # fmt: skip


def ask_in_turn(workspace: Workspace, clients: int, answers: int) -> dict[str, list[float]]:
    """CPU milliseconds of the supervisor for each answer, by call."""
    chance = random.Random(0)
    spent: dict[str, list[float]] = defaultdict(list)
    connections = [Connection(workspace) for _ in range(clients)]
    try:
        for connection in connections:
            connection.call("watch")
        state = connections[0].call("state")
        clock, run_ids = cpu_clock(state["pid"]), [entry["run_id"] for entry in state["entries"]]
        before = clock()
        for number in range(answers):
            connection = connections[number % clients]
            name, args = chance.choice(wishes(chance, run_ids))
            with suppress(UserError):  # nothing left to do again, say: a refusal is an answer too
                connection.call(name, **args)
            connection.events.clear()
            before, earlier = clock(), before
            spent[name].append(1000 * (before - earlier))
    finally:
        for connection in connections:
            connection.close()
    return spent


def show(what: str, value: float, unit: str, goal: float | None = None) -> None:
    """A line of the table."""
    verdict = ""
    if goal is not None:
        verdict = f"  goal {goal:g} {unit}: {'met' if value <= goal else 'MISSED'}"
        if value > goal:
            MISSED.append(what)
    print(f"{what:<44}{value:>9.2f} {unit}{verdict}", flush=True)


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--answers", type=int, default=600)
    parser.add_argument("--submitted", type=int, default=2000)
    parser.add_argument(
        "--workspace", type=Path, help="a folder on the disk to be measured; a temporary one by default"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="difrob-bench-", dir=arguments.workspace) as folder:
        workspace = Workspace(Path(folder) / "workspace")
        with connect(workspace) as connection:
            process = psutil.Process(connection.call("state")["pid"])
            connection.call("pause_queue", paused=True)
            clock, count = cpu_clock(process.pid), arguments.submitted
            entries = [{"spec": {**SPEC, "name": f"run {number}"}} for number in range(count)]
            began, before = time.perf_counter(), clock()
            connection.call("submit", entries=entries)
            show(f"submit {count:,} runs, wall clock", time.perf_counter() - began, "s", GOAL_SUBMIT_SECONDS)
            show(f"submit {count:,} runs, CPU time", clock() - before, "s")
            rest = [{"spec": {**SPEC, "name": f"further run {number}"}} for number in range(arguments.entries - count)]
            connection.call("submit", entries=rest)
            before = clock()
            time.sleep(5)
            show(f"{arguments.entries:,} entries, at rest", 1000 * (clock() - before) / 5, "ms of CPU a second")
            spent = ask_in_turn(workspace, arguments.clients, arguments.answers)
            for name, values in sorted(spent.items()):
                show(f"  {name}, {len(values)} answers, median", float(np.median(values)), "ms")
                show(f"  {name}, most", max(values), "ms")
            every = np.concatenate(list(spent.values()))
            what = f"{arguments.clients} clients, {len(every)} answers, p99 of CPU time"
            show(what, float(np.percentile(every, 99)), "ms", GOAL_ANSWER_MS)
            connection.call("shutdown")
        process.wait(30)
    return int(bool(MISSED))


if __name__ == "__main__":
    sys.exit(main())
