"""What recording costs: a row, a fold, a list of runs. Run as ``python tests/benchmarks/bench_recording.py``.

Each number stands beside a floor measured in the same minute on the same disk: the least that the operating system, the
JSON encoder or HDF5 take for the same bytes. Times are the best of several turns, because other work on the machine only
ever adds to them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from difrob.runs import RunFeed, RunState, Workspace, recorder
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.specs import TrainDenoiserSpec

BATCHES = (1, 10, 100)


def best(turns: int, work: Callable[[], object]) -> float:
    """Seconds that one turn takes at its best."""
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def show(what: str, value: float, floor: float, unit: str, floor_is: str) -> None:
    print(f"{what:<58}{value:>10.3g} {unit:<8}{floor:>10.3g} {unit:<8}{value / floor:>6.1f}x  {floor_is}")


def bench_rows(folder: Path, rows: int) -> None:
    """Microseconds per recorded row, reported and appended, in batches as a job reports them between two flushes."""
    for batch in BATCHES:
        run = RunRecorder(Workspace(folder), f"rows-{batch}", TrainDenoiserSpec())
        descriptor = os.open(folder / f"floor-{batch}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        step = 0

        def record(run: RunRecorder = run, batch: int = batch) -> None:
            nonlocal step
            for _ in range(rows // batch):
                for _ in range(batch):
                    step += 1
                    run.metric("loss", step, 0.1 * step)
                run.flush()

        def write(descriptor: int = descriptor, batch: int = batch) -> None:
            lines = [["loss", number, 1.7e9 + number, 0.1 * number, None, None] for number in range(batch)]
            for _ in range(rows // batch):
                os.write(descriptor, json.dumps([{"type": "metrics", "rows": lines}]).encode())

        value, floor = best(3, record), best(3, write)
        show(f"row of a metric, flushed in batches of {batch}", value / rows * 1e6, floor / rows * 1e6, "us",
             "json.dumps and os.write of the same rows")  # fmt: skip
        run.close()
        os.close(descriptor)


def write_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def bench_folds(folder: Path, rows: int) -> None:
    """Milliseconds of a fold: of a journal of many rows, and of a few rows into a file of many."""
    workspace = Workspace(folder)
    run = RunRecorder(workspace, "folds", TrainDenoiserSpec())
    for step in range(rows):
        run.metric(f"metric-{step % 4}", step, 0.1 * step)
        if step % 1000 == 999:
            run.flush()
    columns = {f"{m}-{name}": np.zeros(rows // 4) for m in range(4) for name in ("step", "time", "value")}
    floor = best(3, lambda: write_columns(folder / "floor.h5", columns))
    floor_is = "h5py writes and syncs the same arrays"
    value = best(1, lambda: run.checkpoint(rows, b"", {}))
    show(f"fold of a journal of {rows:,} rows", value * 1e3, floor * 1e3, "ms", floor_is)
    steps = iter(range(rows, rows + 1000))

    def fold() -> None:
        step = next(steps)
        run.metric("metric-0", step, 1.0)
        run.checkpoint(step, b"", {})

    show(f"fold of a row into a file of {rows:,} rows", best(5, fold) * 1e3, floor * 1e3, "ms", floor_is)
    weights = os.urandom(50_000_000)
    value = best(3, lambda: run.checkpoint(next(steps), weights, {}))
    floor = best(3, lambda: write_columns(folder / "floor.h5", {"a": np.frombuffer(weights, np.uint8)}))
    show(
        "checkpoint of 50 MB (the file keeps two, so 100 MB)",
        value * 1e3,
        floor * 1e3,
        "ms",
        "h5py writes and syncs 50 MB",
    )
    reader = workspace.reader("folds")
    value = best(3, reader.metrics)

    def read() -> None:
        with h5py.File(workspace.run_path("folds")) as file:
            for group in file["metrics"].values():
                for dataset in group.values():
                    dataset[...]

    show(f"reading {rows:,} rows", value * 1e3, best(3, read) * 1e3, "ms", "h5py reads the same arrays")
    feed = RunFeed(reader)
    feed.poll()
    idle = best(20, feed.poll)
    journal = workspace.journal_path("folds")
    floor = best(20, lambda: (os.stat(journal), os.close(os.open(journal, os.O_RDONLY))))
    show("look at a live run that says nothing", idle * 1e6, floor * 1e6, "us", "stat, open and close of its journal")
    run.close()
    value = best(1, lambda: recover(reader))
    print(f"{'recovery of that run after its death':<58}{value * 1e3:>10.3g} ms")


def bench_list(folder: Path, count: int) -> None:
    """Milliseconds to list many runs."""
    workspace = Workspace(folder)
    template = small_run(workspace)
    for number in range(count):
        shutil.copyfile(template, workspace.run_path(f"run-{number}"))
    template.unlink()

    def cold() -> None:
        with suppress(FileNotFoundError):
            workspace.database.unlink()
        assert len(Workspace(folder).summaries()) == count

    def attributes() -> None:
        for entry in os.scandir(workspace.runs_folder):
            with h5py.File(entry.path, "r") as file:
                json.loads(file.attrs["summary"])

    show(f"list of {count:,} runs without an index", best(2, cold) * 1e3, best(2, attributes) * 1e3, "ms",
         "h5py opens each file and reads one attribute")  # fmt: skip
    floor = best(3, lambda: [entry.stat() for entry in os.scandir(workspace.runs_folder)])
    floor_is = "scandir and stat of the folder"
    first = best(3, lambda: Workspace(folder).summaries())
    show(f"list of {count:,} runs with the index, new process", first * 1e3, floor * 1e3, "ms", floor_is)
    opened = Workspace(folder)
    opened.summaries()
    show(f"list of {count:,} runs again", best(5, opened.summaries) * 1e3, floor * 1e3, "ms", floor_is)


def small_run(workspace: Workspace) -> Path:
    """The file of a small finished run."""
    run = RunRecorder(workspace, "template", TrainDenoiserSpec())
    for step in range(100):
        run.metric("loss", step, 0.1 * step)
    run.finish(RunState.FINISHED)
    return workspace.run_path("template")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the folds")
    parser.add_argument("--runs", type=int, default=2000, help="runs of the list")
    arguments = parser.parse_args()
    recorder.FLUSH_SECONDS = 3600.0  # the benchmark flushes by hand
    print(f"{'':<58}{'measured':>10} {'':<8}{'floor':>10}")
    with tempfile.TemporaryDirectory(prefix="difrob-bench-") as folder:
        bench_rows(Path(folder) / "rows", min(arguments.rows, 20_000))
        bench_folds(Path(folder) / "folds", arguments.rows)
        bench_list(Path(folder) / "list", arguments.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
