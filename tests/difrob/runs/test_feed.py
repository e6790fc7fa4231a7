"""Following a run: whatever happens between two looks, the updates add up to what a fresh reader sees."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.recorded_runs import WEIGHTS, Mirror, content_of, pictures, record_everything, recording

from difrob.errors import UserError
from difrob.runs import Measure, RunFeed, RunReader, RunState, Workspace, journal, locks
from difrob.runs.journal import JournalWriter
from difrob.runs.recorder import RunRecorder
from difrob.runs.recovery import recover
from difrob.specs import TrainDenoiserSpec

OPERATIONS = [
    "metric",
    "things",
    "flush",
    "fold",
    "poll",
    "poll",
    "attach",
    "crash",
    "recover",
    "resume",
    "finish",
    "pause",
]


@pytest.fixture(autouse=True)
def no_flushing_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 1000.0)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # not what is tested here, and slow
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", journal.KEPT_BYTES)


class Followed:
    """A run, its writer (if any) and those who follow it."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.reader = RunReader("run", self.workspace.run_path("run"), self.workspace.journal_path("run"))
        self.recorder: RunRecorder | None = None
        self.followers: list[tuple[RunFeed, Mirror]] = []
        self.step = 0
        self.resume()

    def resume(self) -> None:
        if self.recorder is None:
            resume = self.workspace.run_path("run").exists()
            self.recorder = RunRecorder(self.workspace, "run", TrainDenoiserSpec(), resume=resume)
            self.step = self.recorder.resumed_from.step if self.recorder.resumed_from else 0

    def crash(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None

    def recover(self) -> None:
        recover(self.reader, "because")

    def attach(self) -> None:
        if len(self.followers) < 4:
            self.followers.append((RunFeed(self.reader), Mirror()))

    def metric(self) -> None:
        self.step += 1
        if self.recorder is not None:
            self.recorder.metric("loss", self.step, self.step, *([0.5, 1.5] if self.step % 3 == 0 else []))
            self.recorder.progress(self.step, 100)

    def things(self) -> None:
        if self.recorder is not None:
            record_everything(self.recorder, self.step)

    def flush(self) -> None:
        if self.recorder is not None:
            self.recorder.flush()

    def fold(self) -> None:
        if self.recorder is not None:
            self.recorder.checkpoint(self.step, WEIGHTS, {})

    def finish(self) -> None:
        if self.recorder is not None:
            self.recorder.finish(RunState.INTERRUPTED, "stopped")
            self.recorder = None

    def pause(self) -> None:
        if self.recorder is not None:
            self.recorder._pause(self.step % 2 == 0)

    def poll(self) -> None:
        content, summary = content_of(self.reader), self.reader.summary()
        for feed, mirror in self.followers:
            mirror.take(feed.poll())
            assert mirror.content() == content
            assert mirror.summary == summary
            again = feed.poll()
            assert not again.metrics and not again.log and not again.reset and again.summary == summary


def follow(root: Path, kept: int, operations: list[str]) -> None:
    journal.KEPT_BYTES = kept
    run = Followed(root)
    try:
        for operation in operations:
            getattr(run, operation)()
        run.attach()
        run.poll()
    finally:
        run.crash()


KEPT = st.sampled_from([0, 2000, 1 << 20])
SEQUENCES = st.lists(st.sampled_from(OPERATIONS), min_size=5, max_size=40)


@given(KEPT, SEQUENCES)
@example(0, ["attach", "metric", "flush", "poll", "fold", "metric", "flush", "poll"])
@example(0, ["attach", "metric", "flush", "poll", "fold", "metric", "flush", "fold", "metric", "flush", "poll"])
@example(
    2000, ["metric", "fold", "metric", "things", "flush", "attach", "poll", "crash", "resume", "poll", "metric", "poll"]
)
@example(2000, ["attach", "poll", "finish", "poll", "resume", "metric", "flush", "poll", "finish", "poll"])
@example(2000, ["things", "fold", "things", "attach", "poll", "crash", "poll", "recover", "poll", "resume", "poll"])
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_updates_add_up_to_what_a_fresh_reader_sees(
    tmp_path_factory: pytest.TempPathFactory, kept: int, operations: list[str]
) -> None:
    follow(tmp_path_factory.mktemp("workspace"), kept, operations)


@pytest.mark.slow
@given(KEPT, SEQUENCES)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_updates_add_up_however_long_one_tries(
    tmp_path_factory: pytest.TempPathFactory, kept: int, operations: list[str]
) -> None:
    follow(tmp_path_factory.mktemp("workspace"), kept, operations)


def test_a_fold_brings_no_reset_and_no_repetition(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        feed, mirror = workspace.feed("run"), Mirror()
        mirror.take(feed.poll())
        for step in range(1, 40):
            recorder.metric("loss", step, step)
            if step % 3 == 0:
                recorder.flush()
            if step % 4 == 0:
                recorder.checkpoint(step, WEIGHTS, {})
            if step % 2 == 0:
                update = feed.poll()
                assert not update.reset
                mirror.take(update)
        recorder.flush()
        mirror.take(feed.poll())
        assert mirror.metrics["loss"].step.tolist() == list(range(1, 40)) and mirror.resets == 1


def test_a_missed_frame_brings_everything_anew(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", 0)
    with recording(workspace) as recorder:
        feed, mirror = workspace.feed("run"), Mirror()
        mirror.take(feed.poll())
        recorder.metric("loss", 1, 1)
        recorder.checkpoint(1, WEIGHTS, {})  # the frame came and went unseen
        update = feed.poll()
        assert update.reset
        mirror.take(update)
        assert mirror.content() == content_of(workspace.reader("run"))


def test_a_journal_that_grew_back_to_the_same_length_is_noticed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.journal.KEPT_BYTES", 0)
    monkeypatch.setattr("difrob.runs.recorder.time.time", lambda: 1.5)
    with recording(workspace) as recorder:
        journal = workspace.journal_path("run")
        feed, mirror = workspace.feed("run"), Mirror()
        recorder.note("a" * 50)
        recorder.flush()
        length = journal.stat().st_size
        mirror.take(feed.poll())
        recorder.checkpoint(1, WEIGHTS, {})
        recorder.note("b" * 50)
        recorder.flush()
        assert journal.stat().st_size == length
        mirror.take(feed.poll())
        assert [line.text[0] for line in mirror.log] == ["a", "b"]


def test_a_torn_frame_is_left_for_the_next_look(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        feed = workspace.feed("run")
        feed.poll()
        journal = workspace.journal_path("run")
        recorder.note("first")
        recorder.flush()
        whole = journal.read_bytes()
        start = whole.rindex(b'[{"type":"log"') - 20
        for cut in range(start, len(whole), 7):
            journal.write_bytes(whole[:cut])
            assert feed.poll().is_empty
        journal.write_bytes(whole)
        assert [line.text for line in feed.poll().log] == ["first"]


def test_a_journal_whose_writer_has_just_begun_is_no_damage(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.metric("loss", 1, 1)
        recorder.finish(RunState.INTERRUPTED, "stopped")
    feed = workspace.feed("run")
    assert feed.poll().summary.state is RunState.INTERRUPTED
    for beginning in (b"", b"DIF", b"DIFROBJ1", b"DIFROBJ1\x50\x00\x00\x00\x00\x00\x00\x00{"):
        workspace.journal_path("run").write_bytes(beginning)
        assert feed.poll().summary.state is RunState.INTERRUPTED
        late = workspace.feed("run").poll()
        assert late.summary.state is RunState.INTERRUPTED and late.metrics["loss"].step.tolist() == [1]
    workspace.journal_path("run").unlink()
    with recording(workspace, resume=True) as recorder:
        assert feed.poll().summary.state is RunState.RUNNING
        assert workspace.feed("run").poll().summary.state is RunState.RUNNING


def test_a_run_that_is_gone_or_damaged_is_told_in_a_sentence(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        recorder.finish(RunState.FINISHED)
    feed, late = workspace.feed("run"), workspace.feed("run")
    feed.poll()
    workspace.run_path("run").write_bytes(b"x")
    for follower in (feed, late):
        with pytest.raises(UserError, match="damaged"):
            follower.poll()
    workspace.run_path("run").unlink()
    for follower in (feed, late):
        with pytest.raises(UserError, match="no run 'run'"):
            follower.poll()


def test_a_run_that_finishes_between_two_glances_never_looks_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal goes after the reader found the writer alive and before it reads on."""
    with recording(workspace, "read") as recorder, monkeypatch.context() as patched:
        patched.setattr("difrob.runs.reader.is_locked", finish_after_looking(recorder))
        assert workspace.reader("read").summary().state is RunState.FINISHED
    with recording(workspace, "followed") as recorder:
        feed = workspace.feed("followed")
        feed.poll()
        with monkeypatch.context() as patched:
            patched.setattr("difrob.runs.feed.is_locked", finish_after_looking(recorder))
            assert feed.poll().summary.state is RunState.FINISHED


def finish_after_looking(recorder: RunRecorder) -> Callable[[Path], bool]:
    def is_locked(path: Path) -> bool:
        alive = locks.is_locked(path)
        if path.exists():
            recorder.finish(RunState.FINISHED)
        return alive

    return is_locked


def check_steps(steps: np.ndarray) -> int:
    np.testing.assert_array_equal(steps, np.arange(1, len(steps) + 1))
    return len(steps)


def test_followers_and_readers_see_no_gap_while_another_thread_writes_and_folds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.recorder.FLUSH_SECONDS", 0.001)
    failures: list[BaseException] = []
    stop = threading.Event()

    def write(recorder: RunRecorder) -> None:
        try:
            step = 0
            while not stop.is_set() or step < 100:
                step += 1
                recorder.metric("loss", step, step)
                recorder.samples(index=np.array([step]))
                if step % 7 == 0:
                    recorder.checkpoint(step, b"", {})
        except BaseException as error:
            failures.append(error)

    with recording(workspace) as recorder:
        thread = threading.Thread(target=write, args=(recorder,))
        thread.start()
        try:
            reader = workspace.reader("run")
            followers = [(workspace.feed("run"), Mirror())]
            seen = [0]
            for turn in range(30):
                if turn % 10 == 5:
                    followers.append((workspace.feed("run"), Mirror()))
                    seen.append(0)
                for number, (feed, mirror) in enumerate(followers):
                    mirror.take(feed.poll())
                    if mirror.metrics:
                        steps = check_steps(mirror.metrics["loss"].step)
                        assert steps >= seen[number]
                        seen[number] = steps
                if series := reader.metrics().get("loss"):
                    assert check_steps(series.step) >= max(seen)
                    check_steps(reader.array("index"))
                assert reader.summary().state is RunState.RUNNING
        finally:
            stop.set()
            thread.join(20)
        assert not failures
        recorder.finish(RunState.FINISHED)
    content = content_of(reader)
    for feed, mirror in followers:
        mirror.take(feed.poll())
        assert mirror.content() == content and mirror.summary == reader.summary()
    assert reader.sample_count() == len(content["metrics"]["loss"]["step"][2]) >= 100


def test_pictures_and_curves_of_a_step_replace_each_other(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        feed, mirror = workspace.feed("run"), Mirror()
        for value in (1, 2):
            recorder.images("drawn", 5, pictures(value=value))
            recorder.curve("c", 5, np.arange(2), np.full(2, value))
            recorder.flush()
            mirror.take(feed.poll())
        reader = workspace.reader("run")
        for _ in range(2):
            assert [batch.images.max() for batch in reader.pictures()] == [2]
            assert reader.curves()["c"].y.tolist() == [2, 2] and mirror.content() == content_of(reader)
            recorder.checkpoint(5, WEIGHTS, {})


def test_going_back_takes_back_what_came_after_the_checkpoint(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        for step in (1, 2):
            record_everything(recorder, step)
        recorder.checkpoint(2, WEIGHTS, {})
        for step in (3, 4):
            record_everything(recorder, step)
        recorder.flush()
    reader = workspace.reader("run")
    assert reader.metrics()["loss"].step.tolist() == [1, 2, 3, 4]
    feed, mirror = workspace.feed("run"), Mirror()
    mirror.take(feed.poll())
    recover(reader)
    assert reader.metrics()["loss"].step.tolist() == [1, 2, 3, 4]
    with recording(workspace, resume=True) as recorder:
        assert recorder.resumed_from is not None and recorder.resumed_from.weights == WEIGHTS
        assert recorder.recorded_samples == 16
        assert reader.metrics()["loss"].step.tolist() == [1, 2]
        assert reader.curves()["certified accuracy"].step == 2
        assert [batch.step for batch in reader.pictures()] == [1, 2]
        assert [line.text for line in reader.log()][:4] == [f"at step {step}" for step in (1, 2, 3, 4)]
        mirror.take(feed.poll())
        assert mirror.content() == content_of(reader) and mirror.resets == 2


def test_a_resumed_run_without_a_checkpoint_begins_anew_but_keeps_its_rows(workspace: Workspace) -> None:
    with recording(workspace) as recorder:
        record_everything(recorder, 0)
        record_everything(recorder, 1)
        recorder.flush()
    with recording(workspace, resume=True) as recorder:
        assert recorder.resumed_from is None and recorder.recorded_samples == 8
        reader = workspace.reader("run")
        assert not reader.metrics() and not reader.curves() and not reader.pictures()
        recorder.samples(index=np.arange(1), radius=np.zeros(1), images=pictures(1))
        with pytest.raises(ValueError, match="changed their columns"):
            recorder.samples(index=np.arange(1))
        recorder.flush()
    assert reader.sample_count() == 9


@pytest.mark.parametrize("rewind", [0, 1])
def test_a_going_back_that_was_not_folded_yet_reads_like_a_folded_one(workspace: Workspace, rewind: int) -> None:
    """The writer was killed right after it resumed."""
    with recording(workspace) as recorder:
        for step in (1, 2):
            record_everything(recorder, step)
            recorder.checkpoint(step, WEIGHTS, {})
        summary = recorder.finish(RunState.INTERRUPTED, "stopped")
    reader = workspace.reader("run")
    header: dict[str, Any] = {
        "started": 5.0,
        "summary": {"run_id": "run", "kind": "x", "name": "x", "state": "running"},
    }
    writer = JournalWriter(workspace.journal_path("run"), header, reader.folded_sequence())
    writer.append(
        [{"type": "rewind", "step": rewind}, {"type": "metrics", "rows": [["loss", 9, 1.0, 9.0, None, None]]}]
    )
    writer.close()
    unfolded, mirror = content_of(reader), Mirror()
    mirror.take(workspace.feed("run").poll())
    assert mirror.content() == unfolded
    assert reader.metrics()["loss"].step.tolist() == [*range(1, rewind + 1), 9]
    assert len(reader.curves()) == len(reader.pictures()) == rewind
    recover(reader)
    assert content_of(reader) == unfolded
    assert (
        reader.summary().results
        == summary.results
        == {
            "robust_accuracy": Measure(
                0.5, 0.4, 0.6, 100, "Wilson 95 %", "share", "PGD-10", title="robust accuracy", better="up"
            )
        }
    )
    if rewind:
        assert reader.checkpoint().step == 1
    else:
        with pytest.raises(UserError, match="no checkpoint"):
            reader.checkpoint()
