"""What a workspace can spare, and freeing it: checkpoints beyond the retention, outputs, damaged files, leftovers, the bin.

Nothing of a live run is touched, and no checkpoint that a run would go on from: the newest one always stays, and a file in
which it is damaged is left to ``recover``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import h5py

from difrob.errors import UserError
from difrob.runs import file_contents, run_file
from difrob.runs.care import ASIDE, PARTIAL, lock_run
from difrob.runs.file_contents import open_run_file
from difrob.runs.journal_contents import Contents
from difrob.runs.locks import is_locked, remove_locked
from difrob.runs.records import RunSummary
from difrob.runs.retention import Retention
from difrob.runs.workspace import Workspace

DAY = 86_400.0


class Kind(StrEnum):
    """Sorts of things that can be spared."""

    CHECKPOINTS = "checkpoints"
    OUTPUT = "output"
    DAMAGED = "damaged"
    PARTIAL = "partial"
    BIN = "bin"
    DATABASE = "database"


@dataclass(frozen=True)
class Spare:
    """One thing that can be spared: ``size`` in bytes (of checkpoints: of their weights), ``what`` for people."""

    kind: Kind
    run_id: str
    path: Path
    size: int
    what: str


def find_spare(workspace: Workspace, retention: Retention, older_than: float = 0.0) -> list[Spare]:
    """All that can be spared.

    Args:
        retention: which checkpoints are kept in ended runs.
        older_than: in days: only of runs that ended, and files that changed, that long ago.
    """
    limit = time.time() - older_than * DAY
    ended = {
        summary.run_id: summary
        for summary in workspace.summaries()
        if summary.state.is_end and not summary.damaged and not workspace.journal_path(summary.run_id).exists()
    }
    old = [summary for summary in ended.values() if (summary.ended or summary.created) <= limit]
    found = [spare for summary in old for spare in _checkpoints(workspace, summary, retention)]
    found += _files(workspace, set(ended), limit)
    found += _binned(workspace, limit)
    return found + _database(workspace)


def _checkpoints(workspace: Workspace, summary: RunSummary, retention: Retention) -> Iterator[Spare]:
    path = workspace.run_path(summary.run_id)
    try:
        with open_run_file(path) as file:
            groups = file_contents.groups_in(file, "checkpoints")
            spare = sorted(groups.keys() - _kept(groups, retention))
            size = sum(file_contents.numbers(groups[key], "weights").size for key in spare)
    except UserError:  # damaged, or of a newer difrob: not ours to make smaller
        return
    if spare:
        steps = ", ".join(str(int(key)) for key in spare)
        yield Spare(Kind.CHECKPOINTS, summary.run_id, path, size, f"checkpoints at step {steps}; kept: {retention}")


def _kept(groups: dict[str, h5py.Group], retention: Retention) -> set[str]:
    best = max((key for key, group in groups.items() if group.attrs["best"]), default=None)
    return retention.kept(groups.keys(), best)


def _files(workspace: Workspace, ended: set[str], limit: float) -> list[Spare]:
    found = []
    for entry in os.scandir(workspace.runs_folder):
        run_id, _, suffix = entry.name.rpartition(".")
        if suffix == "output" and run_id in ended:
            kind, what = Kind.OUTPUT, "what the process of an ended run printed"
        elif (match := ASIDE.fullmatch(entry.name)) is not None:
            kind, run_id, what = Kind.DAMAGED, match["run"], "a damaged file; what could be read of it was saved"
        elif (match := PARTIAL.fullmatch(entry.name)) is not None:
            kind, run_id, what = Kind.PARTIAL, match["run"], "a file whose writer died before it was whole"
        else:
            continue
        status = entry.stat(follow_symlinks=False)
        if status.st_mtime <= limit and not _is_live(workspace, run_id):
            found.append(Spare(kind, run_id, Path(entry.path), status.st_size, what))
    return sorted(found, key=lambda spare: spare.path)


def _is_live(workspace: Workspace, run_id: str) -> bool:
    try:
        return is_locked(workspace.journal_path(run_id))
    except (UserError, OSError):
        return True


def _binned(workspace: Workspace, limit: float) -> list[Spare]:
    if not workspace.bin_folder.is_dir():
        return []
    found = []
    for path in sorted(workspace.bin_folder.iterdir()):
        status = path.lstat()
        if path.suffix in (".h5", ".journal", ".output") and status.st_mtime <= limit:
            found.append(Spare(Kind.BIN, path.stem, path, status.st_size, "of a run that was removed"))
    return found


def _database(workspace: Workspace) -> list[Spare]:
    path = workspace.database
    log = path.with_name(f"{path.name}-wal")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            pages, page = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size")
            )
            size = pages * page + (log.stat().st_size if log.exists() else 0)
    except (sqlite3.Error, OSError):
        return []
    return [Spare(Kind.DATABASE, "", path, size, "free pages and the write-ahead log")] if size else []


def free(workspace: Workspace, spare: Spare, retention: Retention) -> int:
    """Free one thing, and return how many bytes that gave.

    Raises:
        UserError: when it cannot be freed now: the run was resumed meanwhile, the disk refuses, the database is in use.
    """
    actions: dict[Kind, Callable[[], int]] = {
        Kind.CHECKPOINTS: lambda: _drop_checkpoints(workspace, spare.run_id, retention),
        Kind.DATABASE: lambda: _shrink_database(spare.path),
    }
    try:
        if spare.kind in actions:
            return actions[spare.kind]()
        if spare.kind is not Kind.BIN and _is_live(workspace, spare.run_id):
            raise UserError(f"run '{spare.run_id}' is being written again; '{spare.path.name}' stays")
        size = spare.path.lstat().st_size
        spare.path.unlink()
        return size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise UserError(f"'{spare.path}' cannot be freed: {error.strerror}") from None


def _drop_checkpoints(workspace: Workspace, run_id: str, retention: Retention) -> int:
    """Write the file of an ended run anew without the checkpoints beyond the retention."""
    reader, path = workspace.reader(run_id), workspace.run_path(run_id)
    journal = workspace.journal_path(run_id)
    descriptor = lock_run(journal)
    if os.fstat(descriptor).st_size:
        os.close(descriptor)
        raise UserError(f"run '{run_id}' was not brought to rest; 'difrob runs recover {run_id}' does that")
    try:
        summary, before = reader.undamaged_summary(), path.stat().st_size
        if summary is None or not summary.state.is_end:
            raise UserError(f"run '{run_id}' has not ended; its checkpoints stay")
        with open_run_file(path) as file:
            groups = file_contents.groups_in(file, "checkpoints")
            for key in _kept(groups, retention):
                if file_contents.read_checkpoint(groups[key]) is None:
                    raise UserError(
                        f"the checkpoint at step {int(key)} of run '{run_id}' is damaged, so the others stay; "
                        f"'difrob runs recover {run_id}' drops it"
                    )
        contents = Contents(sequence=reader.folded_sequence())
        written = run_file.fold(path, summary, contents, [], {}, retention)
        return max(0, before - written.size)
    finally:
        remove_locked(descriptor, journal)


def _shrink_database(path: Path) -> int:
    log = path.with_name(f"{path.name}-wal")

    def size() -> int:
        return sum(file.stat().st_size for file in (path, log) if file.exists())

    before = size()
    try:
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise UserError(f"'{path}' cannot be made smaller now: {error}; try again when the queue is at rest") from None
    return max(0, before - size())
