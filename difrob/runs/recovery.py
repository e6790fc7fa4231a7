"""Bringing a run to rest whose writer died: the journal is folded, the file says why, nothing acknowledged is lost."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.causes import Cause
from difrob.runs.damage.journal_salvage import read_remains
from difrob.runs.damage.replacement import replace_damaged, set_aside
from difrob.runs.file_contents import Damaged
from difrob.runs.journal import Scan
from difrob.runs.journal_contents import Contents
from difrob.runs.locks import open_locked, remove_locked
from difrob.runs.reader import LOST, RunReader, file_stamp, has_ended, live_summary, summary_from_header
from difrob.runs.records import RunSummary
from difrob.runs.schema import Newer
from difrob.runs.states import RunState
from difrob.runs.surroundings import boot_id

RESTARTED = "the machine was restarted while it ran"
LOOKING_SECONDS = 0.2  # longer than anybody who merely looks holds a journal's lock


def recover(
    reader: RunReader, reason: str = "", state: RunState = RunState.INTERRUPTED, cause: str = ""
) -> RunSummary | None:
    """Fold what a dead writer left behind and mark the run; None when there is nothing to do (or it is alive).

    A damaged file is set aside as ``.damaged`` and replaced by a whole one with everything that is left of it; a damaged
    journal is folded as far as it can be read and set aside as well, and the file is marked. Without room for the folded
    file, or with a file that cannot be read here (e.g. from a newer difrob), everything stays as it is, to be recovered
    another time.

    Args:
        reader: the run.
        reason: why it died, if anybody knows; else it is worked out (restart of the machine, or unknown).
        state: how the run ended, when the journal itself does not say.
        cause: the reason in one word; not looked at without a reason.
    """
    try:
        descriptor = open_locked(reader.journal_path, os.O_RDWR, LOOKING_SECONDS)
    except (FileNotFoundError, PermissionError):
        return None
    if descriptor is None:
        return None
    remains = _Remains(reader, reason, state, cause)
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


def restate(reader: RunReader, **changes: Any) -> RunSummary | None:
    """Correct what the file of a run at rest says of its end, e.g. ``state``, ``reason`` and ``cause``.

    None (and nothing is changed) where somebody writes the run, its journal is yet to be folded, or there is no sound file.

    Raises:
        OSError: when the disk is full.
    """
    if reader.journal_path.exists():
        return None
    try:
        summary = reader.undamaged_summary()
        if summary is None or not summary.state.is_end:
            return None
        contents = Contents(sequence=reader.folded_sequence())
    except UserError:
        return None
    return run_file.fold(reader.h5_path, replace(summary, **changes), contents, [], {})


class _Remains:
    """What a dead writer left behind. The caller holds the journal's lock, and removes the journal afterwards."""

    def __init__(self, reader: RunReader, reason: str, state: RunState, cause: str) -> None:
        self._reader = reader
        self._reason = reason
        self._cause = cause if reason else Cause.LOST.value
        self._state = state
        self._saved = ""
        self.summary: RunSummary | None = None

    def fold(self) -> RunSummary | None:
        """Bring file and journal together; None where neither says anything."""
        path = self._reader.h5_path
        while True:
            try:
                folded, sequence = self._reader.undamaged_summary(), self._reader.folded_sequence()
            except Damaged:
                self._set_file_aside()
                continue  # what was saved says up to which frame it has taken in the journal
            try:
                remains = read_remains(self._reader.journal_path)
                scan = remains.scan
                header = scan.header
                if header is None and (folded is None or not scan.frames):
                    raise UserError("its beginning cannot be read")
                base = folded or summary_from_header(header or {}, self._reader.run_id)
                frames, left_out = remains.without_samples_after_gap(sequence)
                contents = Contents(sequence=sequence).add(frames)
            except Newer:
                raise
            except UserError as error:
                return self._without_journal(folded, str(error))
            if folded is not None and header is not None and has_ended(folded, header):
                return folded
            self.summary = self._describe(base, scan, contents)
            if remains.damage:
                self.summary = replace(self.summary, reason=self.summary.reason + _damage_of(remains.damage, left_out))
            try:
                summary = run_file.fold(path, self.summary, contents, [], _facts(header or {}))
                if remains.damage:
                    set_aside(self._reader.journal_path)
                return summary
            except Damaged:  # in a place that its summary does not touch: once more without it
                self._set_file_aside()
            except (ValueError, KeyError, TypeError, RuntimeError) as error:
                return self._without_journal(folded, f"{type(error).__name__}: {error}")

    def _describe(self, base: RunSummary, scan: Scan, contents: Contents) -> RunSummary:
        header = scan.header or {}
        summary = live_summary(base, header, contents, alive=False)
        reason, cause = (self._reason, self._cause) if self._reason else _why(header)
        numbers = [frame.sequence for frame in scan.frames[1:]]
        is_missing = file_stamp(self._reader.h5_path) is None and bool(numbers) and numbers[0] > 1
        if self._saved:
            reason += f"; {self._saved}"
        elif is_missing:
            reason += "; its file was missing and has been rebuilt from the journal alone"
        elif contents.ended is not None:
            return summary
        ended = self._last_sign_of_life()
        return replace(summary, state=self._state, reason=reason, cause=cause, ended=ended)

    def _set_file_aside(self) -> None:
        """Replace the damaged file by a whole one with everything that is left of it; at worst by nothing."""
        if self._saved:  # the new one is damaged as well: the disk cannot be trusted
            set_aside(self._reader.h5_path)
            return
        replacement = replace_damaged(self._reader.h5_path, self._reader.run_id)
        alone = "" if replacement.is_there else "; the run has been rebuilt from the journal alone"
        self._saved = replacement.sentence + alone

    def _without_journal(self, folded: RunSummary | None, why: str) -> RunSummary | None:
        ended = self._last_sign_of_life()
        reason = self._reason or LOST
        if self._reader.journal_path.stat().st_size:  # an empty one belongs to a writer that died at birth
            aside = set_aside(self._reader.journal_path)
            reason += f"; its journal was unreadable ({why}) and lies in '{aside.name}'"
        if folded is None or folded.state.is_end:
            return folded
        self.summary = replace(folded, state=self._state, reason=reason, cause=self._cause, ended=ended)
        contents = Contents(sequence=self._reader.folded_sequence())
        return run_file.fold(self._reader.h5_path, self.summary, contents, [], {})

    def _last_sign_of_life(self) -> float:
        with suppress(FileNotFoundError):
            return self._reader.journal_path.stat().st_mtime
        return time.time()


def _damage_of(damage: str, left_out: list[str]) -> str:
    lost = f", without {'; '.join(left_out)}" if left_out else ""
    return f"; its journal was damaged ({damage}) and has been folded as far as it could be read{lost}"


def _facts(header: dict[str, Any]) -> dict[str, Any]:
    """What the run was made with, as far as a header says it."""
    facts = header.get("facts")
    return facts if isinstance(facts, dict) else {}


def _why(header: dict[str, Any]) -> tuple[str, str]:
    facts = _facts(header)
    host, boot = facts.get("host"), facts.get("boot")
    if host not in (None, socket.gethostname()):
        return f"{LOST}; it ran on '{host}'", Cause.LOST.value
    if boot not in (None, boot_id()):
        return RESTARTED, Cause.RESTART.value
    return LOST, Cause.LOST.value
