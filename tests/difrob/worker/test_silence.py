"""Silence of workers, with a clock that the test turns."""

from __future__ import annotations

import pytest

from difrob.worker.stuck import LONGEST_TICK, Silence, SilenceWatch, span


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def listen(watch: SilenceWatch, clock: Clock, seconds: float) -> None:
    """Let time pass while somebody listens."""
    for _ in range(round(seconds * 2)):
        clock.now += 0.5
        watch.tick()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> SilenceWatch:
    return SilenceWatch(clock)


def test_a_worker_is_overdue_after_what_it_announced_and_not_before(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", 120)
    listen(watch, clock, 120)
    assert watch.silence("run") is None
    listen(watch, clock, 80)
    silence = watch.silence("run")
    assert silence == Silence(200, 120) and silence.overdue == 80
    assert str(silence) == "no sign of life for 3 min 20 s; expected one within 2 min"


def test_a_report_ends_the_silence_and_renews_the_promise(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", 10)
    listen(watch, clock, 11)
    assert watch.silence("run") is not None
    watch.heard("run")
    assert watch.silence("run") is None
    listen(watch, clock, 10)
    assert watch.silence("run") is None
    listen(watch, clock, 1)
    assert watch.silence("run") == Silence(11, 10)


def test_who_promises_nothing_is_never_overdue(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", None)
    listen(watch, clock, 10_000)
    watch.heard("run")
    watch.heard("unknown")
    listen(watch, clock, 10_000)
    assert watch.silence("run") is None and watch.silence("unknown") is None


def test_a_promise_already_broken_when_it_arrives_counts_from_then(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", -30)
    assert watch.silence("run") is None
    listen(watch, clock, 1)
    assert watch.silence("run") == Silence(1, 0)


def test_time_in_which_nobody_listened_does_not_count(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", 60)
    clock.now += 8 * 3600  # the machine slept
    watch.tick()
    assert watch.silence("run") is None
    listen(watch, clock, 60 - LONGEST_TICK)
    assert watch.silence("run") is None
    listen(watch, clock, 1)
    assert watch.silence("run") == Silence(61, 60)


def test_a_clock_that_goes_back_does_no_harm(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", 60)
    clock.now -= 5000
    watch.tick()
    listen(watch, clock, 61)
    assert watch.silence("run") == Silence(61, 60)


def test_who_has_gone_is_forgotten(watch: SilenceWatch, clock: Clock) -> None:
    watch.expect("run", 1)
    watch.forget("run")
    watch.forget("run")
    listen(watch, clock, 5)
    assert watch.silence("run") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (60, "1 min"), (61, "1 min 1 s"), (200, "3 min 20 s"),
        (3599, "59 min 59 s"), (3600, "1 h 00 min"), (3900, "1 h 05 min"), (90_000, "25 h 00 min"),
    ],
)  # fmt: skip
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_the_sentence_changes_every_ten_seconds_at_most() -> None:
    said = [str(Silence(60 + tenth / 10, 30)) for tenth in range(600)]
    assert len(set(said)) == 6
