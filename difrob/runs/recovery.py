"""Bringing a run to rest whose writer died: the journal is folded, the file says why, nothing acknowledged is lost."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.contents import Contents
from difrob.runs.file_contents import Damaged
from difrob.runs.journal import Scan, scan_journal
from difrob.runs.locks import open_locked, remove_locked
from difrob.runs.reader import LOST, RunReader, file_stamp, has_ended, live_summary, summary_from_header
from difrob.runs.records import RunSummary
from difrob.runs.states import RunState
from difrob.runs.surroundings import boot_id

LOOKING_SECONDS = 0.2  # longer than anybody who merely looks holds a journal's lock


def recover(reader: RunReader, reason: str = "", state: RunState = RunState.INTERRUPTED) -> RunSummary | None:
    """Fold what a dead writer left behind and mark the run; None when there is nothing to do (or it is alive).

    A damaged file is set aside as ``.damaged`` and the run is rebuilt from the journal alone; a damaged journal is set
    aside as well, and the file is marked. Without room for the folded file, or with a file that cannot be read here (e.g.
    from a newer difrob), everything stays as it is, to be recovered another time.

    Args:
        reader: the run.
        reason: why it died, if anybody knows; else it is worked out (restart of the machine, or unknown).
        state: how the run ended, when the journal itself does not say.
    """
    try:
        descriptor = open_locked(reader.journal_path, os.O_RDWR, LOOKING_SECONDS)
    except (FileNotFoundError, PermissionError):
        return None
    if descriptor is None:
        return None
    remains = _Remains(reader, reason, state)
    try:
        run_file.remove_partials(reader.h5_path)
        summary = remains.fold()
    except (OSError, UserError):  # reading joins file and journal just the same
        os.close(descriptor)
        return remains.summary
    except BaseException:
        os.close(descriptor)
        raise
    remove_locked(descriptor, reader.journal_path)
    return summary


class _Remains:
    """What a dead writer left behind. The caller holds the journal's lock, and removes the journal afterwards."""

    def __init__(self, reader: RunReader, reason: str, state: RunState) -> None:
        self._reader = reader
        self._reason = reason
        self._state = state
        self._file_was_damaged = False
        self.summary: RunSummary | None = None

    def fold(self) -> RunSummary | None:
        """Bring file and journal together; None where neither says anything."""
        path = self._reader.h5_path
        while True:
            try:
                folded, sequence = self._reader.undamaged_summary(), self._reader.folded_sequence()
            except Damaged:
                self._set_file_aside()
                folded, sequence = None, 0
            try:
                scan = scan_journal(self._reader.journal_path)
                if scan.header is None:
                    raise UserError("its beginning cannot be read")
                base = folded or summary_from_header(scan.header, self._reader.run_id)
                contents = Contents(sequence=sequence).add(scan.frames)
            except UserError as error:
                return self._without_journal(folded, str(error))
            if folded is not None and has_ended(folded, scan.header):
                return folded
            self.summary = self._describe(base, scan, contents)
            try:
                return run_file.fold(path, self.summary, contents, [], dict(scan.header.get("facts") or {}))
            except Damaged:  # in a place that its summary does not touch: once more without it
                self._set_file_aside()
            except (ValueError, KeyError, TypeError, RuntimeError) as error:
                return self._without_journal(folded, f"{type(error).__name__}: {error}")

    def _describe(self, base: RunSummary, scan: Scan, contents: Contents) -> RunSummary:
        header = scan.header or {}
        summary = live_summary(base, header, contents, alive=False)
        reason = self._reason or _why(header)
        numbers = [frame.sequence for frame in scan.frames[1:]]
        is_missing = file_stamp(self._reader.h5_path) is None and bool(numbers) and numbers[0] > 1
        if self._file_was_damaged or is_missing:
            reason += "; its file was damaged or missing and has been rebuilt from the journal alone"
        elif contents.ended is not None:
            return summary
        return replace(summary, state=self._state, reason=reason, ended=self._last_sign_of_life())

    def _set_file_aside(self) -> None:
        self._file_was_damaged = True
        _set_aside(self._reader.h5_path)

    def _without_journal(self, folded: RunSummary | None, why: str) -> RunSummary | None:
        ended = self._last_sign_of_life()
        reason = self._reason or LOST
        if self._reader.journal_path.stat().st_size:  # an empty one belongs to a writer that died at birth
            aside = _set_aside(self._reader.journal_path)
            reason += f"; its journal was unreadable ({why}) and lies in '{aside.name}'"
        if folded is None or folded.state.is_end:
            return folded
        self.summary = replace(folded, state=self._state, reason=reason, ended=ended)
        contents = Contents(sequence=self._reader.folded_sequence())
        return run_file.fold(self._reader.h5_path, self.summary, contents, [], {})

    def _last_sign_of_life(self) -> float:
        with suppress(FileNotFoundError):
            return self._reader.journal_path.stat().st_mtime
        return time.time()


def _set_aside(path: Path) -> Path:
    """Rename a damaged file so that nobody takes it for a good one, without overwriting an earlier one."""
    target, number = path.with_name(f"{path.name}.damaged"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(target)
    return target


def _why(header: dict[str, Any]) -> str:
    facts = header.get("facts") or {}
    host, boot = facts.get("host"), facts.get("boot")
    if host not in (None, socket.gethostname()):
        return f"{LOST}; it ran on '{host}'"
    if boot not in (None, boot_id()):
        return "the machine was restarted while it ran"
    return LOST
