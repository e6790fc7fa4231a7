"""Reading one run, whatever its state: the folded file first, then what its journal adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.errors import UserError
from difrob.runs import run_file
from difrob.runs.contents import Contents
from difrob.runs.interface import Checkpoint
from difrob.runs.journal import scan_journal
from difrob.runs.locks import is_locked
from difrob.runs.records import Curve, LogLine, Pictures, RunSummary, Series
from difrob.runs.states import RunState

LOST = "the process ended without a word (killed, crashed, or the machine was restarted)"


@contextmanager
def open_run_file(path: Path) -> Iterator[h5py.File]:
    """Open a run file for reading, without locking it.

    Raises:
        UserError: when the file is damaged, is not a run file, or was written by a newer difrob.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise UserError(f"there is no run file '{path}'") from None
    except OSError as error:
        raise UserError(f"run file '{path}' is damaged and cannot be opened ({_first_line(error)})") from None
    with file:
        version = file.attrs.get("schema_version")
        if version is None:
            raise UserError(f"'{path}' is an HDF5 file, but not a difrob run")
        if int(version) > run_file.SCHEMA_VERSION:
            raise UserError(
                f"'{path.name}' has schema version {int(version)}; this difrob reads up to "
                f"{run_file.SCHEMA_VERSION}: install a newer difrob"
            )
        try:
            yield file
        except (KeyError, OSError, ValueError) as error:
            raise UserError(f"run file '{path}' is damaged ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class RunReader:
    """One run of a workspace. Opens its files for an instant at each question and keeps nothing open."""

    def __init__(self, run_id: str, h5_path: Path, journal_path: Path) -> None:
        self.run_id = run_id
        self.h5_path = h5_path
        self.journal_path = journal_path

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as plain data."""
        return self.summary().spec

    def summary(self) -> RunSummary:
        """What a table shows of this run; damage is reported in ``reason``, not raised."""
        summary, header, contents = self.folded_summary(), self._header(), self.journal_contents()
        if header is None:
            if summary is None:
                raise UserError(f"there is no run '{self.run_id}' in '{self.h5_path.parent}'")
            return summary
        base = summary_from_header(header) if summary is None or summary.damaged else summary
        return live_summary(base, header, contents, alive=is_locked(self.journal_path))

    def folded_summary(self) -> RunSummary | None:
        """The summary in the file, None without a file; a damaged file gives a summary that says so."""
        if not self.h5_path.exists():
            return None
        try:
            with open_run_file(self.h5_path) as file:
                values = json.loads(file.attrs["summary"])
            return run_file.summary_from_json(values, size=self.h5_path.stat().st_size)
        except (UserError, ValueError, TypeError, KeyError) as error:
            return RunSummary(
                self.run_id, "", self.run_id, RunState.FAILED, reason=str(error), damaged=True,
                size=self.h5_path.stat().st_size,
            )  # fmt: skip

    def folded_sequence(self) -> int:
        """The highest journal frame that the file holds; 0 without a readable file."""
        if not self.h5_path.exists():
            return 0
        try:
            with open_run_file(self.h5_path) as file:
                return int(file.attrs["folded_sequence"])
        except UserError:
            return 0

    def journal_contents(self) -> Contents:
        """What the journal says beyond the file; empty without a journal."""
        try:
            scan = scan_journal(self.journal_path)
        except (FileNotFoundError, UserError):
            return Contents()
        return Contents(sequence=self.folded_sequence()).add(scan.frames)

    def _header(self) -> dict[str, Any] | None:
        try:
            scan = scan_journal(self.journal_path)
        except (FileNotFoundError, UserError):
            return None
        return scan.frames[0].records[0] if scan.frames else None

    def metrics(self, *names: str) -> dict[str, Series]:
        """All metrics, or those named, file and journal joined."""
        contents = self.journal_contents()
        new = {name: series for name, series in contents.series().items() if not names or name in names}
        old: dict[str, Series] = {}
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                old = run_file.read_metrics(file, set(names) or None)
        if contents.rewind is not None:
            old = {name: run_file.until_step(series, contents.rewind) for name, series in old.items()}
        return {
            name: old[name].joined(new[name]) if name in old and name in new else old.get(name) or new[name]
            for name in sorted(old.keys() | new.keys())
        }

    def curves(self) -> dict[str, Curve]:
        """The latest curve of each name."""
        contents = self.journal_contents()
        curves = {}
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                curves = {curve.name: curve for curve in run_file.read_curves(file)}
        return curves | {curve.name: curve for curve in contents.curves}

    def pictures(self) -> list[Pictures]:
        """The newest batches of pictures."""
        pictures = []
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                pictures = run_file.read_pictures(file)
        return pictures + self.journal_contents().pictures

    def log(self) -> list[LogLine]:
        """All log lines."""
        lines = []
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                lines = run_file.read_log(file)
        return lines + self.journal_contents().log

    def attributes(self) -> dict[str, Any]:
        """Facts that the job stated about the run."""
        attributes: dict[str, Any] = {}
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                attributes = run_file.read_attributes(file)
        return attributes | self.journal_contents().attributes

    def sample_count(self) -> int:
        """Rows of per-sample results recorded so far."""
        count = self.journal_contents().sample_count
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                count += max((len(column) for column in file["samples"].values()), default=0)
        return count

    def array(self, name: str) -> np.ndarray:
        """A per-sample column, e.g. ``samples/images``.

        Raises:
            UserError: when the run has no such column.
        """
        column = name.removeprefix("samples/")
        parts = []
        if self.h5_path.exists():
            with open_run_file(self.h5_path) as file:
                if column in file["samples"]:
                    parts.append(file["samples"][column][...])
        parts += [batch[column] for batch in self.journal_contents().samples if column in batch]
        if not parts:
            raise UserError(f"run '{self.run_id}' has no '{name}'; is it a finished run of the right kind?")
        return np.concatenate(parts)

    def checkpoint(self, which: str = "last") -> Checkpoint:
        """The last or the best checkpoint, its digest verified.

        Raises:
            UserError: when there is none, or it is damaged.
        """
        if not self.h5_path.exists():
            raise UserError(f"run '{self.run_id}' has no checkpoint yet; let it run further first")
        with open_run_file(self.h5_path) as file:
            group = file["checkpoints"]
            if not len(group):
                raise UserError(f"run '{self.run_id}' has no checkpoint; let it run further first")
            best = [key for key in group if group[key].attrs["best"]]
            item = group[best[0] if which == "best" and best else max(group)]
            weights = item["weights"][...].tobytes()
            if run_file.digest(weights) != item.attrs["digest"]:
                raise UserError(f"the checkpoint at step {item.attrs['step']} of run '{self.run_id}' is damaged")
            state = json.loads(item["state"].asstr()[()])
            return Checkpoint(int(item.attrs["step"]), weights, state)

    def content_digest(self) -> str:
        """What names the state of this run as a parent: digests of its checkpoints and the count of its samples."""
        if not self.h5_path.exists():
            return ""
        with open_run_file(self.h5_path) as file:
            digests = [str(item.attrs["digest"]) for item in file["checkpoints"].values()]
            columns = [f"{name}:{column.shape}" for name, column in file["samples"].items()]
        return run_file.digest(json.dumps([self.run_id, digests, columns]).encode())


def summary_from_header(header: dict[str, Any]) -> RunSummary:
    """What a journal's header says of a run that has no file yet."""
    return run_file.summary_from_json(header["summary"])


def live_summary(base: RunSummary, header: dict[str, Any], contents: Contents, *, alive: bool) -> RunSummary:
    """The summary of a run that has a journal: the file's or header's, brought up to date.

    ``alive`` tells whether its writer holds the lock; a dead one means that the run was interrupted.
    """
    summary = replace(
        base,
        progress=contents.progress or base.progress,
        results=base.results | contents.results,
        state=contents.state or RunState.RUNNING,
        started=header.get("started", base.started),
        ended=None,
        reason="",
    )
    if contents.ended is not None:
        ended = contents.ended
        return replace(summary, state=RunState(ended["state"]), reason=ended["reason"], ended=ended["time"])
    if not alive:
        return replace(summary, state=RunState.INTERRUPTED, reason=LOST)
    return summary
