"""The care of a workspace: is every file whole, and bringing to rest and saving what is not.

Looking changes nothing, not even an index; a live run is looked at like a window does, without holding it up.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from difrob.errors import UserError
from difrob.runs.damage.inspection import Inspection, Inspector
from difrob.runs.damage.journal_salvage import JournalRemains, read_remains
from difrob.runs.damage.replacement import replace_damaged
from difrob.runs.journal import scan_journal
from difrob.runs.locks import is_locked, open_locked, remove_locked
from difrob.runs.reader import RunReader, file_stamp
from difrob.runs.recovery import LOOKING_SECONDS, recover
from difrob.runs.retention import SETTINGS_FILE, read_retention
from difrob.runs.schema import Newer
from difrob.runs.workspace import Workspace

PARTIAL = re.compile(r"\.(?P<run>.+)\.[0-9a-f]{8}\.partial")
ASIDE = re.compile(r"(?P<run>.+)\.(h5|journal)\.damaged(-\d+)?")
_TRIES = 5
_NAMED = 5


class Verdict(StrEnum):
    """What a look at one file came to."""

    WHOLE = "whole"
    LEFTOVER = "leftover"
    REFUSED = "refused"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Finding:
    """One file of a workspace: ``run_id`` is "" for one that belongs to no run; ``sentence`` says what there is to say."""

    run_id: str
    file: str
    verdict: Verdict
    sentence: str
    size: int = 0


def check(workspace: Workspace, run_ids: Iterable[str] | None = None) -> list[Finding]:
    """Look at every file of a workspace (or of some runs), changing none."""
    names = _names(workspace.runs_folder)
    found: list[Finding] = []
    chosen = None if run_ids is None else set(run_ids)
    with Inspector() as inspector:
        for run_id in sorted(chosen if chosen is not None else runs_in(workspace)):
            found += _check_run(workspace, run_id, inspector)
    for name in names:
        finding = _leftover(workspace, name)
        if finding is not None and (chosen is None or finding.run_id in chosen):
            found.append(finding)
    return found if chosen is not None else [*found, *_check_database(workspace), *_check_settings(workspace)]


def runs_in(workspace: Workspace) -> set[str]:
    """The ids of all runs of which there is a file or a journal."""
    return {name.rpartition(".")[0] for name in _names(workspace.runs_folder) if _is_run_file(name)}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise UserError(f"the folder of runs '{folder}' cannot be read: {error.strerror}") from None


def _is_run_file(name: str) -> bool:
    return not name.startswith(".") and name.endswith((".h5", ".journal"))


def _check_run(workspace: Workspace, run_id: str, inspector: Inspector) -> list[Finding]:
    try:
        path, journal = workspace.run_path(run_id), workspace.journal_path(run_id)
    except UserError as error:
        return [Finding(run_id, run_id, Verdict.REFUSED, str(error))]
    for _ in range(_TRIES):
        stamp, alive = file_stamp(path), is_locked(journal)
        inspection = None if stamp is None else _inspect(inspector, path)
        findings = [] if inspection is None or stamp is None else [_file_finding(run_id, path, inspection, stamp[0])]
        folded = _folded_sequence(workspace, run_id, inspection)
        findings += _check_journal(run_id, journal, folded, alive)
        if not alive or all(finding.verdict is Verdict.WHOLE for finding in findings):
            break  # of a live run, a fold may have come between the file and its journal
    return findings


def _inspect(inspector: Inspector, path: Path) -> Inspection:
    try:
        return inspector.inspect(path)
    except OSError as error:
        return Inspection(refused=f"'{path.name}' cannot be read: {error.strerror}")


def _file_finding(run_id: str, path: Path, inspection: Inspection, size: int) -> Finding:
    if inspection.refused:
        return Finding(run_id, path.name, Verdict.REFUSED, inspection.refused, size)
    if inspection.lost:
        lost = "; ".join(f"{name}: {why}" for name, why in list(inspection.lost.items())[:_NAMED])
        lost += f"; and {len(inspection.lost) - _NAMED} more" if len(inspection.lost) > _NAMED else ""
        sentence = f"{lost}. 'difrob runs recover {run_id}' saves the rest"
        return Finding(run_id, path.name, Verdict.DAMAGED, sentence, size)
    return Finding(run_id, path.name, Verdict.WHOLE, f"{inspection.read} pieces read", size)


def _folded_sequence(workspace: Workspace, run_id: str, inspection: Inspection | None) -> int | None:
    """The frame up to which the file has taken in its journal; None where that cannot be told."""
    if inspection is None:
        return 0
    if not inspection.is_whole:
        return None
    try:
        return workspace.reader(run_id).folded_sequence()
    except UserError:
        return None


def _check_journal(run_id: str, path: Path, folded: int | None, alive: bool) -> list[Finding]:
    try:
        size = path.stat().st_size
        remains = read_remains(path)
    except FileNotFoundError:
        return []
    except Newer as error:
        return [Finding(run_id, path.name, Verdict.REFUSED, str(error))]
    except UserError as error:
        return [Finding(run_id, path.name, Verdict.DAMAGED, f"{error}; nothing in it can be read", path.stat().st_size)]
    except OSError as error:
        return [Finding(run_id, path.name, Verdict.REFUSED, f"it cannot be read: {error.strerror}")]
    trouble = _journal_trouble(remains, folded)
    if trouble and size:
        sentence = f"{'; '.join(trouble)}. 'difrob runs recover {run_id}' saves the rest"
        return [Finding(run_id, path.name, Verdict.DAMAGED, sentence, size)]
    frames = f"{len(remains.scan.frames)} frames"
    if alive:
        return [Finding(run_id, path.name, Verdict.WHOLE, f"{frames}; its run is being written", size)]
    torn = f", and {remains.tail} bytes of a write that was cut off" if remains.tail else ""
    sentence = f"{frames}{torn}; its writer died: 'difrob runs recover {run_id}' folds it into the run's file"
    return [Finding(run_id, path.name, Verdict.LEFTOVER, sentence, size)]


def _journal_trouble(remains: JournalRemains, folded: int | None) -> list[str]:
    trouble = [remains.damage] if remains.damage else []
    if remains.scan.header is None and not remains.damage:
        trouble.append("its beginning cannot be read")
    if folded is not None:
        last = folded
        for frame in remains.scan.frames:
            if frame.sequence > last + 1:
                trouble.append(f"frames {last + 1} to {frame.sequence - 1} are in neither journal nor file")
            last = max(last, frame.sequence)
    return trouble


def _leftover(workspace: Workspace, name: str) -> Finding | None:
    path = workspace.runs_folder / name
    try:
        size = path.lstat().st_size
    except OSError:  # gone meanwhile
        return None
    if (match := PARTIAL.fullmatch(name)) is not None:
        if _is_live(workspace, match["run"]):
            return None
        return Finding(match["run"], name, Verdict.LEFTOVER, "a file whose writer died before it was whole", size)
    if (match := ASIDE.fullmatch(name)) is not None:
        return Finding(match["run"], name, Verdict.LEFTOVER, "set aside because it is damaged", size)
    run_id, _, suffix = name.rpartition(".")
    if suffix == "output":
        if _is_live(workspace, run_id):
            return None
        return Finding(run_id, name, Verdict.LEFTOVER, "what the process of a run printed that is not running", size)
    if _is_run_file(name):
        return None
    return Finding("", name, Verdict.LEFTOVER, "no file of difrob's; it is left alone", size)


def _is_live(workspace: Workspace, run_id: str) -> bool:
    try:
        return is_locked(workspace.journal_path(run_id))
    except (UserError, OSError):
        return False


def _check_database(workspace: Workspace) -> list[Finding]:
    path = workspace.database
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            answers = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return [Finding("", path.name, Verdict.REFUSED, "it is locked by another process; try again")]
        answers = [str(error)]
    if answers == ["ok"]:
        return [Finding("", path.name, Verdict.WHOLE, "the queue and the index of runs", path.stat().st_size)]
    sentence = (
        f"{'; '.join(answers)}. Move it away: the index is made anew, the queue begins empty, the runs are not in it"
    )
    return [Finding("", path.name, Verdict.DAMAGED, sentence, path.stat().st_size)]


def _check_settings(workspace: Workspace) -> list[Finding]:
    path = workspace.root / SETTINGS_FILE
    if not path.exists():
        return []
    try:
        return [Finding("", path.name, Verdict.WHOLE, f"runs keep {read_retention(workspace.root)}")]
    except UserError as error:
        return [Finding("", path.name, Verdict.DAMAGED, str(error))]


# Recovering


def recover_run(workspace: Workspace, run_id: str, inspector: Inspector) -> list[str]:
    """Fold what a dead writer of this run left behind, and save what is left of a damaged file.

    Nothing readable is deleted, and a second call finds nothing to do.

    Returns:
        What was done, a sentence each; empty when there was nothing to do.

    Raises:
        UserError: when nothing can be done here and now, e.g. because the run is being written or the disk is full.
    """
    reader = workspace.reader(run_id)
    path, journal = reader.h5_path, reader.journal_path
    descriptor = lock_run(journal)
    is_shell = not os.fstat(descriptor).st_size
    done: list[str] = []
    try:
        inspection = inspector.inspect(path) if path.exists() else Inspection()
        if inspection.refused:
            raise UserError(inspection.refused)
        if inspection.lost:
            done.append(replace_damaged(path, run_id, inspector).sentence)
    except OSError as error:
        raise UserError(f"run '{run_id}' cannot be recovered: {error.strerror}; free some room first") from None
    finally:
        if is_shell:
            remove_locked(descriptor, journal)
        else:
            os.close(descriptor)
    return done if is_shell else done + _fold_journal(reader)


def _fold_journal(reader: RunReader) -> list[str]:
    _refuse_newer(reader.journal_path)
    summary = recover(reader)
    if reader.journal_path.exists():
        raise UserError(f"run '{reader.run_id}' cannot be brought to rest: its folded file does not fit on the disk")
    if summary is None:
        return ["its journal said nothing that could be read"]
    return [
        f"its journal was folded: the run is {summary.state.value}" + (f", {summary.reason}" if summary.reason else "")
    ]


def _refuse_newer(journal: Path) -> None:
    """Raise Newer for a journal that is to be left alone."""
    try:
        scan_journal(journal)
    except Newer:
        raise
    except UserError:  # damaged, which is no reason
        return


def lock_run(journal: Path) -> int:
    """Take the lock of a run, so that nobody resumes it meanwhile; the journal is made if there is none.

    Raises:
        UserError: when somebody is writing the run, or nothing can be written there.
    """
    try:
        descriptor = open_locked(journal, os.O_RDWR | os.O_CREAT, LOOKING_SECONDS)
    except OSError as error:
        raise UserError(f"'{journal}' cannot be locked: {error.strerror}") from None
    if descriptor is None:
        raise UserError(f"run '{journal.stem}' is being written; stop it first")
    return descriptor
