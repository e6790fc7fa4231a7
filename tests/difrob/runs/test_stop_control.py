"""Pausing, stopping, aborting, and waiting for room on the disk."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from support.recorded_runs import WEIGHTS, content_of, record_everything, recording

from difrob.errors import Stopped, UserError
from difrob.runs import Progress, RunState, Workspace, run_file
from difrob.runs.full_disk import RoomWatch
from difrob.runs.records import SignOfLife
from difrob.runs.recovery import recover
from difrob.runs.stop import StopControl

STRENGTH = {"pause": 1, "stop": 2, "abort": 3}


class Job(threading.Thread):
    """Something in another thread that may be stopped."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self.raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.raised = error

    def end(self, seconds: float = 5) -> BaseException | None:
        self.join(seconds)
        assert not self.is_alive(), "the job hangs"
        return self.raised


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@pytest.mark.parametrize("grades", list(permutations(STRENGTH)))
def test_a_stronger_request_replaces_a_weaker_one_and_never_the_reverse(grades: tuple[str, ...]) -> None:
    control, strongest = StopControl(), 0
    for grade in grades:
        control.request(grade)
        strongest = max(strongest, STRENGTH[grade])
        assert control.grade is not None and STRENGTH[control.grade] == strongest
    control.resume()
    assert control.grade == "abort"
    with pytest.raises(Stopped) as caught:
        control.check(lambda paused: pytest.fail("it must not pause"))
    assert caught.value.grade == "abort"


def test_an_unknown_grade_is_refused() -> None:
    control = StopControl()
    with pytest.raises(ValueError, match="unknown grade 'kill'"):
        control.request("kill")
    assert control.grade is None


def test_without_a_request_nothing_happens() -> None:
    control = StopControl()
    control.check(lambda paused: pytest.fail("it must not pause"))
    began = time.monotonic()
    control.wait(0.01)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("then", ["resume", "stop", "abort"])
def test_a_paused_job_waits_until_it_is_resumed_or_stopped(then: str) -> None:
    control = StopControl()
    told: list[bool] = []
    control.request("pause")
    job = Job(lambda: control.check(told.append))
    wait_until(lambda: control.is_paused)
    time.sleep(0.05)
    assert job.is_alive() and told == [True]
    if then == "resume":
        control.resume()
        assert job.end() is None and control.grade is None
    else:
        control.request(then)
        raised = job.end()
        assert isinstance(raised, Stopped) and raised.grade == then
    assert told == [True, False] and not control.is_paused


def test_a_job_that_cannot_say_that_it_pauses_is_not_left_paused() -> None:
    control = StopControl()
    control.request("pause")

    def fail(paused: bool) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        control.check(fail)
    assert not control.is_paused


@pytest.mark.parametrize("grade", ["stop", "abort"])
def test_whoever_waits_wakes_up_for_a_stop_but_not_for_a_pause(grade: str) -> None:
    control = StopControl()
    job = Job(lambda: control.wait(60))
    control.request("pause")
    time.sleep(0.05)
    assert job.is_alive()
    control.request(grade)
    raised = job.end()
    assert isinstance(raised, Stopped) and raised.grade == grade


def test_a_paused_run_says_so_and_goes_on(workspace: Workspace) -> None:
    control = StopControl()
    with recording(workspace, control=control) as recorder:
        recorder.metric("loss", 1, 1)
        control.request("pause")
        job = Job(recorder.check_stop)
        reader = workspace.reader("run")
        wait_until(lambda: reader.summary().state is RunState.PAUSED)
        assert reader.metrics()["loss"].step.tolist() == [1]
        control.resume()
        assert job.end() is None and reader.summary().state is RunState.RUNNING
        control.request("pause")
        job = Job(recorder.check_stop)
        wait_until(lambda: reader.summary().state is RunState.PAUSED)
        control.request("stop")
        assert isinstance(job.end(), Stopped) and reader.summary().state is RunState.RUNNING
        recorder.checkpoint(1, WEIGHTS, {})  # what a job does before it lets go
        recorder.finish(RunState.INTERRUPTED, "stopped on request")
    assert reader.summary().state is RunState.INTERRUPTED and reader.checkpoint().step == 1


# Full disks


