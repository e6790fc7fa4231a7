"""The recorder of the process that leads the others of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from difrob.errors import Stopped
from difrob.ranks.orders import GO_ON, give_order
from difrob.runs.datasets import DataSetRecord
from difrob.runs.interface import Checkpoint, InputRun, Measure, Recorder

if TYPE_CHECKING:
    from difrob.ranks.shares import Ranks


class LeadingRecorder:
    """Implements :class:`difrob.runs.interface.Recorder`: records what a job reports, and stops all ranks at one point.

    Every method is that of the recorder it was given; only :meth:`check_stop` has more to do. They are written out, so that
    a type checker sees when one is missing.

    Args:
        recorder: writes the file of the run.
        ranks: this process among those of the run.
    """

    def __init__(self, recorder: Recorder, ranks: Ranks) -> None:
        self._recorder = recorder
        self._ranks = ranks

    def check_stop(self) -> None:
        """As the recorder's, and tell the followers what comes of it."""
        try:
            self._recorder.check_stop()
        except Stopped as stopped:
            give_order(self._ranks, stopped.grade)
            raise
        give_order(self._ranks, GO_ON)

    def input_run(self, run_id: str) -> InputRun:
        return self._recorder.input_run(run_id)

    def data_set(self, name: str) -> DataSetRecord:
        return self._recorder.data_set(name)

    @property
    def resumed_from(self) -> Checkpoint | None:
        return self._recorder.resumed_from

    @property
    def recorded_samples(self) -> int:
        return self._recorder.recorded_samples

    def recorded_column(self, name: str) -> np.ndarray:
        return self._recorder.recorded_column(name)

    def metric(
        self,
        name: str,
        step: int,
        value: float,
        low: float | None = None,
        high: float | None = None,
        *,
        interval: str = "",
    ) -> None:
        self._recorder.metric(name, step, value, low, high, interval=interval)

    def curve(
        self,
        name: str,
        step: int,
        x: np.ndarray,
        y: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        *,
        x_label: str = "x",
        y_label: str = "y",
        interval: str = "",
    ) -> None:
        self._recorder.curve(name, step, x, y, low, high, x_label=x_label, y_label=y_label, interval=interval)

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        self._recorder.images(name, step, images, captions)

    def samples(self, **columns: np.ndarray) -> None:
        self._recorder.samples(**columns)

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        self._recorder.progress(done, total, unit)

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        self._recorder.checkpoint(step, weights, state, best=best)

    def note(self, text: str, level: str = "info") -> None:
        self._recorder.note(text, level)

    def result(self, name: str, measure: Measure) -> None:
        self._recorder.result(name, measure)

    def attribute(self, name: str, value: Any) -> None:
        self._recorder.attribute(name, value)
