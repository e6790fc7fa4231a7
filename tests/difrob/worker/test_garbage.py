"""What a large queue holds is not looked through at every turn, and what is garbage goes all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from difrob.worker.garbage import EVERYTHING_SECONDS, GarbageSearch


class Circle:
    """Refers to itself, so that only a search finds that nobody else does."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def searches_only_when_told() -> Iterator[None]:
    gc.disable()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.enable()


def test_what_has_come_to_stay_is_left_out_of_searches_until_an_hour_has_gone() -> None:
    now = 0.0
    search = GarbageSearch(clock=lambda: now)
    kept = Circle()
    gone = weakref.ref(kept)
    search.tick(1)
    del kept
    before = gc.get_freeze_count()
    gc.collect()
    assert gone() is not None and gc.get_freeze_count() == before
    now = EVERYTHING_SECONDS + 1
    search.tick(1)
    assert gone() is None


def test_what_is_garbage_by_the_next_tick_is_not_put_aside_with_the_rest() -> None:
    search = GarbageSearch(clock=lambda: 0.0)
    gone = weakref.ref(Circle())
    search.tick(1)
    assert gone() is None
    entries = [[number] for number in range(1000)]
    count = gc.get_freeze_count()
    search.tick(1)
    assert gc.get_freeze_count() == count, "nothing has changed"
    search.tick(2)
    assert gc.get_freeze_count() >= count + len(entries)
