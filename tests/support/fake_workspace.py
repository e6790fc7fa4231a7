"""A workspace without files, whose runs say what the test wants, and which knows from which thread it was asked."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.runs import FeedUpdate, Measure, RunState, RunSummary, Series
from difrob.runs.datasets import BUILT_IN, DataSetRecord, DataSets


def make_summary(run_id: str, state: RunState = RunState.FINISHED, **changes: Any) -> RunSummary:
    """A summary of a run; ``result=0.5`` gives it a robust accuracy."""
    result = changes.pop("result", None)
    if result is not None:
        changes["results"] = {
            "robust_accuracy": Measure(result, result - 0.02, result + 0.02, 600, "Wilson 95 %", "share", "PGD-40")
        }
    kind = changes.pop("kind", "train_classifier")
    spec = changes.pop("spec", {"kind": kind, "name": changes.get("name", run_id), "seed": 0})
    return RunSummary(run_id=run_id, kind=kind, name=changes.pop("name", run_id), state=state, spec=spec, **changes)


def make_series(values: list[float]) -> Series:
    """A metric with one point per step."""
    array = np.array(values, dtype=float)
    nothing = np.full(len(array), np.nan)
    return Series(np.arange(len(array)), np.arange(len(array), dtype=float), array, nothing, nothing)


class FakeFeed:
    """Gives everything at the first poll and the queued news afterwards."""

    def __init__(self, workspace: FakeWorkspace, run_id: str) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._first = True
        self.closed = False

    def poll(self) -> FeedUpdate:
        self._workspace.threads.add(threading.get_ident())
        self._workspace.polls[self._run_id] = self._workspace.polls.get(self._run_id, 0) + 1
        if self._run_id in self._workspace.broken:
            raise self._workspace.broken[self._run_id]
        summary = self._workspace.runs[self._run_id]
        values = self._workspace.values.setdefault(self._run_id, [])
        if self._first:
            self._first = False
            self._seen = len(values)
            return FeedUpdate(summary, True, {"loss": make_series(values)} if values else {})
        fresh, self._seen = values[self._seen :], len(values)
        return FeedUpdate(summary, False, {"loss": make_series(fresh)} if fresh else {})

    def close(self) -> None:
        self.closed = True


class FakeWorkspace:
    """Has the parts of ``difrob.runs.Workspace`` that the window uses."""

    unlisted_runs = 0

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path("/nowhere")
        self.runs: dict[str, RunSummary] = {}
        self.values: dict[str, list[float]] = {}
        self.broken: dict[str, Exception] = {}
        self.polls: dict[str, int] = {}
        self.threads: set[int] = set()
        self.feeds: list[FakeFeed] = []
        self.listings = 0
        self.binned: dict[str, RunSummary] = {}

    @property
    def socket_path(self) -> str:
        return str(self.root / "supervisor.sock")

    def add(self, *summaries: RunSummary) -> None:
        """Have these runs."""
        self.runs = {**self.runs, **{summary.run_id: summary for summary in summaries}}

    def change(self, run_id: str, **changes: Any) -> None:
        """Change a run."""
        self.runs = {**self.runs, run_id: replace(self.runs[run_id], **changes)}

    def summaries(self, within: float | None = None) -> list[RunSummary]:
        self.threads.add(threading.get_ident())
        self.listings += 1
        return list(self.runs.values())

    def feed(self, run_id: str) -> FakeFeed:
        if run_id not in self.runs:
            raise UserError(f"there is no run '{run_id}'")
        self.feeds.append(FakeFeed(self, run_id))
        return self.feeds[-1]

    def run_path(self, run_id: str) -> Path:
        return self.root / "runs" / f"{run_id}.h5"

    def remove_run(self, run_id: str) -> None:
        if run_id not in self.runs:
            raise UserError(f"there is no run '{run_id}'")
        self.binned[run_id] = self.runs[run_id]
        self.runs = {key: value for key, value in self.runs.items() if key != run_id}

    def reader(self, run_id: str) -> Any:
        """Of no run there is more than a summary."""
        raise UserError(f"there is no file of run '{run_id}'")

    def data_set(self, name: str) -> DataSetRecord:
        """Only what is built in."""
        if name not in BUILT_IN:
            raise UserError(f"there is no data set '{name}'")
        return BUILT_IN[name]

    def data_sets(self) -> list[DataSetRecord]:
        """Only what is built in."""
        return list(BUILT_IN.values())

    @property
    def datasets(self) -> DataSets:
        """A folder without data sets."""
        return DataSets(self.root / "datasets")

    def restore_run(self, run_id: str) -> None:
        self.add(self.binned.pop(run_id))
