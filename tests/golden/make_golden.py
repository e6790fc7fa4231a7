"""Makes the golden files of this version of difrob: ``python tests/golden/make_golden.py`` writes ``run-vN.*`` beside itself.

Files of earlier versions were made by the programs of their time and are never made anew: they are what people have.
"""

from __future__ import annotations

import inspect
import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from difrob.runs import Measure, RunState, Workspace
from difrob.runs.file_contents import SCHEMA_VERSION
from difrob.runs.recorder import RunRecorder
from difrob.specs import TrainDenoiserSpec

HERE = Path(__file__).resolve().parent
BEGAN = 1_700_000_000.0
WEIGHTS = bytes(range(256))
FACTS = {
    "versions": {"difrob": "golden"}, "python": "3.11.0", "platform": "golden", "difrob_version": "golden",
    "torch_version": "golden", "git_commit": "", "host": "golden", "pid": 1, "boot": "golden",
}  # fmt: skip


def record(recorder: RunRecorder, step: int) -> None:
    """Something of everything, with values that follow from the step."""
    named = {"interval": "Wilson 95 %"} if "interval" in inspect.signature(recorder.metric).parameters else {}
    recorder.metric("loss", step, 1.5 * step)
    recorder.metric("loss", step, float("nan"))
    recorder.metric("validation/robust_accuracy", step, 0.5, 0.4, 0.6, **named)
    recorder.curve(
        "certified accuracy", step, np.arange(3.0), np.array([1, 0.5, 0.25]) / step, np.zeros(3), np.ones(3),
        x_label="l2 radius", y_label="certified accuracy", interval="Clopper-Pearson 95 %",
    )  # fmt: skip
    recorder.images("drawn/them", step, np.full((2, 3, 3, 1), step, np.uint8), ["eins", "zwei"])
    recorder.samples(index=np.arange(4) + 4 * step, radius=np.full(4, 0.25, np.float32))
    recorder.progress(step, 10)
    recorder.note(f"at step {step}, ünï 漢", "warning")
    stated = {"conditions": {"norm": "linf", "eps": 0.15}} if "conditions" in Measure.__dataclass_fields__ else {}
    recorder.result("robust_accuracy", Measure(0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", "PGD-10", **stated))
    recorder.attribute("parameters", {"count": step, "list": [1, None, "x"]})


def new_recorder(workspace: Workspace, run_id: str) -> RunRecorder:
    """A recorder whose clock ticks in whole seconds and whose surroundings are nobody's."""
    return RunRecorder(workspace, run_id, TrainDenoiserSpec(name="golden"), created=BEGAN)


def make() -> None:
    """Write an ended run's file, and the journal of a run that is alive."""
    ticks = itertools.count()
    clock = SimpleNamespace(time=lambda: BEGAN + next(ticks), monotonic=lambda: 0.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("difrob.runs.recorder.time", clock),
        mock.patch("difrob.runs.recorder.surroundings", lambda: FACTS),
        mock.patch("socket.gethostname", lambda: "golden"),
    ):
        workspace = Workspace(folder)
        recorder = new_recorder(workspace, "ended")
        record(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {"step": 1}, best=True)
        record(recorder, 2)
        recorder.checkpoint(2, WEIGHTS[::-1], {"step": 2, "nested": {"lr": 0.5}})
        recorder.finish(RunState.INTERRUPTED, "stopped on request")
        live = new_recorder(workspace, "live")
        record(live, 1)
        record(live, 2)
        live.flush()
        for run, suffix in (("ended", "h5"), ("live", "journal")):
            data = (workspace.runs_folder / f"{run}.{suffix}").read_bytes()
            (HERE / f"run-v{SCHEMA_VERSION}.{suffix}").write_bytes(data)
        live.close()


if __name__ == "__main__":
    make()
