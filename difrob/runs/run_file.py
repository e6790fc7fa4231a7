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
from collections.abc import Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.runs.contents import Contents
from difrob.runs.file_contents import (
    SCHEMA_VERSION,
    Damaged,
    damage,
    digest,
    groups_in,
    numbers,
    read_attributes,
    read_log,
    read_metrics,
    sample_columns,
    steps_until,
    system_error,
)
from difrob.runs.interface import Checkpoint, Measure
from difrob.runs.records import Curve, LogLine, Pictures, Progress, RunSummary
from difrob.runs.states import RunState

KEPT_CHECKPOINTS = 2
_SAMPLE_CHUNK_BYTES = 1 << 20
_ROOT_FACTS = ("difrob_version", "torch_version", "python", "platform", "git_commit")


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint on its way into the file."""

    checkpoint: Checkpoint
    best: bool


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
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with h5py.File(partial, "w", locking=False) as target:
            if path.exists():
                with h5py.File(path, "r", locking=False) as source:
                    summary = _write(target, source, summary, contents, new_checkpoints, facts)
            else:
                summary = _write(target, None, summary, contents, new_checkpoints, facts)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
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


def plain_text(text: str) -> str:
    """A text that HDF5 can hold and every terminal can print: no NUL, no half characters."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _set_attributes(item: h5py.Group | h5py.Dataset, values: dict[str, Any]) -> None:
    item.attrs.update({key: plain_text(value) if isinstance(value, str) else value for key, value in values.items()})


def _named_group(parent: h5py.Group, name: str) -> h5py.Group:
    """The group of a thing called ``name``, made if missing. A ``/`` becomes a dot; the attribute has the name itself."""
    base = plain_text(name).replace("/", ".")
    base = base if base.strip(".") else f"_{base}"
    key, number = base, 1
    while key in parent:
        if parent[key].attrs["name"] == name:
            return parent[key]
        number += 1
        key = f"{base}~{number}"
    group = parent.create_group(key)
    _set_attributes(group, {"name": name})
    return group


def _write(
    target: h5py.File,
    source: h5py.File | None,
    summary: RunSummary,
    contents: Contents,
    new_checkpoints: list[NewCheckpoint],
    facts: dict[str, Any],
) -> RunSummary:
    _write_metrics(target, source, contents)
    curves = {(curve.name, _step_key(curve.step)): curve for curve in contents.curves}
    pictures = {(batch.name, _step_key(batch.step)): batch for batch in contents.pictures}
    _copy_steps(target.create_group("curves"), source, contents.rewind, curves.keys())
    _copy_steps(target.create_group("images"), source, contents.rewind, pictures.keys())
    for (name, key), curve in curves.items():
        _write_curve(_named_group(target["curves"], name), key, curve)
    for (name, key), batch in pictures.items():
        _write_pictures(_named_group(target["images"], name), key, batch)
    _write_samples(target, source, contents)
    _write_log(target, source, contents.log)
    _write_checkpoints(target, source, new_checkpoints, contents.rewind)
    summary = replace(summary, has_checkpoint=len(target["checkpoints"]) > 0)
    _write_summary(target, summary, contents, facts, source)
    return summary


def _write_metrics(target: h5py.File, source: h5py.File | None, contents: Contents) -> None:
    old = {} if source is None else read_metrics(source, until=contents.rewind)
    new = contents.series()
    root = target.create_group("metrics")
    for name in sorted(old.keys() | new.keys()):
        parts = [series[name] for series in (old, new) if name in series]
        series = parts[0].joined(parts[1]) if len(parts) == 2 else parts[0]
        group = _named_group(root, name)
        group.attrs.update({"NX_class": "NXdata", "signal": "value", "axes": ["step"]})
        columns = ["step", "time", "value"] + (["low", "high"] if series.has_interval else [])
        for column in columns:
            group[column] = getattr(series, column)


def _copy_steps(
    target: h5py.Group, source: h5py.File | None, rewind: int | None, replaced: Set[tuple[str, str]]
) -> None:
    if source is None:
        return
    for old in groups_in(source, target.name.strip("/")).values():
        name = str(old.attrs["name"])
        for key in steps_until(old, rewind):
            if (name, key) not in replaced:
                source.copy(old[key], _named_group(target, name), key)


def _write_curve(group: h5py.Group, key: str, curve: Curve) -> None:
    data = group.create_group(key)
    _set_attributes(
        data,
        {
            "NX_class": "NXdata", "signal": "y", "axes": ["x"], "step": curve.step,
            "x_label": curve.x_label, "y_label": curve.y_label, "interval": curve.interval,
        },
    )  # fmt: skip
    for column in ("x", "y", "low", "high"):
        values = getattr(curve, column)
        if values is not None:
            data[column] = np.asarray(values, dtype=np.float64)
    _set_attributes(data["x"], {"long_name": curve.x_label})
    _set_attributes(data["y"], {"long_name": curve.y_label})


