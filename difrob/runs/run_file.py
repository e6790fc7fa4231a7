"""The HDF5 file of a run: written whole, by temporary file and rename, never changed in place.

A fold takes the file as it is (if there is one), adds what the journal says, and replaces it. Because no file is ever
opened for writing again, metric columns need no chunks, and a viewer never meets a file being written.

Groups carry ``NX_class``, ``signal`` and ``axes`` attributes, so general viewers plot them unaided.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.runs.contents import Contents
from difrob.runs.interface import Checkpoint, Measure
from difrob.runs.records import Curve, LogLine, Pictures, Progress, RunSummary, Series
from difrob.runs.states import RunState

SCHEMA_VERSION = 1
KEPT_CHECKPOINTS = 2
_SAMPLE_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint on its way into the file."""

    checkpoint: Checkpoint
    best: bool


def fold(
    path: Path, summary: RunSummary, contents: Contents, new_checkpoints: list[NewCheckpoint], facts: dict[str, Any]
) -> None:
    """Write the run's file anew: what it holds already, plus ``contents``, plus checkpoints. Durable on return.

    Args:
        path: the run's ``.h5``; need not exist yet.
        summary: what the file's attributes shall say.
        contents: journal contents not yet in the file.
        new_checkpoints: checkpoints to add; of all, the last two and the best are kept.
        facts: root attributes beyond the summary (versions, platform, ...), plain JSON data.

    Raises:
        OSError: when the disk is full or the folder is read-only; the old file is then untouched.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".partial", dir=path.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        with h5py.File(partial, "w") as target:
            if path.exists():
                with h5py.File(path, "r", locking=False) as source:
                    _write(target, source, summary, contents, new_checkpoints, facts)
            else:
                _write(target, None, summary, contents, new_checkpoints, facts)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable (a no-op where folders cannot be opened)."""
    with suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(
    target: h5py.File,
    source: h5py.File | None,
    summary: RunSummary,
    contents: Contents,
    new_checkpoints: list[NewCheckpoint],
    facts: dict[str, Any],
) -> None:
    rewind = contents.rewind
    _write_metrics(target, source, contents)
    for name in ("curves", "images"):
        group = target.create_group(name)
        if source is not None and name in source:
            for entry in source[name]:
                for step in source[name][entry]:
                    if rewind is None or int(step) <= rewind:
                        source.copy(source[name][entry][step], group.require_group(entry), step)
    for curve in contents.curves:
        _write_curve(target["curves"].require_group(curve.name.replace("/", ".")), curve)
    for pictures in contents.pictures:
        _write_pictures(target["images"].require_group(pictures.name.replace("/", ".")), pictures)
    _write_samples(target, source, contents)
    _write_log(target, source, contents.log)
    _write_checkpoints(target, source, new_checkpoints)
    _write_summary(target, summary, contents, facts, source)


def _write_metrics(target: h5py.File, source: h5py.File | None, contents: Contents) -> None:
    old = {} if source is None else read_metrics(source)
    if contents.rewind is not None:
        old = {name: until_step(series, contents.rewind) for name, series in old.items()}
    new = contents.series()
    root = target.create_group("metrics")
    for name in sorted(old.keys() | new.keys()):
        parts = [series[name] for series in (old, new) if name in series]
        series = parts[0].joined(parts[1]) if len(parts) == 2 else parts[0]
        group = root.create_group(name.replace("/", "."))
        group.attrs.update({"name": name, "NX_class": "NXdata", "signal": "value", "axes": ["step"]})
        columns = ["step", "time", "value"] + (["low", "high"] if series.has_interval else [])
        for column in columns:
            group[column] = getattr(series, column)


def until_step(series: Series, step: int) -> Series:
    """The points of a series up to and including ``step``."""
    keep = series.step <= step
    return Series(*(getattr(series, column)[keep] for column in ("step", "time", "value", "low", "high")))


def _write_curve(group: h5py.Group, curve: Curve) -> None:
    group.attrs["name"] = curve.name
    key = f"{curve.step:012d}"
    if key in group:
        del group[key]
    data = group.create_group(key)
    data.attrs.update(
        {
            "NX_class": "NXdata", "signal": "y", "axes": ["x"], "step": curve.step,
            "x_label": curve.x_label, "y_label": curve.y_label, "interval": curve.interval,
        }
    )  # fmt: skip
    for column in ("x", "y", "low", "high"):
        values = getattr(curve, column)
        if values is not None:
            data[column] = np.asarray(values, dtype=np.float64)
    data["x"].attrs["long_name"] = curve.x_label
    data["y"].attrs["long_name"] = curve.y_label


def _write_pictures(group: h5py.Group, pictures: Pictures) -> None:
    group.attrs["name"] = pictures.name
    key = f"{pictures.step:012d}"
    if key in group:
        del group[key]
    data = group.create_dataset(key, data=pictures.images)
    data.attrs.update({"step": pictures.step, "captions": json.dumps(pictures.captions), "layout": "NHWC"})


def _write_samples(target: h5py.File, source: h5py.File | None, contents: Contents) -> None:
    if source is not None and "samples" in source:
        source.copy(source["samples"], target, "samples")
    group = target.require_group("samples")
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
    text = h5py.string_dtype()
    group.create_dataset("level", data=[line.level for line in lines], dtype=text)
    group.create_dataset("text", data=[line.text for line in lines], dtype=text)


