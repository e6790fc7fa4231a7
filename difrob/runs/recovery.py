"""Bringing a run to rest whose writer died: the journal is folded, the file says why, nothing acknowledged is lost."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace

import psutil

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.journal import scan_journal
from difrob.runs.locks import try_lock
from difrob.runs.reader import LOST, RunReader, live_summary, summary_from_header
from difrob.runs.records import RunSummary
from difrob.runs.states import RunState


def recover(reader: RunReader, reason: str = "", state: RunState = RunState.INTERRUPTED) -> RunSummary | None:
    """Fold what a dead writer left behind and mark the run; None when there is nothing to do (or it is alive).

    Args:
        reader: the run.
        reason: why it died, if anybody knows; else it is worked out (restart of the machine, or unknown).
        state: how the run ended, when the journal itself does not say.

    A file that cannot be opened is set aside as ``.damaged`` and the run is rebuilt from the journal alone; a journal
    without a readable header is set aside as well.
    """
    try:
        descriptor = os.open(reader.journal_path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    try:
        if not try_lock(descriptor):
            return None
        with suppress(UserError):
            scan = scan_journal(reader.journal_path)
            if scan.frames:
                return _fold_remains(reader, reason, state)
        reader.journal_path.rename(reader.journal_path.with_suffix(".journal.damaged"))
        return None
    finally:
        os.close(descriptor)


def _fold_remains(reader: RunReader, reason: str, state: RunState) -> RunSummary:
    scan = scan_journal(reader.journal_path)
    header = scan.frames[0].records[0]
    folded = reader.folded_summary()
    if folded is not None and folded.damaged:
        reader.h5_path.rename(reader.h5_path.with_suffix(".h5.damaged"))
        reason = f"{reason or LOST}; its file was damaged and has been rebuilt from the journal alone"
        folded = None
    contents = reader.journal_contents()
    base = summary_from_header(header) if folded is None else folded
    summary = live_summary(base, header, contents, alive=False)
    if contents.ended is None:
        summary = replace(summary, state=state, reason=reason or _why(header), ended=_last_sign_of_life(reader))
    summary = replace(
        summary, parents=base.parents, has_checkpoint=base.has_checkpoint, size=0, progress=summary.progress
    )
    run_file.fold(reader.h5_path, summary, contents, [], header.get("facts", {}))
    reader.journal_path.unlink()
    return replace(summary, size=reader.h5_path.stat().st_size)


def _last_sign_of_life(reader: RunReader) -> float:
    with suppress(FileNotFoundError):
        return reader.journal_path.stat().st_mtime
    return time.time()


def _why(header: dict[str, object]) -> str:
    if header.get("boot") not in (None, boot_time()):
        return "the machine was restarted while it ran"
    return LOST


def boot_time() -> int:
    """When this machine started, in whole seconds since the epoch: tells one boot from another."""
    return int(psutil.boot_time())
