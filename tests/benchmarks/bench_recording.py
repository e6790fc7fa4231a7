"""What recording costs: a training step, a row, a fold, a list of runs. Run as ``python tests/benchmarks/bench_recording.py``.

Each number stands beside a floor measured in the same minute on the same disk: the least that the operating system, the
JSON encoder or HDF5 take for the same bytes. Times are the best of several turns, because other work on the machine only
ever adds to them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from bench_runs_table import make_workspace

from difrob.runs import RunFeed, RunState, Workspace, recorder
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.specs import TrainDenoiserSpec, parse_spec

BATCHES = (1, 10, 100)
MISSED: list[str] = []  # what did not reach its goal


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
    workspace = make_workspace(folder, count)

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


class Deaf:
    """A recorder that does nothing, for training at the speed that it would have without one."""

    resumed_from = None
    recorded_samples = 0

    def __init__(self, workspace: Workspace) -> None:
        self.data_set = workspace.data_set

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values, **named: None


STEP_SPECS: dict[str, dict[str, object]] = {
    "train_denoiser": {"steps": 1000, "sample_every": 0},  # as many steps as lie between two checkpoints by default
    "train_classifier": {"steps": 200, "validate_every": 1000},
}


def bench_steps(folder: Path, pairs: int) -> None:
    """CPU time of whole trainings on 8x8 digits with the real recorder and with a deaf one, in turns.

    CPU time of all threads, so that the recorder's own thread counts and other work on the machine does not. The small
    difference between two long times lies in their noise when other programs run, which empty each other's caches; so the
    goal is held against what was spent in the recorder itself: in its methods, and in its thread.
    """
    import torch

    torch.set_num_threads(1)
    for kind, changes in STEP_SPECS.items():
        job = importlib.import_module(f"difrob.jobs.{kind}").run
        spec, workspace = parse_spec({"kind": kind, **changes}), Workspace(folder)
        seconds: dict[str, list[float]] = {"real": [], "deaf": []}
        inside: list[float] = []
        ends: list[float] = []
        job(
            spec.model_copy(update={"steps": 10}), Deaf(workspace), torch.device("cpu")
        )  # everything is imported and warm
        for pair in range(pairs):
            for which in ("real", "deaf") if pair % 2 else ("deaf", "real"):
                began = time.process_time()
                if which == "deaf":
                    job(spec, Deaf(workspace), torch.device("cpu"))
                else:
                    run = Timed(RunRecorder(workspace, f"{kind}-{pair}", spec))
                    job(spec, run, torch.device("cpu"))
                    inside.append(run.seconds + run.thread_seconds())
                seconds[which].append(time.process_time() - began)
                if which == "real":
                    ends.append(seconds_of(lambda run=run: run.finish(RunState.FINISHED)))
        steps = spec.model_dump()["steps"]
        differences = sorted(real - deaf for real, deaf in zip(seconds["real"], seconds["deaf"], strict=True))
        deaf, spent = min(seconds["deaf"]), min(inside)
        verdict = "met" if spent < 0.01 * deaf else "MISSED"
        if spent >= 0.01 * deaf:
            MISSED.append(kind)
        print(f"{'step of ' + kind + ' without a recorder':<58}{deaf / steps * 1e3:>10.3g} ms")
        print(f"{'  CPU time in it and its thread, checkpoints included':<58}{spent / steps * 1e3:>10.3g} ms"
              f"{100 * spent / deaf:>17.2f} % of the step; goal < 1 %: {verdict}")  # fmt: skip
        print(f"{'  with the recorder against without, median of pairs':<58}"
              f"{differences[len(differences) // 2] / steps * 1e3:>10.3g} ms"
              f"{100 * differences[len(differences) // 2] / deaf:>17.2f} % of the step")  # fmt: skip
        print(f"{'  ending the run, once':<58}{min(ends) * 1e3:>10.3g} ms")


def seconds_of(work: Callable[[], object]) -> float:
    """CPU seconds that some work takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


class Timed:
    """A recorder, and the CPU seconds that the training thread spends in its methods."""

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder
        self.seconds = 0.0

    def thread_seconds(self) -> float:
        """CPU seconds of the recorder's own thread so far (0 where the system does not tell)."""
        path = Path(f"/proc/self/task/{self._recorder._thread.native_id}/schedstat")
        return int(path.read_text().split()[0]) * 1e-9 if path.exists() else 0.0

    def __getattr__(self, name: str) -> object:
        found = getattr(self._recorder, name)
        if not callable(found):
            return found

        def timed(*values: object, **named: object) -> object:
            began = time.thread_time()
            try:
                return found(*values, **named)
            finally:
                self.seconds += time.thread_time() - began

        return timed


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the folds")
    parser.add_argument("--runs", type=int, default=2000, help="runs of the list")
    parser.add_argument("--pairs", type=int, default=5, help="trainings with and without the recorder; 0 for none")
    arguments = parser.parse_args()
    print(f"{'':<58}{'measured':>10} {'':<8}{'floor':>10}")
    with tempfile.TemporaryDirectory(prefix="difrob-bench-") as folder:
        if arguments.pairs:
            bench_steps(Path(folder) / "steps", arguments.pairs)
        recorder.FLUSH_SECONDS = 3600.0  # from here on the benchmark flushes by hand
        bench_rows(Path(folder) / "rows", min(arguments.rows, 20_000))
        bench_folds(Path(folder) / "folds", arguments.rows)
        bench_list(Path(folder) / "list", arguments.runs)
    return int(bool(MISSED))


if __name__ == "__main__":
    sys.exit(main())