def _write_checkpoints(target: h5py.File, source: h5py.File | None, new: list[NewCheckpoint]) -> None:
    group = target.create_group("checkpoints")
    new_keys = {f"{item.checkpoint.step:012d}": item for item in new}
    old_keys: dict[str, bool] = {}
    if source is not None and "checkpoints" in source:
        old_keys = {key: bool(item.attrs["best"]) for key, item in source["checkpoints"].items() if key not in new_keys}
    best = max(
        (key for key, item in new_keys.items() if item.best),
        default=max((key for key, is_best in old_keys.items() if is_best), default=None),
    )
    kept = set(sorted(old_keys.keys() | new_keys.keys())[-KEPT_CHECKPOINTS:]) | ({best} if best else set())
    for key in sorted(kept):
        if key in new_keys:
            checkpoint = new_keys[key].checkpoint
            item = group.create_group(key)
            item["weights"] = np.frombuffer(checkpoint.weights, dtype=np.uint8)
            item["state"] = json.dumps(checkpoint.state)
            item.attrs.update({"step": checkpoint.step, "digest": digest(checkpoint.weights), "format": "safetensors"})
        else:
            assert source is not None
            source.copy(source["checkpoints"][key], group, key)
        group[key].attrs["best"] = key == best


def _write_summary(
    target: h5py.File, summary: RunSummary, contents: Contents, facts: dict[str, Any], source: h5py.File | None
) -> None:
    old_facts = json.loads(source.attrs["facts"]) if source is not None else {}
    old_attributes = read_attributes(source) if source is not None else {}
    old_parents = json.loads(source.attrs["parents"]) if source is not None else {}
    target["spec"] = json.dumps(summary.spec, indent=1)
    target["attributes"] = json.dumps({**old_attributes, **contents.attributes}, indent=1)
    results = target.create_group("summary")
    for name, measure in summary.results.items():
        results.create_group(name.replace("/", ".")).attrs.update(
            {key: value for key, value in asdict(measure).items() if value is not None}
        )
    target.attrs.update(
        {
            "schema_version": SCHEMA_VERSION,
            "folded_sequence": contents.sequence,
            "run_id": summary.run_id, "kind": summary.kind, "name": summary.name,
            "status": summary.state.value, "reason": summary.reason,
            "created": _iso(summary.created), "started": _iso(summary.started), "ended": _iso(summary.ended),
            "host": summary.host, "device": summary.device, "seed": int(summary.spec.get("seed", 0)),
            "facts": json.dumps({**old_facts, **facts}),
            "parents": json.dumps({**old_parents, **contents.parents}),
            "summary": json.dumps(summary_to_json(replace(summary, has_checkpoint=len(target["checkpoints"]) > 0))),
        }
    )  # fmt: skip


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def platform_facts() -> dict[str, Any]:
    """Versions and platform, recorded in every run."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("difrob", "torch", "numpy", "h5py", "diffusers"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"versions": versions, "python": platform.python_version(), "platform": platform.platform()}


def read_metrics(file: h5py.File, names: set[str] | None = None) -> dict[str, Series]:
    """All metrics of an open run file (or the named ones)."""
    result = {}
    for group in file["metrics"].values():
        name = str(group.attrs["name"])
        if names is not None and name not in names:
            continue
        value = group["value"][...]
        gaps = np.full(len(value), np.nan)
        low, high = (group[column][...] if column in group else gaps for column in ("low", "high"))
        result[name] = Series(group["step"][...], group["time"][...], value, low, high)
    return result


def read_curves(file: h5py.File) -> list[Curve]:
    """The latest curve of each name."""
    curves = []
    for group in file["curves"].values():
        data = group[max(group)]
        low, high = (data[column][...] if column in data else None for column in ("low", "high"))
        labels = {name: str(data.attrs[name]) for name in ("x_label", "y_label", "interval")}
        curves.append(
            Curve(
                str(group.attrs["name"]), int(data.attrs["step"]), data["x"][...], data["y"][...], low, high, **labels
            )
        )
    return curves


def read_pictures(file: h5py.File, newest: int = 64) -> list[Pictures]:
    """The newest batches of pictures of each name, oldest first."""
    batches = []
    for group in file["images"].values():
        for key in sorted(group)[-newest:]:
            data = group[key]
            batches.append(
                Pictures(
                    str(group.attrs["name"]), int(data.attrs["step"]), data[...], json.loads(data.attrs["captions"])
                )
            )
    return batches


def read_attributes(file: h5py.File) -> dict[str, Any]:
    """Facts that the job stated; a data set, because an HDF5 attribute holds at most 64 KiB."""
    return dict(json.loads(file["attributes"].asstr()[()]))


def read_log(file: h5py.File) -> list[LogLine]:
    """All log lines."""
    group = file["log"]
    texts = (group["level"].asstr()[...], group["text"].asstr()[...])
    return [LogLine(float(t), str(level), str(text)) for t, level, text in zip(group["time"][...], *texts, strict=True)]


def summary_to_json(summary: RunSummary) -> dict[str, Any]:
    """A summary as plain JSON data; size and damage are facts about the file, not in it."""
    values = asdict(summary)
    values["state"] = summary.state.value
    del values["size"], values["damaged"]
    return values


def summary_from_json(values: dict[str, Any], *, size: int = 0) -> RunSummary:
    """The inverse of :func:`summary_to_json`. Raises KeyError, TypeError or ValueError for foreign data."""
    fields = {key: value for key, value in values.items() if key in RunSummary.__dataclass_fields__}
    fields["state"] = RunState(fields["state"])
    fields["progress"] = Progress(**fields.get("progress", {}))
    fields["results"] = {name: Measure(**measure) for name, measure in fields.get("results", {}).items()}
    return RunSummary(**{**fields, "size": size})
