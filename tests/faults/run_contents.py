"""What a run holds, as plain values that compare with ``==``: for "nothing lost" and for "the same run"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from difrob.errors import UserError
from difrob.runs import RunReader

TIMED = {"images_per_second"}  # metrics that measure the machine


def recorded(reader: RunReader) -> dict[str, Any]:
    """All that a run has recorded, times included; of a run without a word yet, nothing."""
    try:
        metrics, columns = reader.metrics(), sample_columns(reader)
    except UserError as error:
        if reader.h5_path.exists():
            raise AssertionError(f"'{reader.h5_path}' cannot be read: {error}") from None
        return {}
    found: dict[str, Any] = {}
    for name, series in metrics.items():
        for column in ("step", "time", "value", "low", "high"):
            found[f"metric {name} {column}"] = plain(getattr(series, column))
    found |= {f"samples {name}": plain(column) for name, column in columns.items()}
    found |= pictures_and_curves(reader)
    found |= {f"attribute {name}": value for name, value in reader.attributes().items()}
    found |= {f"log line {number}": plain(vars(line)) for number, line in enumerate(reader.log())}
    return found


def outcome(reader: RunReader) -> dict[str, Any]:
    """What must be the same in every run of one specification: all numbers by step, weights, rows, pictures, results."""
    summary = reader.summary()
    found: dict[str, Any] = {
        "state": str(summary.state),
        "done": summary.progress.done,
        "total": summary.progress.total,
    }
    for name, series in reader.metrics().items():
        columns = ("step",) if name in TIMED else ("step", "value", "low", "high")
        found |= {f"metric {name} {column}": plain(getattr(series, column)) for column in columns}
    found |= {f"samples {name}": plain(column) for name, column in sample_columns(reader).items()}
    found |= pictures_and_curves(reader)
    found |= {f"attribute {name}": value for name, value in reader.attributes().items()}
    found |= {f"result {name}": plain(asdict(measure)) for name, measure in summary.results.items()}
    if summary.kind.startswith("train"):  # the others write checkpoints by the clock
        for which in ("last", "best"):
            checkpoint = reader.checkpoint(which)
            found |= {f"{which} weights": checkpoint.weights, f"{which} state": checkpoint.state}
            found[f"{which} step"] = checkpoint.step
    return found


def sample_columns(reader: RunReader) -> dict[str, np.ndarray]:
    """Every per-sample column, file and journal joined."""
    with reader.look() as look:
        names = set() if look.file is None else set(look.file["samples"])
        names |= {name for batch in look.contents.samples for name in batch}
    return {name: reader.array(name) for name in sorted(names)}


def pictures_and_curves(reader: RunReader) -> dict[str, Any]:
    """The pictures of each name and step, and the newest curve of each name."""
    found = {f"pictures {batch.name} {batch.step}": plain(vars(batch)) for batch in reader.pictures()}
    return found | {f"curve {name}": plain(vars(curve)) for name, curve in reader.curves().items()}


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What differs, by name, with a hint of how."""
    told = [f"'{name}' is missing" for name in expected.keys() - found.keys()]
    told += [f"'{name}' should not be there" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if found[name] != expected[name]:
            told.append(f"'{name}' is {shortened(found[name])} instead of {shortened(expected[name])}")
    return sorted(told)


def rows_lost(found: dict[str, Any], expected: dict[str, Any]) -> int:
    """How many rows of metrics and samples are fewer than they should be."""
    lost = 0
    for name, column in expected.items():
        if (name.endswith(" step") and name.startswith("metric ")) or name == "samples index":
            lost += max(0, column[1][0] - (found[name][1][0] if name in found else 0))
    return lost


def shortened(value: Any) -> str:
    """A value in at most 120 characters, with its length where it has one."""
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], bytes):
        kind, shape, data = value
        return f"{kind} {shape} {np.frombuffer(data, kind)[:5]}... (digest {hash(data) & 0xFFFF:04x})"
    text = repr(value)
    size = f" ({len(value)} items)" if hasattr(value, "__len__") else ""
    return (text if len(text) <= 120 else f"{text[:117]}...") + size


def plain(value: Any) -> Any:
    """Arrays as (type, shape, bytes): equal means equal to the last bit, NaN included."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return repr(value) if isinstance(value, float) and value != value else value


def check_with_h5py(path: Path) -> None:
    """Open a run file as any other program would, read every number in it, and see that no row is there twice.

    Raises:
        AssertionError: naming the data set.
        OSError: when the file cannot be opened or read.
    """
    with h5py.File(path, "r") as file:
        for dataset in datasets_of(file):
            dataset[...]
            if dataset.name.startswith("/metrics/") and dataset.name.endswith("/step"):
                steps = dataset[...]
                assert (np.diff(steps) > 0).all(), f"'{dataset.name}' has rows twice or out of order"
        samples = file["samples"]
        assert len({len(column) for column in samples.values()}) <= 1, "columns of samples differ in length"
        if "index" in samples:
            index = samples["index"][...]
            assert len(np.unique(index)) == len(index), "a sample was recorded twice"


def datasets_of(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """Every data set below a group."""
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from datasets_of(item)
        else:
            yield item
