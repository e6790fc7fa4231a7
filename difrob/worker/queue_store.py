"""The queue on disk: entries in order and a few settings, in the workspace's SQLite file. Written by the supervisor alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from difrob.errors import UserError
from difrob.worker.messages import Entry
from difrob.worker.settings import Settings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (run_id TEXT PRIMARY KEY, position INTEGER NOT NULL, entry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queue_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class QueueStore:
    """Every change is one transaction; what a method has returned from survives any kill."""

    def __init__(self, path: Path) -> None:
        """Open or create.

        Raises:
            UserError: when the file is no database or cannot be written.
        """
        try:
            self._connection = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise UserError(
                f"the queue in '{path}' cannot be opened ({error}); move the file away to begin an empty queue, "
                "no run is lost by that"
            ) from None

    def load(self) -> list[Entry]:
        """All entries in order; one that cannot be understood is left out (and left in the file)."""
        entries = []
        for (text,) in self._connection.execute("SELECT entry FROM queue ORDER BY position"):
            try:
                entries.append(Entry.model_validate_json(text))
            except ValidationError:
                continue
        return entries

    def commit(
        self,
        *,
        save: Iterable[Entry] = (),
        remove: Iterable[str] = (),
        order: Iterable[str] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Do all of this or (on an error) nothing.

        Args:
            save: entries to write; new ones go to the end.
            remove: ids of entries to forget.
            order: the ids of all entries that remain, in the order that they shall have from now on.
            settings: settings to write, by name; plain JSON data.
        """
        with self._transaction():
            self._connection.executemany("DELETE FROM queue WHERE run_id = ?", [(run_id,) for run_id in remove])
            (last,) = self._connection.execute("SELECT coalesce(max(position), 0) FROM queue").fetchone()
            self._connection.executemany(
                "INSERT INTO queue VALUES (?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET entry = excluded.entry",
                ((entry.run_id, number, entry.model_dump_json()) for number, entry in enumerate(save, last + 1)),
            )
            rows = [(position, run_id) for position, run_id in enumerate(order or ())]
            self._connection.executemany("UPDATE queue SET position = ? WHERE run_id = ?", rows)
            values = [(name, json.dumps(value)) for name, value in (settings or {}).items()]
            self._connection.executemany("INSERT OR REPLACE INTO queue_settings VALUES (?, ?)", values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite may have rolled back by itself
                self._connection.execute("ROLLBACK")
            raise

    def settings(self) -> Settings:
        """The settings; what was never set, or cannot be understood, has its default."""
        stored = {}
        for name, text in self._connection.execute("SELECT name, value FROM queue_settings"):
            with suppress(ValueError):
                stored[name] = json.loads(text)
        return Settings.of(stored)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
