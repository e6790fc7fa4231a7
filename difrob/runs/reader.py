"""Reading one run, whatever its state: the folded file first, then what its journal adds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.errors import UserError
from difrob.runs import file_contents
from difrob.runs.causes import Cause
from difrob.runs.file_contents import open_run_file
from difrob.runs.interface import Checkpoint
from difrob.runs.journal import Scan, scan_journal
from difrob.runs.journal_contents import Contents
from difrob.runs.locks import is_locked
from difrob.runs.records import Curve, LogLine, Pictures, RunSummary, Series
from difrob.runs.run_file import summary_from_json
from difrob.runs.states import RunState

LOST = "the process ended without a word (killed, crashed, or the machine was restarted)"
_TRIES = 50
DIGESTED_ROWS = 256  # of each column of per-sample results, in a digest of them


@dataclass(frozen=True)
class Look:
    """A run as it stood at one moment: its open file (None without one) and what its journal adds to that.

    ``alive`` was found out before anything was read: had it been after, a run that finishes meanwhile would look lost.
    """

    run_id: str
    alive: bool
    file: h5py.File | None
    stamp: tuple[int, int, int] | None
    header: dict[str, Any] | None
    contents: Contents
    offset: int

    @property
    def base(self) -> RunSummary | None:
        """The summary in the file, or in the journal's header where there is no file; None where there is neither."""
        if self.file is not None and self.stamp is not None:
            return summary_from_json(json.loads(self.file.attrs["summary"]), self.run_id, self.stamp[0])
        return None if self.header is None else summary_from_header(self.header, self.run_id)


