"""The parts of a run file, written one after the other: what the old file holds, and what a journal adds to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np

from difrob.runs.file_contents import (
    digest,
    group_in,
    groups_in,
    numbers,
    read_attributes,
    read_log,
    read_metrics,
    sample_columns,
    steps_until,
    text,
)
from difrob.runs.interface import Checkpoint
from difrob.runs.journal_contents import Contents
from difrob.runs.records import SERIES_WORDS, Curve, Pictures, RunSummary
from difrob.runs.retention import Retention
from difrob.runs.schema import SCHEMA_VERSION
from difrob.runs.summary_json import summary_to_json

_SECTIONS = ("summary", "metrics", "curves", "images", "samples", "log", "checkpoints")
_COPY_BYTES = 8 << 20
_ROOT_FACTS = ("difrob_version", "torch_version", "python", "platform", "git_commit")


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint on its way into the file."""

    checkpoint: Checkpoint
    best: bool


class FileWriter:
    """Writes a new run file.

    Args:
        target: the new file, empty.
        source: the old file, None where there is none.
        contents: what the journal says beyond the old file.
        check: called between the parts; it may raise to end the work early.
        retention: which checkpoints stay; None for all.
    """

    def __init__(
        self,
        target: h5py.File,
        source: h5py.File | None,
        contents: Contents,
        check: Callable[[], None],
        retention: Retention | None = None,
    ) -> None:
        self._target = target
        self._source = source
        self._contents = contents
        self._check = check
        self._retention = retention

    def write(self, summary: RunSummary, new_checkpoints: list[NewCheckpoint], facts: dict[str, Any]) -> RunSummary:
        """Write everything, and return the summary as the file now says it.

        What the file is comes first, so that one whose end is cut off still tells it.
        """
        checkpoints = self._kept_checkpoints(new_checkpoints)
        summary = replace(summary, has_checkpoint=bool(checkpoints))
        for section in _SECTIONS:
            self._target.create_group(section)
        self._write_texts(summary, facts)
        self._target.attrs["summary"] = json.dumps(summary_to_json(summary))
        self._write_results(summary)
        self._write_metrics()
        self._write_curves()
        self._write_pictures()
        self._write_samples()
        self._write_log()
        self._write_checkpoints(checkpoints)
        return summary

    def _write_metrics(self) -> None:
        old = {} if self._source is None else read_metrics(self._source, until=self._contents.rewind)
        root = self._target["metrics"]
        for name, series in self._contents.series_after(old).items():
            group = _named_group(root, name)
            group.attrs.update({"NX_class": "NXdata", "signal": "value", "axes": ["step"]})
            # What nobody said is left out: each attribute takes HDF5 longer than a thousand rows.
            said = {word: getattr(series, word) for word in SERIES_WORDS if word == "interval" or getattr(series, word)}
            _set_attributes(group, said)
            for column in ["step", "time", "value"] + (["low", "high"] if series.has_interval else []):
                group[column] = getattr(series, column)
            _set_attributes(group["value"], {"units": series.unit} if series.unit else {})
            self._check()

    def _write_curves(self) -> None:
        new = {(curve.name, _step_key(curve.step)): curve for curve in self._contents.curves}
        target = self._copy_steps("curves", group_in, new.keys())
        for (name, key), curve in new.items():
            _write_curve(_named_group(target, name).create_group(key), curve)
            self._check()

    def _write_pictures(self) -> None:
        new = {(batch.name, _step_key(batch.step)): batch for batch in self._contents.pictures}
        target = self._copy_steps("images", numbers, new.keys())
        for (name, key), batch in new.items():
            _write_batch(_named_group(target, name), key, batch)
            self._check()

    def _copy_steps(
        self, name: str, item: Callable[[h5py.Group, str], h5py.HLObject], replaced: Set[tuple[str, str]]
    ) -> h5py.Group:
        """Copy what stands in the old file by name and step, but for what is gone back behind or replaced.

        Of two things with the same name and step, as only another program writes them, the first one stays.
        """
        target = self._target[name]
        if self._source is not None:
            for old in groups_in(self._source, name).values():
                thing = str(old.attrs["name"])
                for key in steps_until(old, self._contents.rewind):
                    if (thing, key) not in replaced and key not in (group := _named_group(target, thing)):
                        self._source.copy(item(old, key), group, key)
                        self._check()
        return target

    def _write_samples(self) -> None:
        group = self._target["samples"]
        old = {} if self._source is None else sample_columns(self._source)
        new = self._contents.samples
        for name in sorted(old.keys() | (new[0].keys() if new else set())):
            parts: list[Any] = [old[name]] if name in old else []
            parts += [batch[name] for batch in new]
            self._write_column(group, name, parts)

    def _write_column(self, group: h5py.Group, name: str, parts: list[Any]) -> None:
        """Write arrays (or data sets) as one column, block by block."""
        rows, shape = sum(len(part) for part in parts), parts[0].shape[1:]
        row_bytes = max(1, int(np.prod(shape, dtype=np.int64)) * parts[0].dtype.itemsize)
        # Contiguous, since the file is never written again, so that readers can map a large column into memory.
        column = group.create_dataset(name, (rows, *shape), parts[0].dtype)
        block, done = max(1, _COPY_BYTES // row_bytes), 0
        for part in parts:
            for start in range(0, len(part), block):
                values = part[start : start + block]
                column[done : done + len(values)] = values
                done += len(values)
                self._check()

    def _write_log(self) -> None:
        lines = ([] if self._source is None else read_log(self._source)) + self._contents.log
        group = self._target["log"]
        group["time"] = np.array([line.time for line in lines], dtype=np.float64)
        kind = h5py.string_dtype()
        group.create_dataset("level", data=[plain_text(line.level) for line in lines], dtype=kind)
        group.create_dataset("text", data=[plain_text(line.text) for line in lines], dtype=kind)
        self._check()

    def _kept_checkpoints(self, new: list[NewCheckpoint]) -> dict[str, tuple[NewCheckpoint | h5py.Group, bool]]:
        """The checkpoints that stay, new or in the old file, in order of their steps; with each whether it is the best."""
        rewind = self._contents.rewind
        new_items = {_step_key(item.checkpoint.step): item for item in new}
        old_items = {} if self._source is None else groups_in(self._source, "checkpoints")
        old_items = {key: item for key, item in old_items.items() if rewind is None or int(key) <= rewind}
        best = max(
            (key for key, item in new_items.items() if item.best),
            default=max((key for key, item in old_items.items() if item.attrs["best"]), default=None),
        )
        kept = old_items.keys() | new_items.keys()
        if self._retention is not None:
            kept = self._retention.kept(kept, best)
        return {key: (new_items.get(key) or old_items[key], key == best) for key in sorted(kept)}

    def _write_checkpoints(self, kept: dict[str, tuple[NewCheckpoint | h5py.Group, bool]]) -> None:
        group = self._target["checkpoints"]
        for key, (stored, is_best) in kept.items():
            item = group.create_group(key)
            if isinstance(stored, NewCheckpoint):
                _write_checkpoint(item, stored.checkpoint)
            else:
                item["weights"] = numbers(stored, "weights")[...]
                item["state"] = text(stored, "state")
                item.attrs.update(dict(stored.attrs))
            item.attrs["best"] = is_best
            self._check()

    def _write_texts(self, summary: RunSummary, facts: dict[str, Any]) -> None:
        source, contents = self._source, self._contents
        old_facts = {} if source is None else json.loads(source.attrs["facts"])
        old_attributes = {} if source is None else read_attributes(source)
        old_parents = {} if source is None else json.loads(source.attrs["parents"])
        facts = {**old_facts, **facts}
        self._target["spec"] = json.dumps(summary.spec, indent=1)
        # A data set, because an attribute of HDF5 is hard to read in a viewer when it is long.
        self._target["attributes"] = json.dumps({**old_attributes, **contents.attributes}, indent=1)
        _set_attributes(
            self._target,
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
            },
        )  # fmt: skip

    def _write_results(self, summary: RunSummary) -> None:
        group = self._target["summary"]
        for name, measure in summary.results.items():
            values = {key: value for key, value in asdict(measure).items() if value is not None}
            values["conditions"] = json.dumps(values["conditions"])
            _set_attributes(_named_group(group, name), {**values, "sentence": measure.sentence})


