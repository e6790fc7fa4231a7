"""Bringing runs to rest whose writer died, whatever it left behind."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.recorded_runs import WEIGHTS, content_of, record_everything, recording

from difrob.errors import UserError
from difrob.runs import RunReader, RunState, Workspace, run_file
from difrob.runs.damage.file_parts import damage
from difrob.runs.file_contents import SCHEMA_VERSION
from difrob.runs.file_writer import FileWriter
from difrob.runs.journal import MAGIC, MAX_SEQUENCE, encode_frame, scan_journal
from difrob.runs.locks import is_locked
from difrob.runs.reader import LOST
from difrob.runs.recovery import recover


def dead_run(workspace: Workspace, run_id: str = "run") -> RunReader:
    """A run with a checkpoint at 1, whose writer died after step 2 was safe."""
    with recording(workspace, run_id) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {"step": 1})
        record_everything(recorder, 2)
        recorder.flush()
    return workspace.reader(run_id)


def files_of(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.runs_folder.iterdir()}


def change_header(path: Path, **changes: Any) -> None:
    """Rewrite facts in a journal's header."""
    scan = scan_journal(path)
    header = scan.frames[0].records[0]
    header["facts"] |= changes
    frames = [encode_frame(frame.sequence, frame.records) for frame in scan.frames]
    path.write_bytes(MAGIC + b"".join(frames))


