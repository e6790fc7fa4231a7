"""What is left of a damaged run file: found piece by piece, and written into a new whole file.

HDF5 meets some damage by crashing or by never coming back, so whoever calls this runs it in a process that may die (see
:mod:`difrob.runs.damage.inspection`), and passes over the pieces at which it died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from difrob.errors import UserError
from difrob.runs.damage.file_parts import Piece, StoredCheckpoint, pieces_of, why_unreadable
from difrob.runs.damage.heap_check import BrokenHeap, broken_heaps
from difrob.runs.damage.limits import THE_FILE
from difrob.runs.damage.mended_file import MendedFile, full_size
from difrob.runs.file_contents import UNREADABLE, check_file_version, has_link, system_error
from difrob.runs.file_writer import NewCheckpoint
from difrob.runs.journal_contents import Contents
from difrob.runs.records import LogLine, RunSummary
from difrob.runs.run_file import summary_from_json, write_whole
from difrob.runs.schema import Newer
from difrob.runs.states import RunState

CUT_OFF = "it lies beyond the place where the file is cut off"


@dataclass
class Remains:
    """What could be read, in the form in which a new file is written from it."""

    contents: Contents = field(default_factory=Contents)
    checkpoints: list[NewCheckpoint] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)

    is_empty: bool = True

    def take(self, kind: str, value: Any) -> None:
        """Keep what one piece held."""
        self.is_empty &= kind in ("list", "sequence", "results")
        match kind:
            case "summary" | "spec" | "facts":
                setattr(self, kind, dict(value))
            case "sequence":
                self.contents.sequence = value
            case "parents":
                self.contents.parents = {str(name): dict(parent) for name, parent in value.items()}
            case "attributes":
                self.contents.attributes = value
            case "log":
                self.contents.log = value
            case "metric":
                self.contents.add_series(*value)
            case "curve":
                self.contents.curves.append(value)
            case "pictures":
                self.contents.pictures.append(value)
            case "samples":
                self.columns[value[0]] = value[1]
            case "checkpoint":
                self._take_checkpoint(value)
            case "results" if "results" not in self.summary:
                self.summary["results"] = value

    def _take_checkpoint(self, stored: StoredCheckpoint) -> None:
        self.checkpoints.append(NewCheckpoint(stored.checkpoint, stored.best))


class _Sources:
    """Opens a run file; one that was cut off, or whose texts HDF5 would not get through, is opened as if it were whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.full_size = full_size(path)
        self.heaps = broken_heaps(path, self.full_size)
        self.mended: MendedFile | None = None

    def open(self, stack: ExitStack) -> h5py.File:
        if self.full_size is None and not self.heaps:
            return stack.enter_context(h5py.File(self._path, "r", locking=False))
        self.mended = MendedFile(self._path, self.full_size, self.heaps)
        stack.callback(self.mended.close)
        return stack.enter_context(h5py.File(self.mended, "r"))


def walk(
    path: Path,
    skip: Set[str],
    begin: Callable[[str], None],
    lost: Callable[[str, str], None],
    work: Callable[[h5py.File, Remains], None],
    *,
    bulk: bool = True,
) -> list[BrokenHeap]:
    """Read all pieces of a file but those to ``skip``, then do ``work`` with the open file and what was read.

    Args:
        begin: told the name of each piece before it is read.
        lost: told the name of each piece that cannot be read, and why.
        bulk: read samples and weights in full as well, see :func:`difrob.runs.damage.file_parts.pieces_of`.

    Returns:
        The broken heaps of texts, where pieces were lost.

    Raises:
        UserError: when nothing is wrong with the file but that it cannot be read here, e.g. one of a newer difrob.
    """
    begin(THE_FILE)
    skipped = set(skip)
    sources = _Sources(path)
    if sources.full_size is not None:
        lost("the end of the file", f"it is cut off at {path.stat().st_size} of {sources.full_size} bytes")
    while True:
        with ExitStack() as stack:
            try:
                file = sources.open(stack)
            except UNREADABLE as error:
                if (failure := system_error(error)) is not None:
                    raise UserError(f"'{path}' cannot be read: {failure.strerror}") from None
                lost(THE_FILE, why_unreadable(error))
                return []
            _check_version(file, path, lost)
            remains, again = Remains(), ""
            for piece in pieces_of(file, bulk=bulk):
                if piece.name in skipped:
                    continue
                begin(piece.name)
                why = _take(piece, remains, sources)
                if why:
                    lost(piece.name, why)
                    skipped.add(piece.name)
                    again = piece.name if why == CUT_OFF else ""
                if again:
                    break  # what HDF5 has read ahead into its caches is not to be trusted: once more without this piece
            else:
                begin("")
                broken = sources.heaps if skipped else []  # HDF5 leaves heaps behind that nothing needs any more
                for heap in broken:
                    lost(f"texts from byte {heap.at} on", f"the heap of texts at byte {heap.start} is broken there")
                if remains.is_empty:
                    lost(THE_FILE, "nothing in it can be read")
                else:
                    work(file, remains)
                return broken


def _check_version(file: h5py.File, path: Path, lost: Callable[[str, str], None]) -> None:
    """A file that does not say its version is one of ours all the same if it has the parts of a run."""
    try:
        check_file_version(file, path)
    except Newer:
        raise
    except UserError:
        if not has_link(file, "metrics"):
            raise
        lost("the schema version", "it is missing")
    except UNREADABLE as error:
        lost("the schema version", why_unreadable(error))


def _take(piece: Piece, remains: Remains, sources: _Sources) -> str:
    why = ""
    if sources.mended is not None:
        sources.mended.touched = False
    try:
        remains.take(piece.kind, piece.read())
    except UNREADABLE as error:
        if (failure := system_error(error)) is not None:
            raise UserError(f"the file cannot be read: {failure.strerror}") from None
        why = why_unreadable(error)
    return CUT_OFF if sources.mended is not None and sources.mended.touched else why


def write_remains(target: Path, run_id: str, file: h5py.File, remains: Remains, lost: Mapping[str, str]) -> None:
    """Write a new whole run file from what is left of ``file``. Durable on return; raises OSError for a full disk."""
    summary = _summary(run_id, file, remains)
    said = "; ".join(f"{name}: {why}" for name, why in lost.items())
    line = f"this file was written anew from a damaged one, without {said or 'losses'}"
    remains.contents.log.append(LogLine(time.time(), "warning", line))
    if remains.columns:  # HDF5's data sets, which are copied block by block
        remains.contents.samples = [remains.columns]
    by_length = {len(column) for column in remains.columns.values()}
    if len(by_length) > 1:
        raise ValueError("sample columns of different lengths")
    write_whole(target, None, summary, remains.contents, remains.checkpoints, remains.facts)


def _summary(run_id: str, file: h5py.File, remains: Remains) -> RunSummary:
    """The summary as it was written, else what single attributes tell."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return summary_from_json(remains.summary, run_id)
    values: dict[str, Any] = {"kind": "", "name": run_id, "state": RunState.INTERRUPTED.value}
    for name, attribute in (
        ("kind", "kind"),
        ("name", "name"),
        ("state", "status"),
        ("host", "host"),
        ("device", "device"),
    ):
        with suppress(*UNREADABLE):
            values[name] = str(file.attrs[attribute])
    values |= {"spec": remains.spec, "results": remains.summary.get("results", {})}
    try:
        return summary_from_json(values, run_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return RunSummary(run_id, values["kind"], values["name"], RunState.INTERRUPTED, spec=remains.spec)