class Disk:
    """A disk that is full at times: for the journal, for the file, or for both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal_is_full = self.file_is_full = False
        self.error = errno.ENOSPC
        self.on_fold: Callable[[], None] = lambda: None
        write, fold = os.write, run_file.fold

        def write_or_not(descriptor: int, data: bytes) -> int:
            if self.journal_is_full:
                raise OSError(self.error, os.strerror(self.error))
            return write(descriptor, data)

        def fold_or_not(*arguments: Any) -> Any:
            self.on_fold()
            if self.file_is_full:
                raise OSError(self.error, os.strerror(self.error))
            return fold(*arguments)

        monkeypatch.setattr(os, "write", write_or_not)
        monkeypatch.setattr(run_file, "fold", fold_or_not)
        monkeypatch.setattr("difrob.runs.full_disk.WAIT_SECONDS", 0.01)
        monkeypatch.setattr("difrob.runs.full_disk.RETRY_SECONDS", 0.0)
        monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 0.01)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_full_disk_holds_the_job_until_there_is_room_and_nothing_is_lost(workspace: Workspace, disk: Disk) -> None:
    told: list[str] = []
    with recording(workspace, on_progress=lambda sign: told.append(sign.waiting)) as recorder:
        recorder.metric("loss", 1, 1)
        recorder.flush()
        disk.journal_is_full = True
        for step in (2, 3):
            record_everything(recorder, step)
        recorder.flush()
        assert "disk" in recorder.waiting and str(workspace.root) in recorder.waiting
        job = Job(recorder.check_stop)
        wait_until(lambda: told and "goes on when there is room" in told[-1])
        assert recorder._sign_of_life().report_within is None  # who waits for room cannot promise to report
        assert job.is_alive()
        reader = workspace.reader("run")
        assert reader.metrics()["loss"].step.tolist() == [1] and reader.summary().state is RunState.RUNNING
        disk.journal_is_full = False
        assert job.end() is None
        wait_until(lambda: told[-1] == "")
        assert recorder.waiting == ""
        assert reader.metrics()["loss"].step.tolist() == [1, 2, 3] and reader.sample_count() == 8
        recorder.finish(RunState.FINISHED)
    assert reader.metrics()["loss"].step.tolist() == [1, 2, 3] and reader.sample_count() == 8


def test_a_checkpoint_waits_for_room(workspace: Workspace, disk: Disk) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        disk.file_is_full = True
        job = Job(lambda: recorder.checkpoint(1, WEIGHTS, {"step": 1}))
        wait_until(lambda: recorder.waiting)
        for _ in range(20):  # the thread that flushes has room, but the job waits all the same
            recorder.flush()
            assert recorder.waiting
        assert job.is_alive()
        disk.file_is_full = False
        assert job.end() is None and recorder.waiting == ""
        assert workspace.reader("run").checkpoint().state == {"step": 1}


def test_a_large_file_is_not_tried_again_before_something_was_freed(
    workspace: Workspace, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, tries = [1000], []
    monkeypatch.setattr("difrob.runs.full_disk.RETRY_SECONDS", 1000.0)
    monkeypatch.setattr(RoomWatch, "_free_bytes", lambda watch: free[0])
    with recording(workspace) as recorder:
        disk.file_is_full = True
        disk.on_fold = lambda: tries.append(free[0])
        job = Job(lambda: recorder.checkpoint(1, WEIGHTS, {}))
        for room in (1000, 900, 1001):
            free[0] = room
            wait_until(lambda room=room: recorder.waiting and (room < 1001 or tries[-1:] == [1001]))
            time.sleep(0.05)
        assert tries == [1000, 1001]
        disk.file_is_full, free[0] = False, 2000
        assert job.end() is None and tries == [1000, 1001, 2000]


def test_a_stop_ends_the_waiting_for_room_and_keeps_what_is_safe(workspace: Workspace, disk: Disk) -> None:
    control = StopControl()
    with recording(workspace, control=control) as recorder:
        record_everything(recorder, 1)
        recorder.flush()
        disk.journal_is_full = disk.file_is_full = True
        recorder.metric("loss", 2, 2)
        wait_until(lambda: recorder.waiting)
        job = Job(recorder.check_stop)
        control.request("stop")
        assert isinstance(job.end(), Stopped)
        with pytest.raises(Stopped):
            recorder.checkpoint(2, WEIGHTS, {})
        summary = recorder.finish(RunState.INTERRUPTED, "stopped on request")
        assert summary.state is RunState.INTERRUPTED
    reader = workspace.reader("run")
    assert reader.summary().state is RunState.INTERRUPTED
    disk.journal_is_full = disk.file_is_full = False
    assert recover(reader) is not None
    assert reader.metrics()["loss"].step.tolist() == [1] and reader.sample_count() == 4


def test_a_finished_run_waits_for_room_for_its_end(workspace: Workspace, disk: Disk) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 1)
        disk.journal_is_full = disk.file_is_full = True
        job = Job(lambda: recorder.finish(RunState.FINISHED))
        wait_until(lambda: recorder.waiting)
        assert job.is_alive()
        disk.journal_is_full = False  # room for a few lines, not for the file
        assert job.end() is None
    reader = workspace.reader("run")
    summary, content = reader.summary(), content_of(reader)
    assert summary.state is RunState.FINISHED and workspace.journal_path("run").exists()
    disk.file_is_full = False
    recovered = recover(reader)
    assert recovered is not None and recovered.state is RunState.FINISHED
    assert content_of(reader) == content and reader.sample_count() == 4


def test_starting_on_a_full_disk_waits_and_can_be_stopped(workspace: Workspace, disk: Disk) -> None:
    control = StopControl()
    disk.file_is_full = True

    def start() -> None:
        with recording(workspace, control=control) as recorder:
            recorder.finish(RunState.FINISHED)

    job = Job(start)
    time.sleep(0.1)
    assert job.is_alive()
    control.request("stop")
    assert isinstance(job.end(), Stopped)
    disk.file_is_full = False
    summary = recover(workspace.reader("run"))
    assert summary is not None and summary.state is RunState.INTERRUPTED


def test_another_error_of_the_disk_reaches_the_job_and_passes_when_it_passes(workspace: Workspace, disk: Disk) -> None:
    with recording(workspace) as recorder:
        disk.journal_is_full, disk.error = True, errno.EIO
        recorder.metric("loss", 1, 1)
        wait_until(lambda: recorder._failure is not None)
        with pytest.raises(OSError, match="Input/output error"):
            recorder.check_stop()
        with pytest.raises(OSError, match="Input/output error"):
            recorder.checkpoint(1, WEIGHTS, {})
        disk.journal_is_full = False
        wait_until(lambda: recorder._failure is None)
        recorder.check_stop()
        recorder.finish(RunState.FINISHED)
    assert workspace.reader("run").metrics()["loss"].step.tolist() == [1]


# The thread that flushes


def test_rows_are_safe_shortly_after_they_were_reported(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        began = time.monotonic()
        recorder.metric("loss", 1, 1)
        reader = workspace.reader("run")
        wait_until(lambda: "loss" in reader.metrics())
        assert time.monotonic() - began < 5
        assert recorder.sequence == 1


def test_an_onlooker_who_fails_costs_the_run_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 0.01)
    calls: list[Progress] = []

    def look(sign: SignOfLife) -> None:
        calls.append(sign.progress)
        raise RuntimeError("nobody expects me")

    with recording(workspace, on_progress=look) as recorder:
        wait_until(lambda: calls)
        recorder.metric("loss", 1, 1)
        reader = workspace.reader("run")
        wait_until(lambda: "loss" in reader.metrics() and reader.log())
        assert "nobody expects me" in reader.log()[0].text and len(calls) == 1
        recorder.finish(RunState.FINISHED)


def test_progress_tells_the_time_left_from_the_recent_pace(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("difrob.runs.recorder.time.monotonic", lambda: now[0])
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 1000.0)
    with recording(workspace) as recorder:
        recorder.progress(0, 1000)
        assert recorder.summary.progress == Progress(0, 1000, "steps", None)
        for done in range(1, 101):
            now[0] += 1.0
            recorder.progress(done, 1000)
        assert recorder.summary.progress.seconds_left == pytest.approx(900)
        for done in range(101, 301):  # twice as fast, for longer than a minute
            now[0] += 0.5
            recorder.progress(done, 1000)
        assert recorder.summary.progress.seconds_left == pytest.approx(350, rel=0.02)
        recorder.progress(1000, 1000)
        assert recorder.summary.progress.seconds_left == pytest.approx(0)


def test_a_journal_that_grew_large_is_folded_at_a_safe_point(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.recorder.FOLD_BYTES", 50_000)
    with recording(workspace) as recorder:
        journal = workspace.journal_path("run")
        for number in range(30):
            recorder.note("x" * 10_000)
            recorder.flush()
            recorder.check_stop()
            assert journal.stat().st_size < 150_000 + 256 * 1024 + 20_000 * number
        reader = workspace.reader("run")
        assert reader.folded_sequence() > 20 and len(reader.log()) == 30


def test_what_is_too_much_for_one_frame_goes_into_several(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr("difrob.runs.checks.BATCH_BYTES", 1000)
    monkeypatch.setattr("difrob.runs.checks.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 1000.0)
    with recording(workspace) as recorder:
        for step in range(50):
            recorder.metric("loss", step, step)
        recorder.samples(index=np.arange(1000), wide=np.ones((1000, 10)))
        recorder.flush()
        assert recorder.sequence > 50
        reader = workspace.reader("run")
        for _ in range(2):
            assert reader.metrics()["loss"].step.tolist() == list(range(50))
            assert (reader.array("index") == np.arange(1000)).all() and reader.array("wide").shape == (1000, 10)
            recorder.checkpoint(1, WEIGHTS, {})


def test_a_journal_that_was_changed_under_the_writer_is_not_thrown_away(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        for step in (1, 2):
            recorder.metric("loss", step, step)
            recorder.flush()
        journal = workspace.journal_path("run")
        data = bytearray(journal.read_bytes())
        data[-3] ^= 1
        journal.write_bytes(data)
        with pytest.raises(UserError, match="journal of run 'run' is damaged on the disk; it was left as it is"):
            recorder.checkpoint(2, WEIGHTS, {})
        assert journal.read_bytes() == data
    assert recover(workspace.reader("run")) is not None
    assert workspace.reader("run").metrics()["loss"].step.tolist() == [1]