class RunReader:
    """One run of a workspace. Opens its files for an instant at each question and keeps nothing open."""

    def __init__(self, run_id: str, h5_path: Path, journal_path: Path) -> None:
        self.run_id = run_id
        self.h5_path = h5_path
        self.journal_path = journal_path

    @contextmanager
    def look(self) -> Iterator[Look]:
        """File and journal as they belong together, even while folds go on.

        A fold may come between opening the file and reading the journal, whose frames are then gone. That shows: the
        numbers of the frames do not follow on what the file holds, and the file is another one by now.

        Raises:
            UserError: when the file or the journal is damaged.
        """
        for attempt in range(_TRIES):
            with ExitStack() as stack:
                alive = is_locked(self.journal_path)
                stamp = file_stamp(self.h5_path)
                file, folded = None, 0
                if stamp is not None:
                    file = stack.enter_context(open_run_file(self.h5_path))
                    folded = file_contents.folded_sequence(file)
                scan = self._scan_journal()
                new = [frame for frame in scan.frames if frame.sequence > folded]
                follows = bool(new) and new[0].sequence == folded + 1
                if follows or file_stamp(self.h5_path) == stamp or attempt == _TRIES - 1:
                    contents = Contents(sequence=folded).add(new)
                    yield Look(self.run_id, alive, file, stamp, scan.header, contents, scan.offset)
                    return

    def _scan_journal(self) -> Scan:
        try:
            return scan_journal(self.journal_path)
        except FileNotFoundError:
            return Scan([], 0, torn=False)
        except OSError as error:
            raise UserError(f"'{self.journal_path}' cannot be read: {error.strerror}") from None

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as plain data."""
        return self.summary().spec

    def summary(self) -> RunSummary:
        """What a table shows of this run; damage is reported in ``reason``, not raised.

        Raises:
            UserError: when there is neither a file nor a journal.
        """
        try:
            with self.look() as look:
                summary = summary_of(look)
        except UserError as error:
            return self._damaged_summary(str(error))
        if summary is None:
            raise UserError(f"there is no run '{self.run_id}' in '{self.h5_path.parent}'")
        return summary

    def _damaged_summary(self, reason: str) -> RunSummary:
        """As much as the undamaged one of file and journal tells."""
        summary, alive = self.folded_summary(), is_locked(self.journal_path)
        if summary is None or summary.damaged:
            with suppress(UserError):
                scan = self._scan_journal()
                if scan.header is not None:
                    contents = Contents().add(scan.frames)
                    base = summary_from_header(scan.header, self.run_id)
                    summary = live_summary(base, scan.header, contents, alive=alive)
        summary = summary or RunSummary(self.run_id, "", self.run_id, RunState.FAILED)
        return replace(summary if alive else at_rest(summary), damaged=True, reason=reason)

    def folded_summary(self) -> RunSummary | None:
        """The summary in the file, None without a file; a damaged file gives a summary that says so."""
        try:
            return self.undamaged_summary()
        except UserError as error:
            size = (file_stamp(self.h5_path) or (0,))[0]
            return RunSummary(self.run_id, "", self.run_id, RunState.FAILED, reason=str(error), damaged=True, size=size)

    def undamaged_summary(self) -> RunSummary | None:
        """The summary in the file, None without a file. Raises Damaged, or UserError when it cannot be read."""
        stamp = file_stamp(self.h5_path)
        if stamp is None:
            return None
        with open_run_file(self.h5_path) as file:
            return summary_from_json(json.loads(file.attrs["summary"]), self.run_id, stamp[0])

    def folded_sequence(self) -> int:
        """The highest journal frame that the file holds; 0 without a file.

        Raises:
            UserError: when the file is damaged.
        """
        if file_stamp(self.h5_path) is None:
            return 0
        with open_run_file(self.h5_path) as file:
            return file_contents.folded_sequence(file)

    def metrics(self, *names: str) -> dict[str, Series]:
        """All metrics, or those named, file and journal joined."""
        with self.look() as look:
            return metrics_of(look, set(names) or None)

    def curves(self) -> dict[str, Curve]:
        """The latest curve of each name."""
        with self.look() as look:
            return curves_of(look)

    def pictures(self) -> list[Pictures]:
        """The newest batches of pictures."""
        with self.look() as look:
            return pictures_of(look)

    def log(self) -> list[LogLine]:
        """All log lines."""
        with self.look() as look:
            return log_of(look)

    def attributes(self) -> dict[str, Any]:
        """Facts that the job stated about the run."""
        with self.look() as look:
            folded = {} if look.file is None else file_contents.read_attributes(look.file)
            return folded | look.contents.attributes

    def facts(self) -> dict[str, Any]:
        """What the run was made with, as its file says: versions, platform, threads, ...; empty without a file."""
        if file_stamp(self.h5_path) is None:
            return {}
        with open_run_file(self.h5_path) as file:
            return dict(json.loads(file.attrs["facts"]))

    def sample_count(self) -> int:
        """Rows of per-sample results recorded so far."""
        with self.look() as look:
            columns = {} if look.file is None else file_contents.sample_columns(look.file)
            return max((len(column) for column in columns.values()), default=0) + look.contents.sample_count

    def sample_layout(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Type and shape of one row of each per-sample column that the file holds."""
        if file_stamp(self.h5_path) is None:
            return {}
        with open_run_file(self.h5_path) as file:
            return {name: (c.dtype, c.shape[1:]) for name, c in file_contents.sample_columns(file).items()}

    def array(self, name: str) -> np.ndarray:
        """A per-sample column, e.g. ``samples/images``; read-only, and mapped into memory where it is large.

        Raises:
            UserError: when the run has no such column.
        """
        column = name.removeprefix("samples/")
        with self.look() as look:
            folded = {} if look.file is None else file_contents.sample_columns(look.file)
            parts = [file_contents.read_column(folded[column], self.h5_path)] if column in folded else []
            parts += [batch[column] for batch in look.contents.samples if column in batch]
            if parts:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)
        raise UserError(f"run '{self.run_id}' has no '{name}'; is it a finished run of the right kind?")

    def checkpoint(self, which: str | int = "last") -> Checkpoint:
        """The last or the best checkpoint (the last where none is marked best), or that of a step, its digest verified.

        Raises:
            UserError: when there is none, or it is damaged.
        """
        return self.chosen_checkpoint(which)[0]

    def chosen_checkpoint(self, which: str | int) -> tuple[Checkpoint, str, str]:
        """:meth:`checkpoint`; how it was chosen (``best``, ``last`` or ``step``), and the digest of its weights."""
        with self._chosen_group(which) as (step, weights, group):
            checkpoint = file_contents.read_checkpoint(group)
            if checkpoint is None:
                raise UserError(f"the checkpoint at step {step} of run '{self.run_id}' is damaged")
            return checkpoint, weights, str(group.attrs["digest"])

    def chosen_weights(self, which: str | int) -> tuple[int, str, str]:
        """Step of a checkpoint, how it was chosen, and the digest of its weights, which are not read.

        Raises:
            UserError: when there is none such.
        """
        with self._chosen_group(which) as (step, weights, group):
            return step, weights, str(group.attrs["digest"])

    @contextmanager
    def _chosen_group(self, which: str | int) -> Iterator[tuple[int, str, h5py.Group]]:
        if file_stamp(self.h5_path) is None:
            raise UserError(f"run '{self.run_id}' has no checkpoint yet; let it run further first")
        with open_run_file(self.h5_path) as file:
            groups = file_contents.groups_in(file, "checkpoints")
            key = self._chosen_checkpoint(groups, which)
            is_best = which == "best" and bool(groups[key].attrs["best"])
            yield int(key), "step" if isinstance(which, int) else "best" if is_best else "last", groups[key]

    def require_checkpoint(self, which: str | int = "last") -> None:
        """Raise what :meth:`checkpoint` raises where there is none such; no weights are read, so damage is not seen."""
        self.chosen_weights(which)

    def _chosen_checkpoint(self, groups: dict[str, h5py.Group], which: str | int) -> str:
        """The name of the group of a checkpoint. UserError when there is none such, naming those that there are."""
        if not groups:
            raise UserError(f"run '{self.run_id}' has no checkpoint; let it run further first")
        if isinstance(which, int):
            steps = {int(key): key for key in groups}
            if which not in steps:
                raise UserError(
                    f"run '{self.run_id}' holds no checkpoint of step {which}, only of {_listed(sorted(steps))}; choose one "
                    "of these, or let runs to come keep more with 'difrob runs keep --last 20'"
                )
            return steps[which]
        best = [key for key, group in groups.items() if group.attrs["best"]]
        return best[0] if which == "best" and best else max(groups)

    def checkpoint_state(self) -> dict[str, Any]:
        """The JSON state of the last checkpoint, without its weights being read; empty where there is none.

        Raises:
            UserError: when the file cannot be read.
        """
        if file_stamp(self.h5_path) is None:
            return {}
        with open_run_file(self.h5_path) as file:
            groups = file_contents.groups_in(file, "checkpoints")
            return file_contents.read_state(groups[max(groups)]) if groups else {}

    def newest_whole_checkpoint(self) -> tuple[Checkpoint | None, list[int]]:
        """The newest checkpoint that is not damaged, and the steps of newer ones that are."""
        damaged: list[int] = []
        if file_stamp(self.h5_path) is None:
            return None, damaged
        with open_run_file(self.h5_path) as file:
            for key, group in reversed(file_contents.groups_in(file, "checkpoints").items()):
                checkpoint = file_contents.read_checkpoint(group)
                if checkpoint is not None:
                    return checkpoint, damaged
                damaged.append(int(key))
        return None, damaged

    def content_digest(self) -> str:
        """What names the state of this run as a parent: digests of its checkpoints and the count of its samples."""
        if file_stamp(self.h5_path) is None:
            return ""
        with open_run_file(self.h5_path) as file:
            groups = file_contents.groups_in(file, "checkpoints").values()
            digests = [str(group.attrs["digest"]) for group in groups]
            columns = [f"{name}:{column.shape}" for name, column in file_contents.sample_columns(file).items()]
        return file_contents.digest(json.dumps([self.run_id, digests, columns]).encode())

    def parents(self) -> dict[str, Any]:
        """What is noted of the runs that this one has read, by id: their digests, and in which state they were read."""
        with self.look() as look:
            folded = {} if look.file is None else dict(json.loads(look.file.attrs["parents"]))
            return folded | look.contents.parents

    def rows_digest(self, rows: int | None = None) -> tuple[int, str]:
        """How many rows of per-sample results there are, at most ``rows``, and a digest of them.

        It covers names, types and shapes of the columns, and :data:`DIGESTED_ROWS` rows spread evenly over all: a set of a
        million images is known without being read. Rows are only ever added, so that the first ones stay what they were.
        """
        with self.look() as look:
            folded = {} if look.file is None else file_contents.sample_columns(look.file)
            parts: dict[str, list[Any]] = {name: [column] for name, column in folded.items()}
            for batch in look.contents.samples:
                for name, values in batch.items():
                    parts.setdefault(name, []).append(values)
            lengths = [sum(len(part) for part in columns) for columns in parts.values()]
            count = min([*lengths, *([] if rows is None else [rows])]) if lengths else 0
            places = np.unique(np.linspace(0, count - 1, min(count, DIGESTED_ROWS)).astype(np.int64))
            state = hashlib.sha256(str(count).encode())
            for name in sorted(parts):
                state.update(f"{name}:{parts[name][0].dtype.str}:{parts[name][0].shape[1:]}".encode())
                for values in _rows_at(parts[name], places):
                    state.update(np.ascontiguousarray(values).tobytes())
            return count, state.hexdigest()


