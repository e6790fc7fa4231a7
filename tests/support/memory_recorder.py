"""A recorder that keeps everything in lists, for testing jobs without a run file.

It is strict where the real one is: it refuses tensors, wrong shapes, wrong types and state that is not plain JSON data,
so that a job that passes here also passes there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from difrob.errors import Stopped, UserError
from difrob.quantities import declared_quantity, quantity_of
from difrob.runs.checks import as_declared, checked_measure
from difrob.runs.datasets import BUILT_IN, DataSetRecord
from difrob.runs.interface import Checkpoint, InputRun, Measure
from difrob.specs import JobSpec


@dataclass(frozen=True)
class Point:
    """One point of a metric."""

    step: int
    value: float
    low: float | None = None
    high: float | None = None
    interval: str = ""


@dataclass(frozen=True)
class Curve:
    """One recorded curve."""

    step: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    x_label: str
    y_label: str
    interval: str


@dataclass(frozen=True)
class Pictures:
    """One recorded batch of pictures."""

    step: int
    images: np.ndarray
    captions: list[str] | None


class MemoryInputRun:
    """A run that another job reads, made of a specification, checkpoints and arrays."""

    def __init__(
        self,
        run_id: str,
        spec: JobSpec,
        *,
        last: Checkpoint | None = None,
        best: Checkpoint | None = None,
        arrays: dict[str, np.ndarray] | None = None,
        others: tuple[Checkpoint, ...] = (),
    ) -> None:
        self.run_id = run_id
        self._spec: dict[str, Any] = json.loads(spec.model_dump_json())
        self._last = last
        self._best = best
        self._others = others
        self._arrays = dict(arrays or {})

    @property
    def spec(self) -> dict[str, Any]:
        return self._spec

    def checkpoint(self, which: str | int = "last") -> Checkpoint:
        kept = [each for each in (*self._others, self._best, self._last) if each is not None]
        if isinstance(which, int):
            found = next((each for each in kept if each.step == which), None)
        else:
            found = (self._best or self._last) if which == "best" else self._last
        if found is None:
            raise UserError(f"run '{self.run_id}' has no checkpoint")
        return found

    def array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise UserError(f"run '{self.run_id}' has no array '{name}'")
        return self._arrays[name]


def require_declared(name: str) -> None:
    """A job records nothing that :mod:`difrob.quantities` does not declare."""
    assert declared_quantity(name) is not None, f"'{name}' is declared nowhere"


class MemoryRecorder:
    """Implements ``difrob.runs.interface.Recorder`` in memory.

    Args:
        stop_at_check: the (0-based) call of :meth:`check_stop` that raises ``Stopped``; None for never.
        stop_grade: grade of that exception.
        runs: runs that :meth:`input_run` finds, by id.
        resumed_from: checkpoint from which the job goes on.
        samples_before: columns of samples that the interrupted run had recorded.
        data_sets: data sets that :meth:`data_set` finds beside the built-in ones, by name.

    Attributes:
        metrics: {name: [Point]};  curves: {name: [Curve]};  pictures: {name: [Pictures]}.
        checkpoints: all checkpoints in order;  best_checkpoints: those marked as best.
        results, attributes, notes (level, text), progressed (done, total, unit), parents (run ids opened), checks.
    """

    def __init__(
        self,
        *,
        stop_at_check: int | None = None,
        stop_grade: str = "stop",
        runs: dict[str, MemoryInputRun] | None = None,
        resumed_from: Checkpoint | None = None,
        samples_before: dict[str, np.ndarray] | None = None,
        on_check: Callable[[int], None] | None = None,
        data_sets: dict[str, DataSetRecord] | None = None,
    ) -> None:
        self.stop_at_check = stop_at_check
        self.stop_grade = stop_grade
        self.runs = dict(runs or {})
        self.data_sets = dict(data_sets or {})
        self.on_check = on_check
        self._resumed_from = resumed_from
        self.metrics: dict[str, list[Point]] = {}
        self.curves: dict[str, list[Curve]] = {}
        self.pictures: dict[str, list[Pictures]] = {}
        self.checkpoints: list[Checkpoint] = []
        self.best_checkpoints: list[Checkpoint] = []
        self.results: dict[str, Measure] = {}
        self.attributes: dict[str, Any] = {}
        self.notes: list[tuple[str, str]] = []
        self.progressed: list[tuple[int, int, str]] = []
        self.parents: list[str] = []
        self.checks = 0
        self._columns: dict[str, list[np.ndarray]] = {k: [np.asarray(v)] for k, v in (samples_before or {}).items()}
        self._rows_before = len(next(iter(samples_before.values()))) if samples_before else 0

    # What the job says -------------------------------------------------------------------------------------------

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
        require_declared(name)
        assert isinstance(step, int), f"step of {name} is {type(step)}"
        for number in (value, low, high):
            assert number is None or isinstance(number, float | int | np.floating), f"{name}: {type(number)}"
        assert isinstance(interval, str), f"{name}: {type(interval)}"
        self.metrics.setdefault(name, []).append(Point(step, float(value), low, high, interval))

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
        require_declared(name)
        assert isinstance(step, int)
        for array in (x, y, low, high):
            assert array is None or (isinstance(array, np.ndarray) and array.shape == x.shape and array.ndim == 1), name
        self.curves.setdefault(name, []).append(Curve(step, x, y, low, high, x_label, y_label, interval))

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        assert isinstance(step, int)
        assert isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4, name
        assert images.shape[-1] in (1, 3), f"{name}: images must be NHWC, not {images.shape}"
        assert captions is None or (len(captions) == len(images) and all(isinstance(c, str) for c in captions)), name
        self.pictures.setdefault(name, []).append(Pictures(step, images.copy(), captions))

    def samples(self, **columns: np.ndarray) -> None:
        assert columns, "samples() without columns"
        assert all(isinstance(column, np.ndarray) for column in columns.values())
        assert len({len(column) for column in columns.values()}) == 1, "columns of unequal length"
        if self._columns:
            assert set(columns) == set(self._columns), f"columns changed: {set(columns)} after {set(self._columns)}"
        for name, column in columns.items():
            assert not self._columns.get(name) or self._columns[name][0].dtype == column.dtype, f"{name} changed type"
            self._columns.setdefault(name, []).append(column.copy())

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        assert 0 <= done <= total, f"progress {done} of {total}"
        self.progressed.append((done, total, unit))

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        assert isinstance(weights, bytes)
        stored = Checkpoint(step, weights, json.loads(json.dumps(state, allow_nan=False)))
        self.checkpoints.append(stored)
        if best:
            self.best_checkpoints.append(stored)

    def note(self, text: str, level: str = "info") -> None:
        assert level in ("info", "warning", "error")
        self.notes.append((level, text))

    def result(self, name: str, measure: Measure) -> None:
        assert isinstance(measure, Measure) and isinstance(measure.value, float | int | np.floating)
        require_declared(name)
        declared = quantity_of(name).unit
        assert declared in ("", measure.unit) or not measure.unit, (
            f"{name} is declared in {declared}, not {measure.unit}"
        )
        self.results[name] = checked_measure(as_declared(name, measure))

    def attribute(self, name: str, value: Any) -> None:
        self.attributes[name] = json.loads(json.dumps(value, allow_nan=False))

    # What the job asks -------------------------------------------------------------------------------------------

    def check_stop(self) -> None:
        number = self.checks
        self.checks += 1
        if self.on_check is not None:
            self.on_check(number)
        if self.stop_at_check is not None and number >= self.stop_at_check:
            raise Stopped(self.stop_grade)

    def input_run(self, run_id: str) -> InputRun:
        if run_id not in self.runs:
            raise UserError(f"there is no run '{run_id}'")
        self.parents.append(run_id)
        return self.runs[run_id]

    def data_set(self, name: str) -> DataSetRecord:
        known = {**BUILT_IN, **self.data_sets}
        if name not in known:
            raise UserError(f"there is no data set '{name}'; known: {', '.join(known)}")
        self.attributes.setdefault("data_sets", {})[name] = known[name].facts()
        return known[name]

    @property
    def resumed_from(self) -> Checkpoint | None:
        return self._resumed_from

    @property
    def recorded_samples(self) -> int:
        return self._rows_before

    def recorded_column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise UserError(f"the run has no 'samples/{name}'")
        column = self.column(name)[: self._rows_before]
        column.flags.writeable = False
        return column

    # What a test asks --------------------------------------------------------------------------------------------

    @property
    def last_checkpoint(self) -> Checkpoint:
        """The newest checkpoint."""
        assert self.checkpoints, "the job wrote no checkpoint"
        return self.checkpoints[-1]

    def values(self, name: str) -> list[float]:
        """The values of a metric in order."""
        return [point.value for point in self.metrics[name]]

    def column(self, name: str) -> np.ndarray:
        """All rows of a column of samples, those of the interrupted run included."""
        return np.concatenate(self._columns[name])

    def columns(self) -> dict[str, np.ndarray]:
        """All columns of samples."""
        return {name: np.concatenate(parts) for name, parts in self._columns.items()}

    def as_input_run(self, spec: JobSpec, run_id: str = "run") -> MemoryInputRun:
        """What this job recorded, as the input of another job."""
        return MemoryInputRun(
            run_id,
            spec,
            last=self.checkpoints[-1] if self.checkpoints else None,
            best=self.best_checkpoints[-1] if self.best_checkpoints else None,
            arrays={f"samples/{name}": column for name, column in self.columns().items()},
        )

    def resume(self, **changes: Any) -> MemoryRecorder:
        """A recorder for going on where this one stopped."""
        arguments: dict[str, Any] = {
            "runs": self.runs,
            "data_sets": self.data_sets,
            "resumed_from": self.checkpoints[-1] if self.checkpoints else self._resumed_from,
            "samples_before": self.columns() or None,
        }
        return MemoryRecorder(**{**arguments, **changes})
