"""Entries and settings of the queue in memory and on disk as one: saved before announced, with undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from difrob.errors import UserError
from difrob.runs.states import check_transition
from difrob.worker.messages import Entry
from difrob.worker.queue_store import QueueStore
from difrob.worker.settings import Settings
from difrob.worker.undo import History, Picture, Step, take_back


class SavedQueue:
    """All entries in order, and the settings. Every change is one transaction, saved before it is announced.

    Args:
        announce: called with each event (a dictionary as in :mod:`difrob.worker.messages`).
        is_taken: whether a run of an id has come into being that the queue does not know.

    Attributes:
        settings: what a person has set for the whole queue.
        revision: grows with every change except of what waiting entries are said to wait for, which follows from the rest.
    """

    def __init__(
        self, store: QueueStore, announce: Callable[[dict[str, Any]], None], is_taken: Callable[[str], bool]
    ) -> None:
        self._store = store
        self._announce = announce
        self._is_taken = is_taken
        self._entries: dict[str, Entry] = {entry.run_id: entry for entry in store.load()}
        self._live: list[Entry] | None = None
        self._texts: dict[str, tuple[Entry, str]] = {}
        self._history = History()
        self.revision = 0
        self.settings = store.settings()

    @property
    def entries(self) -> list[Entry]:
        """All entries in queue order."""
        return list(self._entries.values())

    def get(self, run_id: str) -> Entry:
        """One entry. Raises UserError when the queue does not know it."""
        try:
            return self._entries[run_id]
        except KeyError:
            raise UserError(f"the queue has no run '{run_id}'") from None

    def knows(self, run_id: str) -> bool:
        """Whether there is an entry of this id."""
        return run_id in self._entries

    def live(self) -> list[Entry]:
        """Entries with a worker."""
        if self._live is None:
            self._live = [entry for entry in self._entries.values() if entry.state.is_live]
        return list(self._live)

    @property
    def entries_text(self) -> str:
        """All entries in queue order as JSON; each is written once, for all who ask for the state."""
        known, self._texts = self._texts, {}
        for run_id, entry in self._entries.items():
            earlier = known.get(run_id)
            is_same = earlier is not None and earlier[0] is entry
            self._texts[run_id] = earlier if earlier and is_same else (entry, entry.model_dump_json())
        return f"[{','.join(text for _, text in self._texts.values())}]"

    @property
    def undo_words(self) -> dict[str, str]:
        """What ``undo`` and ``redo`` would do, under those names; "" for nothing."""
        steps = {"undo": self._history.undo, "redo": self._history.redo}
        return {name: "" if step is None else step.words for name, step in steps.items()}

    # What happens to runs: cannot be taken back

    def put(self, entry: Entry) -> None:
        """Save and announce an entry, new or changed. Raises ValueError for a forbidden change of state."""
        old = self._entries.get(entry.run_id)
        if old is not None:
            check_transition(old.state, entry.state)
        self._store.commit(save=[entry])
        self._become(self._with(entry))
        position = list(self._entries).index(entry.run_id)
        self._announce({"event": "entry", "entry": entry, "position": position})

    def change(self, run_id: str, **changes: Any) -> Entry:
        """Change fields of an entry."""
        entry = self.get(run_id).model_copy(update=changes)
        self.put(entry)
        return entry

    def note_reasons(self, reasons: dict[str, str]) -> None:
        """Note what waiting entries wait for, by id: one transaction and one event, however many they are."""
        if reasons:
            changed = [self.get(run_id).model_copy(update={"reason": reason}) for run_id, reason in reasons.items()]
            self._store.commit(save=changed)
            self._entries = self._with(*changed)
            self._announce({"event": "reasons", "reasons": reasons})

    # What a person changes: can be taken back

    def undo(self) -> dict[str, Any]:
        """Take back the last change of a person that has not been taken back, as far as runs have not started.

        Returns:
            ``{"words": what was taken back, "kept": one sentence for each thing that stays as it is}``

        Raises:
            UserError: when there is nothing.
        """
        if (step := self._history.undo) is None:
            raise UserError("there is nothing to take back")
        return self._reverse(step, self._history.undone)

    def redo(self) -> dict[str, Any]:
        """Do again what was taken back last; returns and raises as :meth:`undo` does."""
        if (step := self._history.redo) is None:
            raise UserError("there is nothing to do again")
        return self._reverse(step, self._history.redone)

    def _reverse(self, step: Step, note: Callable[[Step | None], None]) -> dict[str, Any]:
        now = Picture(self._entries, self.settings)
        picture, kept = take_back(step, now, self._is_taken)
        changes = picture.settings != now.settings or list(picture.entries.items()) != list(now.entries.items())
        self._take(picture)
        note(Step(step.words, now, picture, step.moved) if changes else None)
        self._announce_settings(**self.undo_words)
        return {"words": step.words, "kept": kept}

    def _do(
        self, words: str, entries: dict[str, Entry], settings: Settings | None = None, moved: tuple[str, ...] = ()
    ) -> None:
        """Make a change of a person's, and remember it; what changes nothing is forgotten."""
        before, after = Picture(self._entries, self.settings), Picture(entries, settings or self.settings)
        if after.settings == before.settings and list(after.entries.items()) == list(before.entries.items()):
            return
        self._take(after)
        self._history.add(Step(words, before, after, moved))
        self._announce_settings(**self.undo_words)

    def _with(self, *changed: Entry) -> dict[str, Entry]:
        return self._entries | {entry.run_id: entry for entry in changed}

    def _take(self, picture: Picture) -> None:
        """Let the queue become like a picture, in one transaction, and announce what that changed."""
        old, new = self._entries, picture.entries
        removed = [run_id for run_id in old if run_id not in new]
        changed = [e for run_id, e in new.items() if (was := old.get(run_id)) is not e and was != e]
        order = [run_id for run_id in old if run_id in new] + [run_id for run_id in new if run_id not in old]
        is_reordered = order != list(new)
        earlier = self.settings.model_dump()
        told = {name: value for name, value in picture.settings.model_dump().items() if value != earlier[name]}
        self._store.commit(save=changed, remove=removed, order=new if is_reordered else None, settings=told)
        self._become(dict(new))
        self.settings = picture.settings
        self._tell(removed, changed, list(new) if is_reordered else None)
        if told:
            self._announce_settings(**told)

    def _become(self, entries: dict[str, Entry]) -> None:
        self._entries, self._live = entries, None
        self.revision += 1

    def _tell(self, removed: list[str], changed: list[Entry], order: list[str] | None) -> None:
        """Announce a change: of one entry as that, of several in one message."""
        if len(removed) + len(changed) > 1:
            self._announce({"event": "changes", "removed": removed, "entries": changed, "order": order})
            return
        for run_id in removed:
            self._announce({"event": "removed", "run_id": run_id})
        for entry in changed:
            self._announce({"event": "entry", "entry": entry, "position": list(self._entries).index(entry.run_id)})
        if order is not None:
            self._announce({"event": "order", "run_ids": order})

    def _announce_settings(self, **settings: Any) -> None:
        self._announce({"event": "settings", "settings": settings})