def _write_curve(data: h5py.Group, curve: Curve) -> None:
    _set_attributes(
        data,
        {
            "NX_class": "NXdata", "signal": "y", "axes": ["x"], "step": curve.step,
            "x_label": curve.x_label, "y_label": curve.y_label, "interval": curve.interval,
            "title": curve.title, "unit": curve.unit, "better": curve.better,
        },
    )  # fmt: skip
    for column in ("x", "y", "low", "high"):
        values = getattr(curve, column)
        if values is not None:
            data[column] = np.asarray(values, dtype=np.float64)
    _set_attributes(data["x"], {"long_name": curve.x_label})
    _set_attributes(data["y"], {"long_name": curve.y_label, "units": curve.unit})


def _write_batch(group: h5py.Group, key: str, pictures: Pictures) -> None:
    data = group.create_dataset(key, data=pictures.images)
    data.attrs.update({"step": pictures.step, "captions": json.dumps(pictures.captions), "layout": "NHWC"})


def _write_checkpoint(group: h5py.Group, checkpoint: Checkpoint) -> None:
    group["weights"] = np.frombuffer(checkpoint.weights, dtype=np.uint8)
    group["state"] = json.dumps(checkpoint.state)
    group.attrs.update({"step": checkpoint.step, "digest": digest(checkpoint.weights), "format": "safetensors"})


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


def _step_key(step: int) -> str:
    return f"{step:012d}"  # so that the order of keys is the order of steps


def _iso(seconds: float | None) -> str:
    with suppress(OverflowError, ValueError, OSError):  # a time out of a damaged journal may be no time at all
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return ""