def test_a_dead_run_is_folded_marked_and_loses_nothing(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    before, died = content_of(reader), workspace.journal_path("run").stat().st_mtime
    live = reader.summary()
    assert (live.state, live.reason, live.ended) == (RunState.INTERRUPTED, LOST, None)
    summary = recover(reader)
    assert summary is not None and summary == reader.summary()
    assert (summary.state, summary.reason, summary.ended) == (RunState.INTERRUPTED, LOST, died)
    assert summary.has_checkpoint and summary.progress.done == 2 and summary.results.keys() == {"robust_accuracy"}
    assert content_of(reader) == before and reader.sample_count() == 8 and reader.checkpoint().weights == WEIGHTS
    assert files_of(workspace) == {"run.h5"}
    assert recover(reader) is None


def test_whoever_knows_why_it_died_says_so(workspace: Workspace) -> None:
    summary = recover(dead_run(workspace), "killed on request", RunState.CANCELLED)
    assert summary is not None and (summary.state, summary.reason) == (RunState.CANCELLED, "killed on request")
    with h5py.File(workspace.run_path("run")) as file:
        assert (file.attrs["status"], file.attrs["reason"]) == ("cancelled", "killed on request")


@pytest.mark.parametrize("size", range(0, 2400, 199))
def test_a_torn_journal_is_cut_at_the_last_whole_frame(workspace: Workspace, size: int) -> None:
    reader = dead_run(workspace)
    journal = workspace.journal_path("run")
    scan = scan_journal(journal)
    data = journal.read_bytes()
    start = len(MAGIC) + len(encode_frame(0, scan.frames[0].records))
    journal.write_bytes(data[: min(start + size, len(data) - 1)])
    expected = content_of(reader)
    summary = recover(reader)
    assert summary is not None and summary.state is RunState.INTERRUPTED
    assert content_of(reader) == expected and len(expected["metrics"]["loss"]["step"][2]) in (1, 2)
    assert damage(workspace.run_path("run")) == ""


@pytest.mark.parametrize("content", [MAGIC[:5], MAGIC, MAGIC + bytes(100), b"no journal at all", bytes(20_000)])
def test_a_journal_without_a_readable_beginning_is_set_aside_and_the_file_marked(
    workspace: Workspace, content: bytes
) -> None:
    reader = dead_run(workspace)
    workspace.journal_path("run").write_bytes(content)
    assert reader.summary().state is RunState.INTERRUPTED
    summary = recover(reader)
    assert summary is not None and summary.state is RunState.INTERRUPTED
    assert "its journal was unreadable" in summary.reason and "'run.journal.damaged'" in summary.reason
    assert files_of(workspace) == {"run.h5", "run.journal.damaged"}
    assert (workspace.runs_folder / "run.journal.damaged").read_bytes() == content
    assert reader.metrics()["loss"].step.tolist() == [1] and reader.checkpoint().step == 1
    assert reader.summary() == summary and recover(reader) is None


def test_an_empty_journal_is_a_writer_that_died_at_birth(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    recover(reader)
    before = reader.summary()
    workspace.journal_path("run").write_bytes(b"")
    assert reader.summary() == before and recover(reader) == before
    assert files_of(workspace) == {"run.h5"}
    unborn = RunReader("unborn", workspace.run_path("unborn"), workspace.journal_path("unborn"))
    unborn.journal_path.write_bytes(b"")
    assert workspace.summaries() == [before]
    assert recover(unborn) is None and files_of(workspace) == {"run.h5"}


@pytest.mark.parametrize("record", [{"type": "metrics"}, {"type": "metrics", "rows": [["x", 1]]}, {"type": "end"},
                                    {"type": "curve", "future": 1}, {"type": "state", "state": "odd"},
                                    {"type": "metrics", "rows": [["x", "a", 1, 1, 1, 1]]}])  # fmt: skip
def test_a_journal_of_another_kind_of_records_is_refused_and_set_aside(
    workspace: Workspace, record: dict[str, Any]
) -> None:
    reader = dead_run(workspace)
    healthy = dead_run(workspace, "healthy")
    journal = workspace.journal_path("run")
    journal.write_bytes(journal.read_bytes() + encode_frame(scan_journal(journal).frames[-1].sequence + 1, [record]))
    with pytest.raises(UserError, match="newer difrob wrote it"):
        reader.metrics()
    with pytest.raises(UserError, match="newer difrob wrote it"):
        workspace.feed("run").poll()
    assert reader.summary().damaged
    assert {summary.run_id for summary in workspace.summaries()} == {"run", "healthy"}  # one bad run hides no other
    summary = recover(reader)
    assert summary is not None and "its journal was unreadable" in summary.reason
    assert recover(healthy) is not None
    assert files_of(workspace) == {"run.h5", "run.journal.damaged", "healthy.h5"}


def test_records_of_unknown_type_are_passed_over(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    before = content_of(reader)
    journal = workspace.journal_path("run")
    sequence = scan_journal(journal).frames[-1].sequence
    journal.write_bytes(journal.read_bytes() + encode_frame(sequence + 1, [{"type": "hologram"}, {}]))
    assert content_of(reader) == before
    recover(reader)
    assert content_of(reader) == before


def test_a_file_damaged_in_one_place_is_replaced_by_what_is_left_of_it(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    path = workspace.run_path("run")
    with h5py.File(path, "r+") as file:
        del file["metrics"]["loss"]["value"]
    broken = path.read_bytes()
    summary = recover(reader)
    assert summary is not None and summary.state is RunState.INTERRUPTED and summary.has_checkpoint
    assert "lost were metric 'loss'" in summary.reason and LOST in summary.reason
    assert files_of(workspace) == {"run.h5", "run.h5.damaged"}
    assert (workspace.runs_folder / "run.h5.damaged").read_bytes() == broken
    assert damage(path) == "" and reader.summary() == summary and reader.checkpoint().weights == WEIGHTS
    metrics = reader.metrics()
    assert metrics["loss"].step.tolist() == [2] and metrics["validation/robust_accuracy"].step.tolist() == [1, 2]
    assert reader.sample_count() == 8 and [batch.step for batch in reader.pictures()] == [1, 2]
    assert any("written anew from a damaged one" in line.text for line in reader.log())


def test_a_file_that_cannot_be_opened_is_set_aside_and_rebuilt_from_the_journal(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    path = workspace.run_path("run")
    path.write_bytes(b"broken" + path.read_bytes()[6:])
    broken = path.read_bytes()
    summary = recover(reader)
    assert summary is not None and summary.state is RunState.INTERRUPTED and not summary.has_checkpoint
    assert "rebuilt from the journal alone" in summary.reason and LOST in summary.reason
    assert files_of(workspace) == {"run.h5", "run.h5.damaged"}
    assert (workspace.runs_folder / "run.h5.damaged").read_bytes() == broken
    assert reader.metrics()["loss"].step[-1] == 2 and damage(path) == "" and reader.summary() == summary
    with recording(workspace, resume=True) as recorder:  # and the next one does not overwrite the first
        assert recorder.resumed_from is None
        recorder.note("again")
        recorder.flush()
    path.write_bytes(b"broken again")
    recover(reader)
    assert files_of(workspace) == {"run.h5", "run.h5.damaged", "run.h5.damaged-2"}


def test_a_missing_file_is_rebuilt_and_that_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", 0)
    reader = dead_run(workspace)
    workspace.run_path("run").unlink()
    summary = recover(reader)
    assert summary is not None and "rebuilt from the journal alone" in summary.reason
    assert reader.metrics()["loss"].step.tolist() == [2]


def test_a_run_that_finished_with_a_damaged_file_is_not_called_finished(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        recorder.checkpoint(1, WEIGHTS, {})
        journal = workspace.journal_path("run")
        saved = journal.read_bytes()
        recorder.finish(RunState.FINISHED)
    sequence = scan_journal_bytes(journal, saved)
    end = {"type": "end", "state": "finished", "reason": "", "time": 5.0}
    journal.write_bytes(saved + encode_frame(sequence + 1, [end]))
    workspace.run_path("run").write_bytes(b"broken")
    summary = recover(workspace.reader("run"))
    assert summary is not None and summary.state is RunState.INTERRUPTED and "rebuilt" in summary.reason


def scan_journal_bytes(journal: Path, data: bytes) -> int:
    journal.write_bytes(data)
    return scan_journal(journal).frames[-1].sequence


def test_a_file_from_a_newer_difrob_is_left_alone(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    with h5py.File(workspace.run_path("run"), "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    before = workspace.run_path("run").read_bytes(), workspace.journal_path("run").read_bytes()
    assert recover(reader) is None
    assert (workspace.run_path("run").read_bytes(), workspace.journal_path("run").read_bytes()) == before
    assert files_of(workspace) == {"run.h5", "run.journal"}
    assert "newer difrob" in reader.summary().reason
    with pytest.raises(UserError, match="no readable file to resume from: .*newer difrob"):
        recording(workspace, resume=True).__enter__()


def test_a_file_that_cannot_be_read_just_now_is_not_taken_for_damaged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = dead_run(workspace)
    before = content_of(reader)

    def too_many(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(h5py, "File", too_many)
        with pytest.raises(UserError, match="cannot be read: Too many open files"):
            reader.log()
        assert recover(reader) is None
    assert files_of(workspace) == {"run.h5", "run.journal"}
    assert recover(reader) is not None and content_of(reader) == before


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, LOST),
        ({"boot": "another"}, "the machine was restarted while it ran"),
        ({"host": "elsewhere", "boot": "another"}, "it ran on 'elsewhere'"),
        ({"host": None, "boot": None}, LOST),
    ],
)
def test_the_reason_is_worked_out_from_where_and_when_it_ran(
    workspace: Workspace, facts: dict[str, Any], words: str
) -> None:
    reader = dead_run(workspace)
    change_header(workspace.journal_path("run"), **facts)
    summary = recover(reader)
    assert summary is not None and words in summary.reason
    assert ("restarted while" in summary.reason) == (facts.get("boot") is not None and "host" not in facts)


@pytest.mark.parametrize("facts", [5, None, [1], "x"])
def test_a_header_whose_facts_are_none_costs_no_frame(workspace: Workspace, facts: Any) -> None:
    reader = dead_run(workspace)
    before = content_of(reader)
    scan = scan_journal(reader.journal_path)
    scan.frames[0].records[0]["facts"] = facts
    frames = [encode_frame(frame.sequence, frame.records) for frame in scan.frames]
    reader.journal_path.write_bytes(MAGIC + b"".join(frames))
    summary = recover(reader)
    assert summary is not None and summary.reason == LOST and content_of(reader) == before


@pytest.mark.parametrize("version", [float("inf"), float("nan"), "x", None, [2]])
def test_a_journal_whose_version_is_none_is_damaged(workspace: Workspace, version: Any) -> None:
    reader = dead_run(workspace)
    scan = scan_journal(reader.journal_path)
    scan.frames[0].records[0]["schema_version"] = version
    frames = [encode_frame(frame.sequence, frame.records) for frame in scan.frames]
    reader.journal_path.write_bytes(MAGIC + b"".join(frames))
    with pytest.raises(UserError, match="does not say its schema version"):
        reader.metrics()


@pytest.mark.parametrize("sequence", [MAX_SEQUENCE + 1, (1 << 64) - 1])
def test_a_frame_with_a_number_that_no_run_reaches_is_damage(workspace: Workspace, sequence: int) -> None:
    """Otherwise the next frame of the resumed run could not be numbered."""
    reader = dead_run(workspace)
    before = content_of(reader)
    with open(reader.journal_path, "ab") as file:
        file.write(encode_frame(sequence, [{"type": "log", "time": 0.0, "level": "info", "text": "x"}]))
    assert content_of(reader) == before
    with recording(workspace, resume=True) as recorder:
        assert recorder.sequence < 100
        recorder.finish(RunState.FINISHED)
    with h5py.File(reader.h5_path, "r+") as file:
        file.attrs["folded_sequence"] = np.uint64(sequence)
    with pytest.raises(UserError, match="no run has a frame"):
        reader.metrics()


def test_the_journal_of_a_live_writer_is_left_alone(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        recorder.flush()
        before = workspace.journal_path("run").read_bytes()
        assert recover(workspace.reader("run")) is None
        assert workspace.journal_path("run").read_bytes() == before
        assert workspace.reader("run").summary().state is RunState.RUNNING
        recorder.finish(RunState.FINISHED)
    assert recover(workspace.reader("run")) is None


def test_lookers_do_not_keep_anybody_from_recovering(workspace: Workspace) -> None:
    """Several windows look at the lock at once; none of them is taken for a live writer."""
    import fcntl

    reader = dead_run(workspace)
    descriptors = [os.open(workspace.journal_path("run"), os.O_RDONLY) for _ in range(2)]
    for descriptor in descriptors:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert not is_locked(workspace.journal_path("run"))
    assert reader.summary().state is RunState.INTERRUPTED
    for descriptor in descriptors:
        os.close(descriptor)
    assert recover(reader) is not None


def test_a_journal_that_went_while_we_waited_for_its_lock_is_not_taken_for_the_next_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process recovers the run and a third one resumes it between our open and our lock."""
    reader = dead_run(workspace)
    from difrob.runs import locks

    lock_within = locks.lock_within
    others: list[Any] = []

    def lock_late(descriptor: int, seconds: float) -> bool:
        if not others:
            others.append(None)
            assert recover(reader) is not None
            others.append(recording(workspace, resume=True))
            others.append(others[1].__enter__())
        return lock_within(descriptor, seconds)

    with monkeypatch.context() as patched:
        patched.setattr(locks, "lock_within", lock_late)
        assert recover(reader) is None
    assert reader.summary().state is RunState.RUNNING and workspace.journal_path("run").exists()
    others[1].__exit__(None, None, None)


def test_leftovers_of_folds_are_removed_but_those_of_other_runs_stay(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    names = [".run.0123abcd.partial", ".run.2.0123abcd.partial", ".other.0123abcd.partial", ".run.note.partial"]
    for name in names:
        (workspace.runs_folder / name).write_bytes(b"x")
    recover(reader)
    assert files_of(workspace) == {"run.h5", *names[1:]}


# Full disks


def no_room(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_room_everything_stays_for_another_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = dead_run(workspace)
    before = content_of(reader)
    with monkeypatch.context() as full:
        full.setattr(FileWriter, "write", no_room)
        summary = recover(reader, "killed")
        assert summary is not None and (summary.state, summary.reason) == (RunState.INTERRUPTED, "killed")
        assert files_of(workspace) == {"run.h5", "run.journal"} and content_of(reader) == before
        with pytest.raises(UserError, match="does not fit on the disk; free some room"):
            recording(workspace, resume=True).__enter__()
        assert content_of(reader) == before
    assert recover(reader) is not None
    assert content_of(reader) == before and files_of(workspace) == {"run.h5"}


def test_a_run_whose_last_fold_failed_keeps_its_end_in_the_journal(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder)
        with monkeypatch.context() as full:
            full.setattr(FileWriter, "write", no_room)
            finished = recorder.finish(RunState.FAILED, "it was not to be")
    reader = workspace.reader("run")
    assert (finished.state, finished.reason) == (RunState.FAILED, "it was not to be")
    before, summary = content_of(reader), reader.summary()
    assert (summary.state, summary.reason, summary.ended) == (RunState.FAILED, "it was not to be", finished.ended)
    assert workspace.feed("run").poll().summary == summary and workspace.summaries() == [summary]
    recovered = recover(reader, "the worker ended with exit code 0")
    assert recovered is not None
    assert (recovered.state, recovered.reason, recovered.ended) == (summary.state, summary.reason, summary.ended)
    assert content_of(reader) == before and reader.summary() == recovered and files_of(workspace) == {"run.h5"}


@pytest.mark.parametrize("words", ["Disable slist on flush (file write failed: errno = 28, x)", "errno = 122, quota"])
def test_a_full_disk_is_recognised_when_hdf5_only_mentions_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def fail(*arguments: Any) -> Any:
        raise RuntimeError(words)

    monkeypatch.setattr(FileWriter, "write", fail)
    with pytest.raises(OSError) as caught:
        run_file.fold(workspace.run_path("run"), dead_summary(), None, [], {})  # type: ignore[arg-type]
    assert caught.value.errno in (errno.ENOSPC, errno.EDQUOT)
    assert files_of(workspace) == set()


def dead_summary() -> Any:
    return run_file.summary_from_json({"kind": "generate", "name": "x", "state": "running"}, "run")


# Resuming without anybody having recovered first


def test_resuming_recovers_first_so_that_rows_are_not_lost(workspace: Workspace) -> None:
    reader = dead_run(workspace)
    with recording(workspace, resume=True) as recorder:
        assert recorder.resumed_from is not None and recorder.resumed_from.state == {"step": 1}
        assert recorder.recorded_samples == 8
        assert reader.metrics()["loss"].step.tolist() == [1]
        recorder.finish(RunState.FINISHED)
    assert [line.text for line in reader.log()] == ["at step 1", "at step 2", f"resumed at 1, 8 rows recorded already; "
                                                    f"it had been interrupted: {LOST}"]  # fmt: skip
    assert reader.sample_count() == 8


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_is_being_written_cannot_be_opened_twice(workspace: Workspace, resume: bool) -> None:
    with recording(workspace) as recorder:
        with pytest.raises(UserError, match="being written by another process" if resume else "exists already"):
            recording(workspace, resume=resume).__enter__()
        recorder.metric("loss", 1, 1)
        recorder.finish(RunState.FINISHED)
    assert workspace.reader("run").metrics()["loss"].step.tolist() == [1]


def test_what_cannot_be_resumed_is_said(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="there is no file of run 'run' to resume from"):
        recording(workspace, resume=True).__enter__()
    with recording(workspace) as recorder:
        recorder.finish(RunState.INTERRUPTED, "stopped")
    with pytest.raises(UserError, match="exists already; resume it"):
        recording(workspace).__enter__()
    with h5py.File(workspace.run_path("run"), "r+") as file:
        file.attrs["summary"] = json.dumps(json.loads(file.attrs["summary"]) | {"kind": "certify"})
    with pytest.raises(UserError, match="a 'certify' run and cannot be resumed as 'train_denoiser'"):
        recording(workspace, resume=True).__enter__()
    workspace.run_path("run").write_bytes(b"x")
    with pytest.raises(UserError, match="no readable file to resume from: .*damaged"):
        recording(workspace, resume=True).__enter__()


def test_a_file_without_journal_that_says_running_is_interrupted(workspace: Workspace) -> None:
    dead_run(workspace)
    workspace.journal_path("run").unlink()
    for summary in (workspace.reader("run").summary(), workspace.feed("run").poll().summary, *workspace.summaries()):
        assert (summary.state, summary.reason) == (RunState.INTERRUPTED, LOST)
