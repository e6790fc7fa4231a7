"""The HDF5 file of a run: written whole, by temporary file and rename, never changed in place.

A fold takes the file as it is (if there is one), adds what the journal says, and replaces it. Because no file is ever
opened for writing again, metric columns need no chunks, and a viewer never meets a file being written.

Groups carry ``NX_class``, ``signal`` and ``axes`` attributes, so general viewers plot them unaided.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py

from difrob.runs.contents import Contents
from difrob.runs.file_contents import Damaged, damage, system_error
from difrob.runs.file_writer import FileWriter, NewCheckpoint
from difrob.runs.interface import Measure
from difrob.runs.records import Progress, RunSummary
from difrob.runs.states import RunState
from difrob.runs.unfailing_file import UnfailingFile


def fold(
    path: Path, summary: RunSummary, contents: Contents, new_checkpoints: list[NewCheckpoint], facts: dict[str, Any]
) -> RunSummary:
    """Write the run's file anew: what it holds already, plus ``contents``, plus checkpoints. Durable on return.

    Args:
        path: the run's ``.h5``; need not exist yet.
        summary: what the file's attributes shall say.
        contents: journal contents not yet in the file.
        new_checkpoints: checkpoints to add; of all, the last two and the best are kept.
        facts: root attributes beyond the summary (versions, platform, ...), plain JSON data.

    Returns:
        The summary as the file now says it.

    Raises:
        OSError: when the disk is full or the folder is read-only.
        Damaged: when the old file is damaged. In either case it is untouched.
    """
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial")
    try:
        with UnfailingFile(partial) as disk:
            with h5py.File(disk, "w") as target, ExitStack() as stack:
                is_new = not path.exists()
                source = None if is_new else stack.enter_context(h5py.File(path, "r", locking=False))
                summary = FileWriter(target, source, contents, disk.check).write(summary, new_checkpoints, facts)
                target.attrs["summary"] = json.dumps(summary_to_json(summary))
            disk.make_durable()
        _replace(partial, path)
        sync_folder(path.parent)
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


def summary_to_json(summary: RunSummary) -> dict[str, Any]:
    """A summary as plain JSON data; size and damage are facts about the file, not in it."""
    values = asdict(summary)
    values["state"] = summary.state.value
    del values["size"], values["damaged"]
    return values


def summary_from_json(values: dict[str, Any], run_id: str, size: int = 0) -> RunSummary:
    """The inverse of :func:`summary_to_json`. Raises KeyError, TypeError or ValueError for foreign data.

    Args:
        run_id: as the file's name has it, which counts where a file was copied or renamed.
    """
    fields = {key: value for key, value in values.items() if key in RunSummary.__dataclass_fields__}
    fields["state"] = RunState(fields["state"])
    fields["progress"] = _progress(**fields.get("progress", {}))
    fields["results"] = {str(name): _measure(**measure) for name, measure in fields.get("results", {}).items()}
    for name in ("spec", "parents"):
        fields[name] = dict(fields.get(name, {}))
    fields["kind"], fields["name"] = str(fields["kind"]), str(fields["name"])
    for name in ("reason", "cause", "host", "device"):
        fields[name] = str(fields.get(name, ""))
    for name in ("started", "ended"):
        fields[name] = _optional_number(fields.get(name))
    fields["created"] = float(fields.get("created", 0.0))
    fields["has_checkpoint"] = bool(fields.get("has_checkpoint", False))
    return RunSummary(**{**fields, "run_id": run_id, "size": size, "damaged": False})


def _progress(done: Any = 0, total: Any = 0, unit: Any = "steps", seconds_left: Any = None, **newer: Any) -> Progress:
    return Progress(int(done), int(total), str(unit), _optional_number(seconds_left))


def _measure(
    value: Any, low: Any = None, high: Any = None, n: Any = None, interval: Any = "", unit: Any = "",
    description: Any = "", **newer: Any,
) -> Measure:  # fmt: skip
    size = None if n is None else int(n)
    ends = _optional_number(low), _optional_number(high)
    return Measure(float(value), *ends, size, str(interval), str(unit), str(description))


def _optional_number(value: Any) -> float | None:
    return None if value is None else float(value)
