"""What the tests of the runs package share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from difrob.runs import Curve, FeedUpdate, LogLine, Measure, Pictures, RunReader, RunSummary, Series, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainDenoiserSpec

WEIGHTS = bytes(range(256)) * 4


@contextmanager
def recording(workspace: Workspace, run_id: str = "run", **arguments: Any) -> Iterator[RunRecorder]:
    """A recorder that lets go at the end; without a ``finish`` before that the run looks as if it had been killed."""
    recorder = RunRecorder(workspace, run_id, TrainDenoiserSpec(name="a run"), **arguments)
    try:
        yield recorder
    finally:
        recorder.close()


def pictures(count: int = 2, value: int = 0) -> np.ndarray:
    return np.full((count, 3, 3, 1), value, np.uint8)


def record_everything(recorder: RunRecorder, step: int = 1) -> None:
    """Something of everything that a job can report."""
    recorder.metric("loss", step, 1.5 * step)
    recorder.metric("validation/robust_accuracy", step, 0.5, 0.4, 0.6)
    recorder.metric("validation.robust_accuracy", step, 0.25)
    recorder.curve(
        "certified accuracy", step, np.arange(3.0), np.arange(3.0) / 2, np.zeros(3), np.ones(3), interval="CP"
    )
    recorder.images("drawn", step, pictures(value=step), ["one", "two"])
    recorder.samples(index=np.arange(4) + 4 * step, radius=np.full(4, 0.25), images=pictures(4))
    recorder.progress(step, 10)
    recorder.note(f"at step {step}")
    recorder.result("robust_accuracy", Measure(0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", "PGD-10"))
    recorder.attribute("parameters", {"count": step, "list": [1, None, "x"]})


def as_plain(value: Any) -> Any:
    """A value as nested lists and plain numbers, with NaN replaced, so that equality means equality."""
    if isinstance(value, Series | Curve | LogLine | Pictures):
        return {name: as_plain(item) for name, item in vars(value).items()}
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), [None if x != x else x for x in value.ravel().tolist()]]
    if isinstance(value, dict):
        return {name: as_plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_plain(item) for item in value]
    return value


class Mirror:
    """What a window makes of the updates of a feed."""

    def __init__(self) -> None:
        self.summary: RunSummary | None = None
        self.metrics: dict[str, Series] = {}
        self.curves: dict[str, Curve] = {}
        self.pictures: dict[tuple[str, int], Pictures] = {}
        self.log: list[LogLine] = []
        self.resets = 0

    def take(self, update: FeedUpdate) -> None:
        if update.reset:
            self.metrics, self.curves, self.pictures, self.log = {}, {}, {}, []
            self.resets += 1
        for name, series in update.metrics.items():
            self.metrics[name] = self.metrics[name].joined(series) if name in self.metrics else series
        self.curves |= {curve.name: curve for curve in update.curves}
        self.pictures |= {(batch.name, batch.step): batch for batch in update.pictures}
        self.log += update.log
        self.summary = update.summary

    def content(self) -> dict[str, Any]:
        return as_plain(
            {
                "metrics": self.metrics, "curves": self.curves, "log": self.log,
                "pictures": [self.pictures[key] for key in sorted(self.pictures)],
            }
        )  # fmt: skip


def content_of(reader: RunReader) -> dict[str, Any]:
    """What a fresh reader sees, in the form of :meth:`Mirror.content`."""
    return as_plain(
        {
            "metrics": reader.metrics(), "curves": reader.curves(), "log": reader.log(),
            "pictures": sorted(reader.pictures(), key=lambda batch: (batch.name, batch.step)),
        }
    )  # fmt: skip
