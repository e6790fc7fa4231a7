"""The loop over images: ranges that add up, resuming from rows, reports made again, costs that do not grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped
from difrob.jobs import per_image
from difrob.jobs.per_image import ResultTable, Rows
from difrob.jobs.running_totals import RunningMean, RunningShare
from difrob.jobs.sweep_images import batches_of, report_is_due, sweep_images
from difrob.metrics.accuracy import mean_measure, share_measure
from difrob.nets.storage import pack
from difrob.randomness import normal_per_sample
from difrob.runs import RunState, Workspace
from difrob.runs.interface import Recorder
from difrob.runs.recorder import RunRecorder
from difrob.specs import CertifySpec

NUMBERS = np.random.default_rng(0).permutation(500)[:103].astype(np.int64)  # an ordered subset of a data set


def found(positions: range) -> dict[str, np.ndarray]:
    """What a job may find: numbers that belong to the image."""
    indices = NUMBERS[np.array(positions)]
    noise = normal_per_sample(3, "a sweep", indices, (2,)).numpy()
    return {"index": indices, "noise": noise, "right": noise[:, 0] > 0}


class SoFar:
    """Live metrics as jobs keep them; remembers how many rows it was given at a time."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.right, self.noise = RunningShare(), RunningMean()
        self.taken: list[int] = []

    def take_in(self, rows: Rows) -> None:
        self.taken.append(len(rows))
        self.right.add(rows["right"])
        self.noise.add(rows["noise"][:, 1])

    def record(self, done: int) -> None:
        self.right.record(self.recorder, "clean_accuracy", done)
        self.noise.record(self.recorder, "loss", done)


def swept(
    recorder: Recorder,
    positions: range = range(103),
    compute: Callable[[range], dict[str, np.ndarray]] = found,
    batch_size: int = 10,
) -> SoFar:
    indices = NUMBERS[positions.start : positions.stop]
    table, so_far = ResultTable(recorder, positions, indices=indices), SoFar(recorder)
    with table.saved_when_stopped():
        sweep_images(recorder, table, batch_size, compute, take_in=so_far.take_in, report=so_far.record)
    return so_far


def test_batches_are_cut_at_the_same_places_wherever_a_range_begins() -> None:
    assert list(batches_of(range(0, 25), 10)) == [range(0, 10), range(10, 20), range(20, 25)]
    assert list(batches_of(range(7, 31), 10)) == [range(7, 10), range(10, 20), range(20, 30), range(30, 31)]
    assert list(batches_of(range(5, 5), 10)) == []


@pytest.mark.parametrize("cut", [0, 1, 10, 37, 60, 102, 103])
def test_two_ranges_give_the_rows_of_one_sweep(cut: int) -> None:
    whole = MemoryRecorder()
    swept(whole)
    assert np.array_equal(whole.column("index"), NUMBERS)
    parts = [MemoryRecorder() for _ in range(2)]
    for recorder, positions in zip(parts, (range(cut), range(cut, 103)), strict=True):
        swept(recorder, positions)
        assert recorder.progressed[-1] == (len(positions), len(positions), "images")
    for name, column in whole.columns().items():
        laid = np.concatenate([part.column(name) for part in parts if len(part.columns())])
        assert np.array_equal(laid, column) and laid.dtype == column.dtype, name


@pytest.mark.parametrize("rows", [1, 9, 10, 44, 100, 103])
@pytest.mark.parametrize("marked", [None, 0, 40])
def test_what_was_taken_back_is_told_again_and_nothing_else_is_done_twice(rows: int, marked: int | None) -> None:
    """Killed after any row, the run had metrics up to its last checkpoint, if it had one."""
    whole = MemoryRecorder()
    swept(whole)
    if marked is not None and marked > rows:
        return
    stopped = MemoryRecorder()
    if marked is not None:
        stopped.checkpoint(marked, pack(), {"step": marked})
    killed = stopped.resume(samples_before={name: column[:rows] for name, column in whole.columns().items()})
    computed: list[range] = []

    def watched(positions: range) -> dict[str, np.ndarray]:
        computed.append(positions)
        return found(positions)

    so_far = swept(killed, compute=watched)
    for name, column in whole.columns().items():
        assert np.array_equal(killed.column(name), column), name
    # Only images without a row, and those that share a batch with one.
    assert computed == [batch for batch in batches_of(range(103), 10) if batch.stop > rows]
    assert so_far.taken == [10] * 10 + [3]
    for name, points in whole.metrics.items():
        assert killed.metrics.get(name, []) == [point for point in points if point.step > (marked or 0)], name
    assert killed.progressed[0] == (rows, 103, "images") and killed.progressed[-1] == (103, 103, "images")