def _rows_at(parts: list[Any], places: np.ndarray) -> Iterator[np.ndarray]:
    """The rows at ascending places of arrays (or data sets) that stand one behind the other."""
    first = 0
    for part in parts:
        here = places[(places >= first) & (places < first + len(part))] - first
        if len(here):
            yield part[here]
        first += len(part)


def _listed(steps: list[int]) -> str:
    """Steps in order; of many, those at both ends."""
    names = [str(step) for step in steps]
    return ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-5:]])


def summary_of(look: Look) -> RunSummary | None:
    """What a table shows of a run; None where there is none."""
    base = look.base
    if base is not None and look.header is not None:
        return live_summary(base, look.header, look.contents, alive=look.alive)
    return at_rest(base) if base is not None and not look.alive else base


def metrics_of(look: Look, names: set[str] | None = None) -> dict[str, Series]:
    """All metrics, or those named."""
    old = {} if look.file is None else file_contents.read_metrics(look.file, names, look.contents.rewind)
    joined = look.contents.series_after(old)
    return {name: series for name, series in joined.items() if names is None or name in names}


def curves_of(look: Look) -> dict[str, Curve]:
    """The latest curve of each name."""
    old = [] if look.file is None else file_contents.read_curves(look.file, look.contents.rewind)
    return {curve.name: curve for curve in [*old, *look.contents.curves]}


