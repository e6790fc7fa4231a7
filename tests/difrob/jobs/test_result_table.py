"""Rows that survive an interruption, and the pace of reports."""

from __future__ import annotations

import numpy as np
import pytest
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs.per_image import ResultTable, chosen_images
from difrob.specs import DataSpec


def rows(first: int, last: int) -> dict[str, np.ndarray]:
    index = np.arange(first, last, dtype=np.int64)
    return {"index": index, "radius": index / 7, "flag": index % 2 == 0, "code": index.astype(np.int8)}


def test_rows_and_their_types_come_back_from_a_checkpoint() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder)
    assert len(table) == 0
    table.add(**rows(0, 3))
    table.add(**rows(3, 8))
    table.save()
    table.save()  # nothing new: no second checkpoint
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == [8]

    resumed = recorder.resume()
    again = ResultTable(resumed)
    assert len(again) == again.reported_rows == 8
    again.add(**rows(8, 10))
    for name, expected in rows(0, 10).items():
        assert np.array_equal(again[name], expected) and again[name].dtype == expected.dtype
        assert np.array_equal(resumed.column(name), expected)


@pytest.mark.parametrize(("saved", "recorded"), [(0, 5), (3, 5), (5, 5)])
def test_recorded_rows_are_not_recorded_again(saved: int, recorded: int) -> None:
    first = MemoryRecorder()
    table = ResultTable(first)
    if saved:
        table.add(**rows(0, saved))
        table.save()
    resumed = MemoryRecorder(resumed_from=first.checkpoints[-1] if saved else None, samples_before=rows(0, recorded))
    again = ResultTable(resumed)
    assert len(again) == saved
    for start in range(saved, 8, 2):
        again.add(**rows(start, min(start + 2, 8)))
    assert np.array_equal(resumed.column("index"), np.arange(8)) and np.array_equal(again["index"], np.arange(8))


def test_reports_are_due_about_forty_times_and_at_the_end() -> None:
    table = ResultTable(MemoryRecorder())
    due = []
    for start in range(0, 1000, 4):
        table.add(**rows(start, start + 4))
        if table.report_is_due(start, 1000):
            due.append(len(table))
    assert len(due) == 40 and due[-1] == 1000
    small = ResultTable(MemoryRecorder())
    small.add(**rows(0, 3))
    assert small.report_is_due(0, 3)


def test_a_killed_run_without_a_checkpoint_reports_everything_again() -> None:
    """The recorder takes back curves and pictures that no checkpoint covers, so they must come once more."""
    table = ResultTable(MemoryRecorder(samples_before=rows(0, 6)))
    assert table.reported_rows == 0
    table.add(**rows(0, 4))
    assert table.report_is_due(0, 8)


def test_what_a_checkpoint_covers_is_not_reported_again() -> None:
    stopped = MemoryRecorder()
    table = ResultTable(stopped)
    table.add(**rows(0, 6))
    table.save()
    resumed = ResultTable(stopped.resume())
    assert resumed.reported_rows == len(resumed) == 6
    resumed.add(**rows(6, 8))
    assert resumed.report_is_due(6, 8)


@pytest.mark.parametrize(("grade", "steps"), [("stop", [3]), ("abort", [])])
def test_a_stop_saves_what_is_done_and_an_abort_does_not(grade: str, steps: list[int]) -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder)
    with pytest.raises(Stopped), table.saved_when_stopped():
        table.add(**rows(0, 3))
        raise Stopped(grade)
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == steps


def test_images_are_a_prefix_of_the_split() -> None:
    whole = chosen_images(MemoryRecorder(), DataSpec(), "validation", None)
    part = chosen_images(MemoryRecorder(), DataSpec(), "validation", 20)
    assert len(whole) == 197 and np.array_equal(part.indices, whole.indices[:20])
    with pytest.raises(UserError, match="197 images of the validation split of 'digits'"):
        chosen_images(MemoryRecorder(), DataSpec(), "validation", 198)
