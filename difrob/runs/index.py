"""The index of runs: summaries by file name, size and time of change, in SQLite. It may be deleted at any time.

Measured on 10,000 files: one attribute per file takes seconds, this index a fraction of one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from difrob.errors import UserError
from difrob.runs.damage.guard import one_helper
from difrob.runs.records import RunSummary
from difrob.runs.summary_json import summary_from_json, summary_to_json

if TYPE_CHECKING:
    from difrob.runs.feed import RunFeed
    from difrob.runs.reader import RunReader

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS run_index "
    "(file TEXT PRIMARY KEY, size INTEGER, changed INTEGER, summary TEXT) WITHOUT ROWID"
)


class RunIndex:
    """Summaries of all runs of a folder. Live runs are followed by their journals, ended ones come from the index."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._feeds: dict[str, RunFeed] = {}
        self._known: dict[str, tuple[int, int, RunSummary | str]] = {}  # as the index has it until it is needed
        self._loaded = False
        self._lock = threading.Lock()
        self.left = 0
        """Runs that the last call left out, or of which it gave an earlier summary, for want of time."""

    def summaries(self, folder: Path, within: float | None = None) -> list[RunSummary]:
        """All runs in ``folder``, newest first.

        Args:
            within: seconds after which runs whose summaries have to be read (from the index or from their files) are left
                for the next call, the newest coming first; None reads all.

        Raises:
            UserError: when the folder cannot be read.
        """
        with self._lock:
            try:
                files, journals = _runs_in(folder)
            except OSError as error:
                raise UserError(f"the folder of runs '{folder}' cannot be read: {error.strerror}") from None
            with one_helper():
                return self._summaries(folder, files, journals, within)

    def _summaries(
        self, folder: Path, files: dict[str, os.stat_result], journals: set[str], within: float | None
    ) -> list[RunSummary]:
        deadline = None if within is None else time.monotonic() + within
        self.left = read = 0
        if not self._loaded:
            self._load()
        changed: dict[str, tuple[int, int, RunSummary]] = {}
        summaries: dict[str, RunSummary] = {}
        for run_id in sorted(files, reverse=True):  # ids begin with the time
            key = (files[run_id].st_size, files[run_id].st_mtime_ns)
            known = self._known.get(run_id)
            if known is not None and known[:2] == key and isinstance(known[2], RunSummary):
                summaries[run_id] = known[2]
                continue
            if read and deadline is not None and time.monotonic() > deadline:
                self.left += 1
                if known is not None and isinstance(known[2], RunSummary):
                    summaries[run_id] = known[2]
                continue
            read += 1
            summary = _revived(known[2], run_id, key[0]) if known is not None and known[:2] == key else None
            if summary is not None:
                self._known[run_id] = (*key, summary)
            else:
                summary = self._reader(folder, run_id).folded_summary()
                if summary is None:
                    continue
                if not summary.damaged:  # what could not be read is looked at anew each time
                    changed[run_id] = (*key, summary)
            summaries[run_id] = summary
        gone = self._known.keys() - files.keys()
        self._known.update(changed)
        for run_id in gone:
            del self._known[run_id]
        if changed or gone:
            self._store(changed, gone)
        for run_id in journals:
            live = self._follow(folder, run_id)
            if live is not None:
                summaries[run_id] = live
        for run_id in summaries.keys() - journals:
            if summaries[run_id].state.is_live:  # its journal came or went since the folder was listed, or was deleted
                summaries[run_id] = self._look(folder, run_id) or summaries[run_id]
        for run_id in self._feeds.keys() - journals:
            del self._feeds[run_id]
        self._mark_copies(summaries)
        return sorted(summaries.values(), key=lambda summary: (summary.created, summary.run_id), reverse=True)

    def _mark_copies(self, summaries: dict[str, RunSummary]) -> None:
        """Give each copy the id of its original: the run of the id that stands in its file.

        Of files that are all called otherwise than their run, as where the original was renamed, the first counts as it.
        What is marked is remembered, so that only a change costs anything.
        """
        first: dict[str, str] = {}
        for run_id in sorted(run_id for run_id, summary in summaries.items() if summary.written_as):
            summary = summaries[run_id]
            stated = summary.written_as
            original = stated if stated in summaries else first.setdefault(stated, run_id)
            copy_of = original if original != run_id else ""
            if copy_of == summary.copy_of:
                continue
            summaries[run_id] = marked = replace(summary, copy_of=copy_of)
            known = self._known.get(run_id)
            if known is not None and known[2] is summary:
                self._known[run_id] = (*known[:2], marked)

    def _follow(self, folder: Path, run_id: str) -> RunSummary | None:
        try:
            if run_id not in self._feeds:
                from difrob.runs.feed import RunFeed  # needs h5py, for which ended runs need not wait

                self._feeds[run_id] = RunFeed(self._reader(folder, run_id))
            return self._feeds[run_id].poll().summary
        except (UserError, OSError):
            self._feeds.pop(run_id, None)
            return self._look(folder, run_id)

    def _look(self, folder: Path, run_id: str) -> RunSummary | None:
        with suppress(UserError, OSError):
            return self._reader(folder, run_id).summary()
        return None

    @staticmethod
    def _reader(folder: Path, run_id: str) -> RunReader:
        from difrob.runs.reader import RunReader  # needs h5py, for which a list that the index knows need not wait

        return RunReader(run_id, folder / f"{run_id}.h5", folder / f"{run_id}.journal")

    def _load(self) -> None:
        self._loaded = True
        try:
            with closing(self._connect()) as connection:
                for file, size, changed, text in connection.execute("SELECT * FROM run_index"):
                    self._known[file] = (size, changed, text)
        except (sqlite3.Error, ValueError):
            self._known = {}  # an index is a cache: whatever is wrong with it, the files are the truth

    def _store(self, changed: dict[str, tuple[int, int, RunSummary]], gone: set[str]) -> None:
        rows = [
            (run_id, size, stamp, json.dumps(summary_to_json(summary)))
            for run_id, (size, stamp, summary) in changed.items()
        ]
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO run_index VALUES (?, ?, ?, ?)", rows)
                connection.executemany("DELETE FROM run_index WHERE file = ?", [(run_id,) for run_id in gone])
        except sqlite3.Error:
            return  # e.g. a read-only workspace: the list is right, only slower the next time

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=5)
        try:
            connection.execute(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _revived(text: RunSummary | str, run_id: str, size: int) -> RunSummary | None:
    """The summary in a row of the index; None for a row that makes no sense."""
    try:
        if isinstance(text, RunSummary):
            return text
        values = json.loads(text)
        # A row of before copies were told apart is of no use: whether the file is one stands in it alone.
        return summary_from_json(values, run_id, size) if "written_as" in values else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _runs_in(folder: Path) -> tuple[dict[str, os.stat_result], set[str]]:
    """Files and journals of runs, by run id. One that vanishes while the folder is being read is left out,
    and so are links: what they lead to is not of this workspace.
    """
    files: dict[str, os.stat_result] = {}
    journals: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            run_id, _, suffix = entry.name.rpartition(".")
            if not run_id or run_id.startswith("."):
                continue
            with suppress(FileNotFoundError):
                if suffix == "h5" and entry.is_file(follow_symlinks=False):
                    files[run_id] = entry.stat()
                elif suffix == "journal" and entry.is_file(follow_symlinks=False):
                    journals.add(run_id)
    return files, journals
