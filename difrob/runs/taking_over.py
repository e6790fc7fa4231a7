"""Whether a run may be written: begun where there is none of its name, resumed where an earlier writer left one behind."""

from __future__ import annotations

from difrob.errors import UserError
from difrob.runs.journal import scan_journal
from difrob.runs.locks import is_locked
from difrob.runs.reader import RunReader
from difrob.runs.records import RunSummary
from difrob.runs.recovery import recover
from difrob.specs import JobSpec


def take_over(reader: RunReader, spec: JobSpec, *, resume: bool) -> RunSummary | None:
    """Bring to rest what an earlier writer left behind.

    Args:
        reader: the run that is to be written.
        spec: with what.
        resume: whether it is to go on, instead of being new.

    Returns:
        The summary of the run to resume; None for a new one.

    Raises:
        UserError: when the run exists already or is missing, is being written, is damaged beyond reading, of another kind,
            or does not fit on the disk.
    """
    run_id = reader.run_id
    recover(reader)
    old = reader.folded_summary()
    if old is not None and not resume:
        raise UserError(f"run '{run_id}' exists already; resume it, or start a new one")
    if is_locked(reader.journal_path):
        raise UserError(f"run '{run_id}' is being written by another process; wait for it or stop it first")
    if old is not None and old.damaged:
        raise UserError(f"run '{run_id}' has no readable file to resume from: {old.reason}")
    if reader.journal_path.exists():
        scan_journal(reader.journal_path)  # raises where a newer difrob wrote it
        raise UserError(f"what run '{run_id}' left behind does not fit on the disk; free some room first")
    if not resume:
        return None
    if old is None:
        raise UserError(f"there is no file of run '{run_id}' to resume from")
    if old.kind != spec.kind:
        raise UserError(f"run '{run_id}' is a '{old.kind}' run and cannot be resumed as '{spec.kind}'")
    return old