def _write_pictures(group: h5py.Group, key: str, pictures: Pictures) -> None:
    data = group.create_dataset(key, data=pictures.images)
    data.attrs.update({"step": pictures.step, "captions": json.dumps(pictures.captions), "layout": "NHWC"})


def _write_samples(target: h5py.File, source: h5py.File | None, contents: Contents) -> None:
    group = target.create_group("samples")
    if source is not None:
        for name, column in sample_columns(source).items():
            source.copy(column, group, name)
    if not contents.samples:
        return
    for name in contents.samples[0]:
        rows = np.concatenate([batch[name] for batch in contents.samples])
        if name in group:
            dataset = group[name]
            start = len(dataset)
            dataset.resize(start + len(rows), axis=0)
            dataset[start:] = rows
        else:
            row_bytes = max(1, rows[:1].nbytes)
            chunk = max(1, min(_SAMPLE_CHUNK_BYTES // row_bytes, 1 << 16, max(256, len(rows))))
            group.create_dataset(name, data=rows, chunks=(chunk, *rows.shape[1:]), maxshape=(None, *rows.shape[1:]))


def _write_log(target: h5py.File, source: h5py.File | None, new: list[LogLine]) -> None:
    lines = ([] if source is None else read_log(source)) + new
    group = target.create_group("log")
    group["time"] = np.array([line.time for line in lines], dtype=np.float64)
    kind = h5py.string_dtype()
    group.create_dataset("level", data=[plain_text(line.level) for line in lines], dtype=kind)
    group.create_dataset("text", data=[plain_text(line.text) for line in lines], dtype=kind)


def _write_checkpoints(
    target: h5py.File, source: h5py.File | None, new: list[NewCheckpoint], rewind: int | None
) -> None:
    group = target.create_group("checkpoints")
    new_items = {_step_key(item.checkpoint.step): item for item in new}
    old_items = {} if source is None else groups_in(source, "checkpoints")
    old_items = {key: item for key, item in old_items.items() if rewind is None or int(key) <= rewind}
    best = max(
        (key for key, item in new_items.items() if item.best),
        default=max((key for key, item in old_items.items() if item.attrs["best"]), default=None),
    )
    kept = set(sorted(old_items.keys() | new_items.keys())[-KEPT_CHECKPOINTS:]) | ({best} if best else set())
    for key in sorted(kept):
        if key in new_items:
            checkpoint = new_items[key].checkpoint
            item = group.create_group(key)
            item["weights"] = np.frombuffer(checkpoint.weights, dtype=np.uint8)
            item["state"] = json.dumps(checkpoint.state)
            item.attrs.update({"step": checkpoint.step, "digest": digest(checkpoint.weights), "format": "safetensors"})
        else:
            numbers(old_items[key], "weights")
            assert source is not None
            source.copy(old_items[key], group, key)
        group[key].attrs["best"] = key == best


def _write_summary(
    target: h5py.File, summary: RunSummary, contents: Contents, facts: dict[str, Any], source: h5py.File | None
) -> None:
    old_facts = json.loads(source.attrs["facts"]) if source is not None else {}
    old_attributes = read_attributes(source) if source is not None else {}
    old_parents = json.loads(source.attrs["parents"]) if source is not None else {}
    facts = {**old_facts, **facts}
    target["spec"] = json.dumps(summary.spec, indent=1)
    target["attributes"] = json.dumps({**old_attributes, **contents.attributes}, indent=1)
    results = target.create_group("summary")
    for name, measure in summary.results.items():
        values = {key: value for key, value in asdict(measure).items() if value is not None}
        _set_attributes(_named_group(results, name), values)
    _set_attributes(
        target,
        {
            "schema_version": SCHEMA_VERSION,
            "folded_sequence": contents.sequence,
            "run_id": summary.run_id, "kind": summary.kind, "name": summary.name,
            "status": summary.state.value, "reason": summary.reason,
            "created": _iso(summary.created), "started": _iso(summary.started), "ended": _iso(summary.ended),
            "host": summary.host, "device": summary.device, "seed": int(summary.spec.get("seed", 0)),
            **{name: str(facts[name]) for name in _ROOT_FACTS if name in facts},
            "facts": json.dumps(facts),
            "parents": json.dumps({**old_parents, **contents.parents}),
            "summary": json.dumps(summary_to_json(summary)),
        },
    )  # fmt: skip


def _step_key(step: int) -> str:
    return f"{step:012d}"  # so that the order of keys is the order of steps


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


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
    for name in ("reason", "host", "device"):
        fields[name] = str(fields.get(name, ""))
    for name in ("started", "ended"):
        fields[name] = _optional_number(fields.get(name))
    fields["created"] = float(fields.get("created", 0.0))
    fields["has_checkpoint"] = bool(fields.get("has_checkpoint", False))
    return RunSummary(**{**fields, "run_id": run_id, "size": size, "damaged": False})


def _progress(
    done: Any = 0, total: Any = 0, unit: Any = "steps", seconds_left: Any = None, **newer: Any
) -> Progress:
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
