"""When a job is overdue: by its own rhythm, not by the clock on the wall."""

from __future__ import annotations

from difrob.runs.heartbeat import FIRST_SECONDS, LEAST_SECONDS, Heartbeat


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_before_the_second_sign_there_is_time_to_load() -> None:
    clock = Clock()
    heart = Heartbeat(clock)
    clock.now += 100
    assert heart.seconds_left == FIRST_SECONDS - 100
    heart.beat()
    assert heart.seconds_left == FIRST_SECONDS and heart.beats == 1


def test_the_limit_follows_the_longest_pause() -> None:
    clock = Clock()
    heart = Heartbeat(clock)
    for pause in (0, 1, 1, 1):
        clock.now += pause
        heart.beat()
    assert heart.limit == LEAST_SECONDS
    clock.now += 60
    heart.beat()
    clock.now += 1
    heart.beat()
    assert heart.limit == 600 and heart.seconds_left == 600
    clock.now += 700
    assert heart.seconds_left == -100
    heart.beat()  # it was only slow; that is known from now on
    assert heart.limit == 7000


def test_time_that_the_job_was_kept_waiting_is_not_its_own() -> None:
    clock = Clock()
    heart = Heartbeat(clock)
    for _ in range(3):
        clock.now += 1
        heart.beat()
    clock.now += 5000
    heart.skip()
    clock.now += 1
    heart.beat()
    assert heart.limit == LEAST_SECONDS and heart.beats == 4
