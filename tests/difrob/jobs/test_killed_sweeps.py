"""Jobs that sweep images, killed after any row: what they record, tell and find in the end is what they always do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import classifier_run
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.jobs import analyse, certify, evaluate, measure, per_image
from difrob.jobs.running_totals import RunningMean, RunningShare
from difrob.nets.storage import pack
from difrob.runs.interface import Checkpoint
from difrob.specs import (
    AnalyseSpec,
    CertifySpec,
    DataSpec,
    EvaluateSpec,
    GenerateSpec,
    JobSpec,
    MeasureSpec,
    TrainDenoiserSpec,
    parse_spec,
)

CPU = torch.device("cpu")
CLASSIFIER = classifier_run()
DATA = DataSpec.model_validate(parse_spec(CLASSIFIER.spec).model_dump()["data"])
IMAGES = 50
JOBS: dict[str, tuple[Callable[[Any, Any, Any], None], JobSpec]] = {
    "evaluate": (
        evaluate.run,
        EvaluateSpec(
            classifier="classifier", split="validation", images=IMAGES, attack={"eps": 0.05, "steps": 3}, batch_size=8,
            eps_grid=(0.02, 0.1),
        ),
    ),
    "certify": (
        certify.run,
        CertifySpec(classifier="classifier", split="validation", images=IMAGES, n0=20, n=100, batch_size=100),
    ),
    "measure": (
        measure.run,
        MeasureSpec(
            generated="set", classifier="classifier", images=IMAGES, batch_size=8,
            measures=("precision_recall", "memorisation", "duplicates", "label_agreement"),
        ),
    ),
    "analyse": (
        analyse.run,
        AnalyseSpec(
            classifier="classifier", measures=("rank", "gradients"), images=IMAGES, attack={"eps": 0.05, "steps": 2},
            batch_size=8,
        ),
    ),
}  # fmt: skip


def input_runs() -> dict[str, MemoryInputRun]:
    drawn = load_split(DataSpec(), "validation")
    arrays = {"images": drawn.images, "label": drawn.labels, "index": np.arange(len(drawn), dtype=np.int64)}
    generated = MemoryInputRun(
        "set", GenerateSpec(denoiser="model"), arrays={f"samples/{name}": column for name, column in arrays.items()}
    )
    return {"classifier": CLASSIFIER, "set": generated, "model": MemoryInputRun("model", TrainDenoiserSpec(data=DATA))}


RUNS = input_runs()


def finished(kind: str, recorder: MemoryRecorder) -> MemoryRecorder:
    run, spec = JOBS[kind]
    run(spec, recorder, CPU)
    return recorder


@pytest.fixture(scope="module")
def wholes() -> dict[str, MemoryRecorder]:
    """Uninterrupted runs that have marked every batch with a checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
        return {kind: finished(kind, MemoryRecorder(runs=RUNS)) for kind in JOBS}


def told(recorder: MemoryRecorder) -> dict[tuple[str, int], Any]:
    """Metrics, curves and pictures in plain data by name and step; of two alike a run file shows the later one."""
    return {
        (name, item.step): {
            key: part.tolist() if isinstance(part, np.ndarray) else part for key, part in vars(item).items()
        }
        for kind in (recorder.metrics, recorder.curves, recorder.pictures)
        for name, items in kind.items()
        for item in items
    }


def copied(checkpoint: Checkpoint, rows: dict[str, np.ndarray]) -> Checkpoint:
    """The checkpoint as earlier versions wrote it, with copies of all rows."""
    copies = {name: torch.from_numpy(column[: checkpoint.step].copy()) for name, column in rows.items()}
    return replace(checkpoint, weights=pack(rows=copies, beside={}))


def cases() -> list[Any]:
    """Killed after random rows; with no checkpoint, or a random earlier one, of this version or an earlier one."""
    source, found = np.random.default_rng(11), []
    for kind in JOBS:
        found += [(kind, int(source.integers(1, IMAGES + 1)), None, False) for _ in range(2)]
        for old in (False, True):
            rows = int(source.integers(8, IMAGES + 1))
            found.append((kind, rows, float(source.random()), old))
        found.append((kind, IMAGES, 1.0, False))
    return found


@pytest.mark.parametrize(("kind", "rows", "where", "old"), cases())
def test_a_killed_run_ends_like_an_uninterrupted_one(
    kind: str, rows: int, where: float | None, old: bool, wholes: dict[str, MemoryRecorder]
) -> None:
    whole, columns = wholes[kind], wholes[kind].columns()
    assert len(columns["index"]) == IMAGES
    checkpoint = None
    if where is not None:
        written = [kept for kept in whole.checkpoints if kept.step <= rows]
        checkpoint = written[int(where * (len(written) - 1))]
        if old:
            checkpoint = copied(checkpoint, columns)
    killed = MemoryRecorder(
        runs=RUNS, resumed_from=checkpoint, samples_before={name: column[:rows] for name, column in columns.items()}
    )
    finished(kind, killed)
    for name, column in columns.items():
        assert np.array_equal(killed.column(name), column, equal_nan=column.dtype.kind == "f"), name
    assert killed.results == whole.results and killed.attributes == whole.attributes
    marked = checkpoint.step if checkpoint else -1
    kept = {(name, step): item for (name, step), item in told(whole).items() if step <= marked}
    assert kept | told(killed) == told(whole)
    for name, points in killed.metrics.items():  # and no point comes twice
        assert [point.step for point in points] == [p.step for p in whole.metrics[name] if p.step > marked]
    assert killed.progressed[-1] == whole.progressed[-1]


@pytest.mark.parametrize("kind", ["evaluate", "certify", "measure"])
def test_live_numbers_look_at_each_row_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often they are told: their cost is that of the batch, not of all rows so far."""
    seen: dict[int, list[int]] = {}
    for total in (RunningShare, RunningMean):
        add = total.add

        def watched(self: Any, values: np.ndarray, add: Callable[[Any, Any], None] = add) -> None:
            seen.setdefault(id(self), []).append(len(values))
            add(self, values)

        monkeypatch.setattr(total, "add", watched)
    recorder = finished(kind, MemoryRecorder(runs=RUNS))
    assert len(seen) >= 2 and len(next(iter(recorder.metrics.values()))) > 3
    for lengths in seen.values():
        assert sum(lengths) == IMAGES and max(lengths) <= 8


@pytest.mark.parametrize("kind", JOBS)
def test_checkpoints_do_not_grow_with_rows(kind: str, wholes: dict[str, MemoryRecorder]) -> None:
    checkpoints = wholes[kind].checkpoints
    assert [kept.step for kept in checkpoints][-1] == IMAGES and len(checkpoints) > 3
    assert len({len(kept.weights) for kept in checkpoints}) == 1 and len(checkpoints[0].weights) < 100
    assert all(set(kept.state) == {"step", "rests_on"} for kept in checkpoints)
