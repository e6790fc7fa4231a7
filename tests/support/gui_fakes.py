"""Stand-ins for the feed hub and the supervisor client, and hand-made runs, for tests of pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from difrob.runs import Curve, FeedUpdate, LogLine, Measure, Pictures, Progress, RunState, RunSummary, Series
from difrob_gui.mirror import QueueMirror
from difrob_gui.models.run_model import RunModel
from difrob_gui.supervisor_like import Answered, SupervisorLike


class FakeHub(QObject):
    """Remembers how often each run is held; a test sends the updates. What is in ``runs`` has been read already."""

    summaries_changed = Signal(object)
    failed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.watched: Counter[str] = Counter()
        self.models: dict[str, RunModel] = {}
        self.runs: dict[str, FeedUpdate] = {}
        self.summaries: list[RunSummary] = []

    def run(self, run_id: str) -> RunModel:
        self.watched[run_id] += 1
        if run_id not in self.models:
            self.models[run_id] = RunModel(run_id)
            if run_id in self.runs:
                self.models[run_id].take(self.runs[run_id])
        return self.models[run_id]

    def release(self, model: RunModel) -> None:
        self.watched[model.run_id] -= 1
        if not self.watched[model.run_id]:
            del self.watched[model.run_id], self.models[model.run_id]

    def send(self, update: FeedUpdate) -> None:
        self.models[update.summary.run_id].take(update)

    def fail(self, run_id: str, message: str) -> None:
        self.models[run_id].fail(message)

    def summary_of(self, run_id: str) -> RunSummary | None:
        return next((s for s in self.summaries if s.run_id == run_id), None)


class FakeClient(QObject):
    """Keeps the calls; answers what a test tells it to."""

    progress_changed = Signal(str)
    entry_changed = Signal(str)
    entry_removed = Signal(str)
    state_changed = Signal()
    meters_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mirror = QueueMirror()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.error: str | None = None

    def call(self, name: str, callback: Answered | None = None, **args: Any) -> None:
        self.calls.append((name, args))
        if callback is not None:
            callback(None if self.error else {}, self.error)


if TYPE_CHECKING:
    # The type checker says here what a stand-in lacks that pages need.
    _stand_in: type[SupervisorLike] = FakeClient


def series(step: np.ndarray, value: np.ndarray, half: float | None = None, start: float = 1.7e9) -> Series:
    """A metric recorded every 0.2 s; with ``half`` its interval reaches that far to both sides."""
    step = np.asarray(step, dtype=np.int64)
    value = np.asarray(value, dtype=float)
    nothing = np.full(len(step), np.nan)
    low = nothing if half is None else np.clip(value - half, 0, 1)
    high = nothing if half is None else np.clip(value + half, 0, 1)
    return Series(step, start + 0.2 * step, value, low, high)


def summary(run_id: str, kind: str = "train_classifier", state: RunState = RunState.RUNNING, **more: Any) -> RunSummary:
    """A summary with sensible fields."""
    spec = {"kind": kind, "version": 1, "name": more.get("name", run_id), "seed": 0, **more.pop("spec", {})}
    known = {"name": run_id, "created": 1.7e9, "started": 1.7e9, "host": "workstation", "device": "cpu",
             "progress": Progress(300, 600, "steps", 75.0)}  # fmt: skip
    return RunSummary(run_id=run_id, kind=kind, state=state, spec=spec, **{**known, **more})


def share(value: float, n: int = 600, description: str = "", conditions: Mapping[str, Any] = {}) -> Measure:
    """An accuracy with a plausible interval."""
    half = 1.96 * np.sqrt(value * (1 - value) / n)
    return Measure(
        value, max(value - half, 0.0), min(value + half, 1.0), n, "Wilson 95 %", "share", description, conditions
    )


def training(run_id: str = "trades-1", *, state: RunState = RunState.RUNNING, strength: float = 1.0, seed: int = 0,
             steps: int = 600, **more: Any) -> FeedUpdate:  # fmt: skip
    """A run of adversarial training with everything that such a run records."""
    random = np.random.default_rng(seed)
    step = np.arange(5, steps + 1, 5)
    t = step / 600
    loss = 2.2 * np.exp(-3 * t) + 0.7 + 0.08 * random.normal(size=len(t))
    measured = np.arange(50, steps + 1, 50)
    m = measured / 600
    images = random.integers(0, 255, size=(24, 8, 8, 1), dtype=np.uint8)
    captions = [text for k in range(12) for text in (f"label {k % 10}", f"label {k % 10} -> {(k * 3) % 10}")]
    lines = [LogLine(1.7e9 + k, "info", f"step {50 * k}: robust accuracy {0.3 + 0.03 * k:.3f}") for k in range(1, 13)]
    lines.insert(4, LogLine(1.7e9 + 4.5, "warning", "the gradient norm rose above 10; consider gradient_clip"))
    metrics = {
        "loss": series(step, loss),
        "loss/clean": series(step, 0.7 * loss),
        "loss/robust": series(step, 0.06 * loss),
        "gradient_norm": series(step, np.exp(0.4 * random.normal(size=len(t)) - t)),
        "learning_rate": series(step, 0.1 * (1 + np.cos(np.pi * t))),
        "validation/clean_accuracy": series(measured, 0.95 * (1 - np.exp(-6 * m)), 0.03),
        "validation/robust_accuracy": series(measured, strength * 0.66 * (1 - np.exp(-4 * m)), 0.05),
        "train/robust_accuracy": series(measured, strength * 0.72 * (1 - np.exp(-4 * m)), 0.05),
        "train/attack_success": series(step, 0.5 + 0.1 * random.normal(size=len(t)) * np.exp(-t)),
    }
    results = {}
    if state is RunState.FINISHED:
        results = {
            "best_validation_clean_accuracy": share(0.944, 197, "unattacked, best checkpoint"),
            "best_validation_robust_accuracy": share(0.65 * strength, 197, "PGD-40 linf 0.15, margin loss"),
        }
    return FeedUpdate(
        summary=summary(run_id, state=state, results=results, **more),
        reset=True,
        metrics=metrics,
        pictures=[Pictures("adversarial", s, np.roll(images, s, 0), captions) for s in (100, 200, 300)],
        log=lines,
    )


def certification(run_id: str = "certify-1", *, sigma: float = 0.25, level: float = 0.95, **spec: Any) -> FeedUpdate:
    """A finished certification with its curve."""
    radius = np.linspace(0, 1.2, 121)
    accuracy = np.clip(level * (1 - (radius / (3.2 * sigma)) ** 2), 0, 1)
    low, high = np.clip(accuracy - 0.04, 0, 1), np.clip(accuracy + 0.04, 0, 1)
    done = np.arange(10, 301, 10)
    curve = Curve("certified_accuracy", 300, radius, accuracy, low, high, "l2 radius ([0,1] intensity)",
                  "certified accuracy", "Clopper-Pearson 95 %")  # fmt: skip
    known = {"classifier": "gaussian-1", "sigma": sigma, "n0": 100, "n": 1000, "alpha": 0.001, "split": "test"}
    results = {
        "certified_accuracy_at_0.25": share(float(accuracy[25]), 300, f"certified within l2 0.25, sigma {sigma:g}"),
        "average_certified_radius": Measure(0.5 * level * sigma, 0.45 * level * sigma, 0.55 * level * sigma, 300,
                                            "Student t 95 %", "", "mean certified radius"),
    }  # fmt: skip
    return FeedUpdate(
        summary=summary(run_id, "certify", RunState.FINISHED, results=results, ended=1.7e9 + 61,
                        progress=Progress(300, 300, "images", 0.0), spec={**known, **spec}),
        reset=True,
        metrics={
            "average_certified_radius": series(done, 0.12 + 0.01 * np.cos(done / 40), 0.01),
            "abstentions": series(done, np.full(len(done), 0.02)),
        },
        curves=[curve],
        log=[LogLine(1.7e9, "info", "certifying 300 images")],
    )  # fmt: skip
