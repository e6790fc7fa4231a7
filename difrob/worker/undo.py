"""Undo and redo of what a person changed in the queue.

Each change is kept as two pictures of the queue, before and after it. Taking it back is a merge of three: what the change
made different is made as it was before, where it still is as the change left it; all else, and everything that has started
meanwhile, stays as it is now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from difrob import words
from difrob.runs import RunState
from difrob.worker.messages import Entry
from difrob.worker.settings import Settings

KEPT_STEPS = 100
PERSONS = ("spec", "after", "lane", "priority", "held")  # the fields of an entry that are a person's to change


@dataclass(frozen=True)
class Picture:
    """Entries in queue order, by id, and settings, at one moment. The dictionary is never changed."""

    entries: dict[str, Entry] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Step:
    """A change that a person made.

    Attributes:
        words: what it did, as an order: ``remove 2 entries``.
        before: the queue before it.
        after: the queue after it.
        moved: entries whose place was the change.
    """

    words: str
    before: Picture
    after: Picture
    moved: tuple[str, ...] = ()


class History:
    """The changes that can be taken back, and those that can be done again: two stacks of bounded length."""

    def __init__(self, length: int = KEPT_STEPS) -> None:
        self._length = length
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def undo(self) -> Step | None:
        """The change to be taken back next."""
        return self._done[-1] if self._done else None

    @property
    def redo(self) -> Step | None:
        """The change to be done again next; its pictures are swapped, so that taking it back does it again."""
        return self._undone[-1] if self._undone else None

    def add(self, step: Step) -> None:
        """Note a new change. What had been taken back before cannot be done again after it."""
        self._undone.clear()
        self._push(self._done, step)

    def undone(self, reverse: Step | None) -> None:
        """The last change has been taken back. ``reverse`` does it again; None when there was nothing left to do."""
        self._done.pop()
        if reverse is not None:
            self._push(self._undone, reverse)

    def redone(self, reverse: Step | None) -> None:
        """The last change taken back has been done again; ``reverse`` takes it back once more."""
        self._undone.pop()
        if reverse is not None:
            self._push(self._done, reverse)

    def _push(self, stack: list[Step], step: Step) -> None:
        stack.append(step)
        del stack[: -self._length]


def take_back(step: Step, now: Picture, is_taken: Callable[[str], bool]) -> tuple[Picture, list[str]]:
    """The queue as it would be without a change, as far as that is still possible.

    Args:
        step: the change.
        now: the queue as it stands.
        is_taken: whether a run of this id has come into being that is not in the queue.

    Returns:
        The new picture, and one sentence for each thing that stays as it is, because it has started or is gone.
    """
    entries, kept = dict(now.entries), []
    needed = _needed_by_others(now, step)
    back: dict[str, None] = {}  # a set in order
    for run_id in {**step.before.entries, **step.after.entries}:
        old, new, current = (picture.entries.get(run_id) for picture in (step.before, step.after, now))
        if old is None and new is not None:
            if current is not None and not _can_go(current, needed):
                kept.append(_stays(current, _why_it_cannot_go(current)))
            else:
                entries.pop(run_id, None)
        elif old is not None and new is None:
            if current is not None or (old.state is RunState.QUEUED and not old.resume and is_taken(run_id)):
                kept.append(f"'{title(old)}' is not put back: there is a run of its id again")
            else:
                entries[run_id] = old
                back[run_id] = None
        elif old is not None and new is not None and (changed := _changed(old, new)):
            if current is None:
                kept.append(f"'{title(new)}' is no longer in the queue")
            elif current.state is not RunState.QUEUED:
                kept.append(_stays(current, f"it is {current.state}"))
            else:
                entries[run_id] = current.model_copy(update={name: getattr(old, name) for name in changed})
    for run_id in step.moved:
        if run_id in entries and run_id not in back:
            if entries[run_id].state is RunState.QUEUED:
                back[run_id] = None
            elif run_id in step.after.entries and step.after.entries[run_id].state is RunState.QUEUED:
                kept.append(_stays(entries[run_id], f"it is {entries[run_id].state}"))
    order = _with_places_of(list(entries), list(back), list(step.before.entries))
    settings, more = _settings_back(step, now.settings)
    return Picture({run_id: entries[run_id] for run_id in order}, settings), kept + more


def title(entry: Entry) -> str:
    """What people call an entry."""
    return words.run_title(str(entry.spec.get("name") or ""), entry.run_id)


def titles(entries: Iterable[Entry]) -> str:
    """``'x'`` or ``3 entries``."""
    named = [f"'{title(entry)}'" for entry in entries]
    return named[0] if len(named) == 1 else f"{len(named)} entries"


def _changed(old: Entry, new: Entry) -> list[str]:
    return [name for name in PERSONS if getattr(old, name) != getattr(new, name)]


def _needed_by_others(now: Picture, step: Step) -> set[str]:
    """What is waited for by entries that stay when a step is taken back."""
    comes_along = step.after.entries.keys() - step.before.entries.keys()
    return {
        parent
        for other in now.entries.values()
        if other.state is RunState.QUEUED and (other.run_id not in comes_along or other.started is not None)
        for parent in other.after
    }


def _can_go(entry: Entry, needed: set[str]) -> bool:
    """Only what has never started, and what nobody waits for who stays."""
    return entry.state is RunState.QUEUED and entry.started is None and entry.run_id not in needed


def _why_it_cannot_go(entry: Entry) -> str:
    if entry.state is not RunState.QUEUED:
        return f"it is {entry.state}"
    return "it has begun already" if entry.started is not None else "another entry waits for it"


def _stays(entry: Entry, why: str) -> str:
    return f"'{title(entry)}' stays as it is: {why}"


def _with_places_of(order: list[str], placed: list[str], model: list[str]) -> list[str]:
    """``order`` with ``placed`` taken out and put in again, each in front of what follows it in ``model``."""
    position = {run_id: number for number, run_id in enumerate(model)}
    moved = set(placed)
    stays = [run_id for run_id in order if run_id not in moved]
    # The first that follows an entry in the model is where the highest position so far comes to exceed the entry's own.
    highest = list(accumulate((position.get(run_id, -1) for run_id in stays), max))
    in_front_of: list[list[str]] = [[] for _ in range(len(stays) + 1)]
    for run_id in sorted(placed, key=lambda run_id: position.get(run_id, -1)):
        at = bisect_right(highest, position[run_id]) if run_id in position else len(stays)
        in_front_of[at].append(run_id)
    return [run_id for new, stay in zip(in_front_of, [*stays, ""], strict=True) for run_id in (*new, stay) if run_id]


def _settings_back(step: Step, now: Settings) -> tuple[Settings, list[str]]:
    settings, kept = now, []
    for name in Settings.model_fields:
        old, new, current = (getattr(each, name) for each in (step.before.settings, step.after.settings, now))
        if old != new and current == new:
            settings = settings.with_value(name, old)
        elif old != new and current != old:
            kept.append(f"'{name}' has been changed since and stays {current}")
    return settings, kept
