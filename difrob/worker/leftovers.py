"""Journals that nobody writes any more: their runs ended without room for the last fold, or died outside the queue."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from difrob.errors import UserError
from difrob.runs import RunReader, Workspace
from difrob.runs.locks import is_locked
from difrob.runs.recovery import recover
from difrob.worker.messages import Entry


def fold_leftovers(workspace: Workspace, entry_of: Callable[[str], Entry | None]) -> list[str]:
    """Try to fold each journal that was left behind. Cheap where there is none, and where there is no room.

    Nothing is lost by failing: readers join file and journal. But a journal holds no checkpoint apart from the file's, is
    slower to read, and is easily forgotten when somebody copies the file.

    Args:
        entry_of: the queue's entry of a run, None for one that it does not know.

    Returns:
        The runs that have been folded.
    """
    folded: list[str] = []
    journals: list[Path] = []
    with suppress(OSError):
        journals = sorted(workspace.runs_folder.glob("*.journal"))
    for journal in journals:
        with suppress(UserError, OSError):
            reader = RunReader(journal.stem, workspace.run_path(journal.stem), journal)
            entry = entry_of(journal.stem)
            if (entry is not None and entry.state.is_live) or is_locked(journal) or not _has_room(reader):
                continue
            if entry is not None and entry.state.is_end:
                recover(reader, entry.reason, entry.state, entry.cause)
            else:
                recover(reader)
            if not journal.exists():
                folded.append(journal.stem)
    return folded


def _has_room(reader: RunReader) -> bool:
    """A fold writes the whole file anew beside the old one; without room for that it need not be tried."""
    return _size(reader.h5_path) <= shutil.disk_usage(reader.h5_path.parent).free


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
