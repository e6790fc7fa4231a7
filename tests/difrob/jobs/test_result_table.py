"""Rows that survive an interruption, and what checkpoints keep beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped, UserError
from difrob.jobs.per_image import FilledArray, ResultTable, chosen_images
from difrob.nets.storage import pack, unpack
from difrob.specs import DataSpec


def rows(first: int, last: int) -> dict[str, np.ndarray]:
    index = np.arange(first, last, dtype=np.int64)
    return {"index": index, "radius": index / 7, "flag": index % 2 == 0, "code": index.astype(np.int8)}


def test_rows_and_their_types_come_back_from_what_was_recorded() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(10))
    assert len(table) == 0
    table.add(**rows(0, 3))
    table.add(**rows(3, 8))
    table.save()
    table.save()  # nothing new: no second checkpoint
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == [8]

    resumed = recorder.resume()
    again = ResultTable(resumed, range(10), indices=np.arange(10))
    assert len(again) == again.reported_rows == 8
    again.add(**rows(8, 10))
    for name, expected in rows(0, 10).items():
        assert np.array_equal(again[name], expected) and again[name].dtype == expected.dtype
        assert np.array_equal(again.rows(7, 9)[name], expected[7:9]) and len(again.rows(7, 9)) == 2
        assert np.array_equal(resumed.column(name), expected)


@pytest.mark.parametrize("saved", [0, 3, 5])
def test_all_recorded_rows_are_restored_wherever_the_checkpoint_was(saved: int) -> None:
    """The recorder takes back curves and pictures that no checkpoint covers, and no row."""
    first = MemoryRecorder()
    table = ResultTable(first, range(8))
    if saved:
        table.add(**rows(0, saved))
        table.save()
    resumed = MemoryRecorder(resumed_from=first.checkpoints[-1] if saved else None, samples_before=rows(0, 5))
    again = ResultTable(resumed, range(8))
    assert (len(again), again.reported_rows) == (5, saved)
    again.add(**rows(5, 8))
    assert np.array_equal(resumed.column("index"), np.arange(8)) and np.array_equal(again["index"], np.arange(8))


def test_a_finished_table_reads_what_was_recorded_without_a_copy() -> None:
    table = ResultTable(MemoryRecorder(samples_before=rows(0, 6)), range(6))
    assert not table["radius"].flags.writeable and np.array_equal(table["radius"], rows(0, 6)["radius"])
    with pytest.raises(UserError, match="no 'samples/elsewhere'"):
        table["elsewhere"]


def test_a_checkpoint_holds_no_row() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(1000))
    for start in range(0, 1000, 100):
        table.add(**rows(start, start + 100))
        table.save()
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == list(range(100, 1100, 100))
    assert len({len(checkpoint.weights) for checkpoint in recorder.checkpoints}) == 1
    assert [checkpoint.state for checkpoint in recorder.checkpoints] == [
        {"step": step, "rests_on": ""} for step in range(100, 1100, 100)
    ]


def test_what_rows_cannot_tell_is_kept_beside_them() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(3))
    flags = table.beside("flags", 4, bool)
    table.add(**rows(0, 3))
    table.save()
    assert unpack(recorder.checkpoints[-1].weights) == {}
    flags.append(np.array([True, False]))
    table.save()
    assert recorder.checkpoints[-1].step == 5

    again = ResultTable(recorder.resume(), range(3))
    kept = again.beside("flags", 4, bool)
    assert kept.filled.tolist() == [True, False] and (len(again), again.reported_rows) == (3, 3)
    kept.append(np.array([True, True]))
    assert kept.filled.tolist() == [True, False, True, True] and flags.filled.tolist() == [True, False]


def test_checkpoints_of_earlier_versions_held_copies_of_the_rows() -> None:
    """What such a run recorded goes on; the copies are left aside."""
    first = MemoryRecorder()
    table = ResultTable(first, range(6))
    table.add(**rows(0, 4))
    table.save()
    copies = {name: torch.from_numpy(column) for name, column in rows(0, 4).items()}
    old = replace(first.checkpoints[-1], weights=pack(rows=copies, beside={"flags": torch.ones(3, dtype=torch.bool)}))
    again = ResultTable(MemoryRecorder(resumed_from=old, samples_before=rows(0, 5)), range(6), indices=np.arange(6))
    assert (len(again), again.reported_rows) == (5, 4) and again.beside("flags", 9, bool).filled.all()


def test_rows_of_other_images_are_never_mixed() -> None:
    before = MemoryRecorder(samples_before=rows(0, 6))
    with pytest.raises(UserError, match="the 6 rows .* are of other images .*; start the run anew"):
        ResultTable(before, range(9), indices=np.arange(1, 10))
    with pytest.raises(UserError, match="recorded 6 rows, which are more than the 5 .*; start the run anew"):
        ResultTable(before, range(5))


def test_no_row_is_recorded_before_what_it_rests_on() -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(4), rests_on="a file")
    assert recorder.checkpoints == []
    table.add(**rows(0, 2))
    assert [(kept.step, kept.state["rests_on"]) for kept in recorder.checkpoints] == [(0, "a file")]
    assert len(ResultTable(recorder.resume(), range(4), rests_on="a file")) == 2
    with pytest.raises(UserError, match="began with a file and would go on with another"):
        ResultTable(recorder.resume(), range(4), rests_on="another")
    with pytest.raises(UserError, match="before it noted what its 2 rows rest on; start the run anew"):
        ResultTable(recorder.resume(resumed_from=None), range(4), rests_on="a file")


@pytest.mark.parametrize(("grade", "steps"), [("stop", [3]), ("abort", [])])
def test_a_stop_marks_what_is_done_and_an_abort_does_not(grade: str, steps: list[int]) -> None:
    recorder = MemoryRecorder()
    table = ResultTable(recorder, range(9))
    with pytest.raises(Stopped), table.saved_when_stopped():
        table.add(**rows(0, 3))
        raise Stopped(grade)
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == steps


def test_appending_moves_nothing_that_is_there() -> None:
    array = FilledArray(9, np.arange(4))
    before = array.filled
    array.append(np.array([4, 5]))
    assert array.filled.tolist() == [0, 1, 2, 3, 4, 5] and len(array) == 6
    assert np.shares_memory(before, array.filled)
    with pytest.raises(ValueError, match="broadcast"):
        array.append(np.arange(4))


def test_images_are_a_prefix_of_the_split() -> None:
    whole = chosen_images(MemoryRecorder(), DataSpec(), "validation", None)
    part = chosen_images(MemoryRecorder(), DataSpec(), "validation", 20)
    assert len(whole) == 197 and np.array_equal(part.indices, whole.indices[:20])
    with pytest.raises(UserError, match="197 images of the validation split of 'digits'"):
        chosen_images(MemoryRecorder(), DataSpec(), "validation", 198)
