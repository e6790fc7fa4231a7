"""The HDF5 file of a run: written whole, by temporary file and rename, never changed in place.

A fold takes the file as it is (if there is one), adds what the journal says, and replaces it. Because no file is ever
opened for writing again, metric columns need no chunks, and a viewer never meets a file being written.

Groups carry ``NX_class``, ``signal`` and ``axes`` attributes, so general viewers plot them unaided.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from difrob.runs.damage.file_parts import damage
from difrob.runs.file_contents import Damaged, system_error
from difrob.runs.file_writer import FileWriter, NewCheckpoint
from difrob.runs.journal_contents import Contents
from difrob.runs.records import RunSummary
from difrob.runs.retention import Retention
from difrob.runs.summary_json import summary_from_json as summary_from_json
from difrob.runs.summary_json import summary_to_json as summary_to_json
from difrob.runs.unfailing_file import UnfailingFile


def fold(
    path: Path,
    summary: RunSummary,
    contents: Contents,
    new_checkpoints: list[NewCheckpoint],
    facts: dict[str, Any],
    retention: Retention | None = None,
) -> RunSummary:
    """Write the run's file anew: what it holds already, plus ``contents``, plus checkpoints. Durable on return.

    Args:
        path: the run's ``.h5``; need not exist yet.
        summary: what the file's attributes shall say.
        contents: journal contents not yet in the file.
        new_checkpoints: checkpoints to add.
        facts: root attributes beyond the summary (versions, platform, ...), plain JSON data.
        retention: which checkpoints, old and new, stay; None for all.

    Returns:
        The summary as the file now says it.

    Raises:
        OSError: when the disk is full or the folder is read-only.
        Damaged: when the old file is damaged. In either case it is untouched.
    """
    partial = partial_of(path)
    try:
        with ExitStack() as stack:
            source = stack.enter_context(h5py.File(path, "r", locking=False)) if path.exists() else None
            summary = write_whole(partial, source, summary, contents, new_checkpoints, facts, retention)
        put_in_place(partial, path)
    except Exception as error:
        if (failure := system_error(error)) is not None:
            raise failure from None
        if path.exists() and (why := damage(path)):
            raise Damaged(why) from None
        raise
    finally:
        with suppress(OSError):
            partial.unlink()
    return replace(summary, size=path.stat().st_size, damaged=False)


def partial_of(path: Path) -> Path:
    """A new name beside a run file for its successor while that is being written."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial")


def write_whole(
    target_path: Path,
    source: h5py.File | None,
    summary: RunSummary,
    contents: Contents,
    new_checkpoints: list[NewCheckpoint],
    facts: dict[str, Any],
    retention: Retention | None = None,
) -> RunSummary:
    """Write a run file from its beginning to its end, durable on return; otherwise like :func:`fold`."""
    with UnfailingFile(target_path) as disk:
        with h5py.File(disk, "w") as target:
            writer = FileWriter(target, source, contents, disk.check, retention)
            summary = writer.write(summary, new_checkpoints, facts)
        disk.put_seal()
        disk.make_durable()
    return summary


def put_in_place(partial: Path, path: Path) -> None:
    """Make a whole new file the run's file, durably."""
    _replace(partial, path)
    sync_folder(path.parent)


def _replace(partial: Path, path: Path) -> None:
    for _ in range(100 if os.name == "nt" else 0):  # pragma: no cover - there, a reader bars it while it has it open
        try:
            return os.replace(partial, path)
        except PermissionError:
            time.sleep(0.05)
    os.replace(partial, path)


def remove_partials(path: Path) -> None:
    """Delete what folds left behind that were killed midway. Only for the holder of the journal's lock."""
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]{{8}}\.partial")
    for leftover in path.parent.glob(".*.partial"):
        if pattern.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable (a no-op where folders cannot be opened)."""
    with suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