def test_a_batch_costs_the_same_however_many_rows_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    concatenate, joined = np.concatenate, set[int]()

    def watched(arrays: Sequence[np.ndarray]) -> np.ndarray:
        together = concatenate(arrays)
        joined.add(together.nbytes)
        return together

    monkeypatch.setattr(np, "concatenate", watched)
    recorder, recorded = MemoryRecorder(), list[int]()
    samples = recorder.samples

    def recording(**columns: np.ndarray) -> None:
        recorded.append(sum(column.nbytes for column in columns.values()))
        samples(**columns)

    monkeypatch.setattr(recorder, "samples", recording)
    table, so_far = ResultTable(recorder, range(100), indices=NUMBERS[:100]), SoFar(recorder)
    seen: list[np.ndarray] = []

    def take_in(rows: Rows) -> None:
        so_far.take_in(rows)
        seen.append(table["noise"])

    sweep_images(recorder, table, 5, found, take_in=take_in, report=so_far.record)
    assert len(joined) <= 1  # if anything is laid together, it is a batch
    assert recorded == [5 * (8 + 8 + 1)] * 20 and so_far.taken == [5] * 20
    assert all(np.shares_memory(seen[0], column) for column in seen) and [len(seen[0]), len(seen[10])] == [5, 55]
    assert len(recorder.checkpoints) == 20 and len({len(kept.weights) for kept in recorder.checkpoints}) == 1


def test_reports_are_due_about_forty_times_and_at_the_end() -> None:
    due = [start + 4 for start in range(0, 1000, 4) if report_is_due(start, start + 4, 1000)]
    assert len(due) == 40 and due[-1] == 1000
    assert report_is_due(0, 3, 3)


def test_a_stop_keeps_what_is_done() -> None:
    stopped = MemoryRecorder(stop_at_check=3)
    with pytest.raises(Stopped):
        swept(stopped)
    assert [kept.step for kept in stopped.checkpoints] == [30] and len(stopped.column("index")) == 30
    resumed = stopped.resume()
    swept(resumed)
    assert np.array_equal(resumed.column("index"), NUMBERS) and resumed.progressed[0] == (30, 103, "images")


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_killed_run_ends_like_any_other(checkpoints: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the recorder of a real run, whose process dies in the middle of three batches in turn."""
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0 if checkpoints else 1e9)
    workspace, spec = Workspace(tmp_path / "work"), CertifySpec(classifier="none")

    def dies_at(position: int) -> Callable[[range], dict[str, np.ndarray]]:
        def compute(positions: range) -> dict[str, np.ndarray]:
            if position in positions:
                raise KeyboardInterrupt
            return found(positions)

        return compute

    for number, position in enumerate((15, 58, 102)):
        recorder = RunRecorder(workspace, "killed", spec, resume=number > 0)
        with pytest.raises(KeyboardInterrupt):
            swept(recorder, compute=dies_at(position))
        recorder.flush()
        recorder.close()
    for run_id in ("killed", "whole"):
        recorder = RunRecorder(workspace, run_id, spec, resume=run_id == "killed")
        assert recorder.recorded_samples == (100 if run_id == "killed" else 0)
        swept(recorder)
        recorder.finish(RunState.FINISHED)
    killed, whole = workspace.reader("killed"), workspace.reader("whole")
    for name in found(range(1)):
        assert np.array_equal(killed.array(f"samples/{name}"), whole.array(f"samples/{name}")), name
    for name, series in whole.metrics().items():
        for part in ("step", "value", "low", "high"):
            assert np.array_equal(getattr(killed.metrics()[name], part), getattr(series, part), equal_nan=True), name


def test_running_totals_are_those_of_all_rows() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 57)
    for exact in (False, True):
        recorder, share = MemoryRecorder(), RunningShare()
        for part in np.split(values > 3.5, [1, 9, 40]):
            share.add(part)
        share.record(recorder, "abstentions", 57, exact=exact)
        (point,), expected = recorder.metrics["abstentions"], share_measure(values > 3.5, exact=exact)
        assert (point.value, point.low, point.high, point.interval) == (
            expected.value, expected.low, expected.high, expected.interval,
        )  # fmt: skip
    recorder, mean = MemoryRecorder(), RunningMean()
    for part in np.split(values, [1, 9, 40]):
        mean.add(part)
        mean.record(recorder, "loss", mean.count)
    assert recorder.metrics["loss"][0].low is None  # of a single value there is no interval
    for point in recorder.metrics["loss"][1:]:
        expected = mean_measure(values[: point.step], unit="")
        assert (point.value, point.low, point.high) == pytest.approx(
            (expected.value, expected.low, expected.high), rel=1e-12
        )
        assert point.interval == expected.interval
