"""The contents of a run in memory: what frames of a journal add up to.

The same rules build the live view of a window and the HDF5 file of a fold, so the two cannot disagree.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from difrob.errors import UserError
from difrob.runs.interface import Measure
from difrob.runs.journal import Frame
from difrob.runs.records import Curve, LogLine, Pictures, Progress, Series
from difrob.runs.states import RunState
from difrob.runs.summary_json import measure_from_json

FROM_THE_START = -1
_COLUMNS = 5  # step, time, value, low, high
_NAN = float("nan")


@dataclass(frozen=True)
class Said:
    """What a record says of a metric beside its numbers; "" where it says nothing."""

    title: str = ""
    unit: str = ""
    better: str = ""

    @classmethod
    def of(cls, values: list[str]) -> Said:
        """Title, unit and direction as the journal has them."""
        title, unit, better = (str(value) for value in values)
        return cls(title, unit, better)


@dataclass(frozen=True)
class Ended:
    """How a run ended, and when."""

    state: RunState
    reason: str
    time: float
    cause: str = ""


@dataclass
class Contents:
    """Everything that a stretch of journal says; ``intervals`` and ``quantities`` say what metrics are, by metric.

    ``rewind`` is set when it begins by going back to a step (:data:`FROM_THE_START`: before step 0). Metric rows lie one
    after the other in flat arrays of numbers, by name: a million of them takes 40 MB instead of 300.
    """

    sequence: int = 0
    rewind: int | None = None
    metric_rows: dict[str, array[float]] = field(default_factory=dict)
    intervals: dict[str, str] = field(default_factory=dict)
    quantities: dict[str, Said] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)
    pictures: list[Pictures] = field(default_factory=list)
    samples: list[dict[str, np.ndarray]] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    results: dict[str, Measure] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    parents: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: Progress | None = None
    state: RunState | None = None
    ended: Ended | None = None

    def add(self, frames: Iterable[Frame]) -> Contents:
        """Take in frames in order; those already seen are passed over.

        Raises:
            UserError: for a record that makes no sense, e.g. from a newer difrob.
        """
        for frame in frames:
            if frame.sequence <= self.sequence:
                continue
            for record in frame.records:
                try:
                    self._take(record)
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                    raise UserError(
                        f"the journal holds a record '{record.get('type')}' that this difrob does not understand "
                        f"({error!r}); it is damaged, or a newer difrob wrote it"
                    ) from None
            self.sequence = frame.sequence
        return self

    def series(self) -> dict[str, Series]:
        """The metric rows as arrays, by name."""
        return {
            name: _as_series(rows, self.intervals.get(name, ""), self.quantities.get(name, Said()))
            for name, rows in self.metric_rows.items()
            if rows
        }

    def series_after(self, old: dict[str, Series]) -> dict[str, Series]:
        """``old`` series, each followed by what is new of it, and those that are altogether new; sorted by name."""
        new = self.series()
        return {
            name: old[name].joined(new[name]) if name in old and name in new else old.get(name) or new[name]
            for name in sorted(old.keys() | new.keys())
        }

    def add_series(self, name: str, series: Series) -> None:
        """Take in a whole metric, as a file has it."""
        table = np.column_stack([series.step, series.time, series.value, series.low, series.high]).astype(np.float64)
        self.metric_rows.setdefault(name, array("d")).frombytes(table.tobytes())
        if series.interval:
            self.intervals[name] = series.interval
        self.quantities[name] = Said(series.title, series.unit, series.better)

    @property
    def sample_count(self) -> int:
        """Rows of per-sample results."""
        return sum(len(next(iter(batch.values()))) for batch in self.samples if batch)

    def _take(self, record: dict[str, Any]) -> None:
        match record.get("type"):
            case "metrics":
                for name, step, time, value, low, high in record["rows"]:
                    row = (step, time, value, _NAN if low is None else low, _NAN if high is None else high)
                    self.metric_rows.setdefault(name, array("d")).extend(row)
                self.intervals |= {name: str(interval) for name, interval in record.get("intervals", {}).items()}
                self.quantities |= {name: Said.of(said) for name, said in record.get("quantities", {}).items()}
            case "curve":
                self.curves.append(Curve(**{key: value for key, value in record.items() if key != "type"}))
            case "images":
                self.pictures.append(
                    Pictures(record["name"], record["step"], record["images"], record.get("captions") or [])
                )
            case "samples":
                self.samples.append(record["columns"])
            case "log":
                self.log.append(LogLine(record["time"], record["level"], record["text"]))
            case "result":
                self.results[record["name"]] = measure_from_json(**record["measure"])
            case "attribute":
                self.attributes[record["name"]] = record["value"]
            case "parent":
                read = {"read": dict(record["read"])} if "read" in record else {}  # a difrob of before noted no parts
                self.parents[record["run_id"]] = {"digest": record["digest"], **read}
            case "progress":
                self.progress = Progress(record["done"], record["total"], record["unit"], record.get("seconds_left"))
            case "state":
                self.state = RunState(record["state"])
            case "rewind":
                self._go_back_to(record["step"])
            case "end":
                self.ended = Ended(
                    RunState(record["state"]),
                    str(record["reason"]),
                    float(record["time"]),
                    str(record.get("cause", "")),
                )

    def _go_back_to(self, step: int) -> None:
        self.rewind = step if self.rewind is None else min(step, self.rewind)
        for name, rows in self.metric_rows.items():
            table = _as_table(rows)
            self.metric_rows[name] = array("d", table[table[:, 0] <= step].tobytes())
        self.curves = [curve for curve in self.curves if curve.step <= step]
        self.pictures = [pictures for pictures in self.pictures if pictures.step <= step]


def _as_table(rows: array[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS)


def _as_series(rows: array[float], interval: str, said: Said) -> Series:
    table = _as_table(rows)
    time, value, low, high = (table[:, i].copy() for i in range(1, _COLUMNS))
    step = table[:, 0].astype(np.int64)
    return Series(step, time, value, low, high, interval, said.title, said.unit, said.better)