def pictures_of(look: Look) -> list[Pictures]:
    """The newest batches of pictures; of two with the same name and step the later one."""
    old = [] if look.file is None else file_contents.read_pictures(look.file, until=look.contents.rewind)
    return list({(batch.name, batch.step): batch for batch in [*old, *look.contents.pictures]}.values())


def log_of(look: Look) -> list[LogLine]:
    """All log lines."""
    return ([] if look.file is None else file_contents.read_log(look.file)) + look.contents.log


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from another (size, time of change, inode); None for a missing file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def summary_from_header(header: dict[str, Any], run_id: str) -> RunSummary:
    """What a journal's header says of a run that has no file yet. Raises UserError when it does not say it."""
    try:
        return summary_from_json(header["summary"], run_id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the journal's header is malformed ({error!r})") from None


def at_rest(summary: RunSummary) -> RunSummary:
    """The summary of a run that has no journal, so nobody writes it, whatever its file says."""
    if not summary.state.is_live:
        return summary
    return replace(summary, state=RunState.INTERRUPTED, reason=LOST, cause=Cause.LOST.value)


def has_ended(folded: RunSummary, header: dict[str, Any]) -> bool:
    """Whether the file knows the end of the very session that the journal belongs to.

    Then the journal is an empty shell: its writer died between the last fold and removing it.
    """
    return folded.state.is_end and folded.started == header.get("started")


def live_summary(base: RunSummary, header: dict[str, Any], contents: Contents, *, alive: bool) -> RunSummary:
    """The summary of a run that has a journal: the file's or header's, brought up to date.

    ``alive`` tells whether its writer holds the lock; a dead one means that the run was interrupted.
    """
    if has_ended(base, header):
        return base
    is_of_this_session = base.started == header.get("started")
    summary = replace(
        base,
        progress=contents.progress or base.progress,
        results=base.results | contents.results,
        state=contents.state or (base.state if is_of_this_session else RunState.RUNNING),
        started=header.get("started", base.started),
        ended=None,
        reason="",
        cause="",
    )
    if contents.ended is not None:
        ended = contents.ended
        return replace(summary, state=ended.state, reason=ended.reason, cause=ended.cause, ended=ended.time)
    if not alive:
        return replace(summary, state=RunState.INTERRUPTED, reason=LOST, cause=Cause.LOST.value)
    return summary
