"""What a job may say and ask while it runs.

A job is a plain function ``run(spec, recorder, device)``. It knows no window, no queue and no file format; everything it
reports goes through a :class:`Recorder`, and everything it needs from other runs comes from one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from difrob.runs.datasets import DataSetRecord

from difrob.quantities.conditions import sentence


@dataclass(frozen=True)
class Measure:
    """A final number with its interval.

    Attributes:
        value: the number.
        low, high: ends of its interval; None where no interval applies.
        n: sample size.
        interval: what the interval is, e.g. ``"Wilson 95 %"``.
        unit: ``"share"`` for accuracies in [0,1], ``"share difference"`` for what one has more than another (-1 to 1), else
            the unit.
        description: what was measured, in words.
        conditions: how it was measured, as plain JSON data by name: attack, norm, eps, steps, sigma, data set, ...; see
            :mod:`difrob.quantities.conditions`.
        title, better: as :mod:`difrob.quantities` declares them. The recorder fills them in (and the unit, where it is
            left out), so that a file explains itself.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    interval: str = ""
    unit: str = ""
    description: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    better: str = ""

    @property
    def sentence(self) -> str:
        """What was measured and under which conditions."""
        return sentence(self.description, self.conditions)


@dataclass(frozen=True)
class Checkpoint:
    """A stored state: ``weights`` are safetensors bytes, ``state`` is plain JSON data."""

    step: int
    weights: bytes
    state: dict[str, Any] = field(default_factory=dict)


class InputRun(Protocol):
    """A finished (or at least checkpointed) run that another job reads."""

    run_id: str

    @property
    def spec(self) -> dict[str, Any]:
        """The specification it ran with, as plain data; feed it to ``parse_spec``."""
        ...

    def checkpoint(self, which: str | int = "last") -> Checkpoint:
        """``"last"``, ``"best"`` (falls back to the last) or the one at a step. UserError when the run has none such."""
        ...

    def array(self, name: str) -> np.ndarray:
        """A per-sample array, e.g. ``"samples/images"`` of a generated set. UserError when there is none."""
        ...


class Recorder(Protocol):
    """Takes what a job reports. Steps are counted in the job's own unit; arrays are numpy, never tensors."""

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
        """One point of a curve over training, e.g. ``"loss"``, ``"validation/robust_accuracy"``; non-finite is kept.

        ``interval`` says what ``low`` and ``high`` are, e.g. ``"Wilson 95 %"``; it holds for the metric as a whole.
        Like everything reported here it is checked and copied at once: ``ValueError`` or ``TypeError`` for a mistake.
        """
        ...

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
        """A whole curve y(x) as it stands at ``step``, e.g. certified accuracy over radius. All arrays are 1-D, alike."""
        ...

    def images(self, name: str, step: int, images: np.ndarray, captions: list[str] | None = None) -> None:
        """A small batch of pictures, uint8 [N,H,W,C] with C = 1 or 3, at most some hundred."""
        ...

    def samples(self, **columns: np.ndarray) -> None:
        """Append rows of per-sample results; columns of one call have the same length, calls the same columns.

        Recorded as ``/samples/<column>``: e.g. ``index, label, prediction, radius`` or ``images, label, seed``.
        """
        ...

    def progress(self, done: int, total: int, unit: str = "steps") -> None:
        """How far the job is. Cheap; call it at every step. Time left is worked out from it."""
        ...

    def checkpoint(self, step: int, weights: bytes, state: dict[str, Any], *, best: bool = False) -> None:
        """Make the state durable: safetensors bytes and JSON data. ``best`` marks the one to be used later."""
        ...

    def note(self, text: str, level: str = "info") -> None:
        """A line of the run's log; level is ``info``, ``warning`` or ``error``."""
        ...

    def result(self, name: str, measure: Measure) -> None:
        """A final number, e.g. ``"clean_accuracy"``, ``"robust_accuracy"``, ``"average_certified_radius"``."""
        ...

    def attribute(self, name: str, value: Any) -> None:
        """A fact about the run in plain JSON data, e.g. ``"parameters"`` (count), ``"passes"``, ``"subset"``."""
        ...

    def check_stop(self) -> None:
        """Ask at every safe point. Raises ``Stopped`` when asked to stop; blocks while paused.

        On ``Stopped`` with grade ``"stop"`` the job writes a last checkpoint and lets the exception go on.
        """
        ...

    def input_run(self, run_id: str) -> InputRun:
        """Open a run named in the spec, and note it (with its digest) as a parent. UserError when it is missing."""
        ...

    def data_set(self, name: str) -> DataSetRecord:
        """The record of a data set, noted (with its digest) as a fact of the run.

        UserError when there is none of that name, or when it is not the one that an interrupted run began with.
        """
        ...

    @property
    def resumed_from(self) -> Checkpoint | None:
        """The checkpoint from which an interrupted run goes on, or None at a fresh start.

        What was recorded after its step (metrics, curves, pictures) has been taken back; everything, where an interrupted
        run had no checkpoint. Only rows of :meth:`samples` stay in any case.
        """
        ...

    @property
    def recorded_samples(self) -> int:
        """How many rows of :meth:`samples` an interrupted run had already recorded; 0 at a fresh start."""
        ...

    def recorded_column(self, name: str) -> np.ndarray:
        """A column of the rows that an interrupted run had recorded, e.g. ``"index"``; read-only, mapped where it is large.

        UserError when there is no such column, as at a fresh start.
        """
        ...
