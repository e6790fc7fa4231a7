"""The summary of a run as plain JSON data: one attribute of its file, the header of its journal, a row of the index."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from difrob.quantities import earlier
from difrob.runs.interface import Measure
from difrob.runs.records import Progress, RunSummary
from difrob.runs.states import RunState


def summary_to_json(summary: RunSummary) -> dict[str, Any]:
    """A summary as plain JSON data; size, damage and whose copy it is are facts about the file, not in it."""
    values = dict(
        vars(summary)
    )  # asdict would copy the specification leaf by leaf, which takes longer than all the rest
    values["state"] = summary.state.value
    values["progress"] = asdict(summary.progress)
    values["results"] = {name: asdict(measure) for name, measure in summary.results.items()}
    del values["size"], values["damaged"], values["copy_of"]
    return values


def summary_from_json(values: dict[str, Any], run_id: str, size: int = 0) -> RunSummary:
    """The inverse of :func:`summary_to_json`. Raises KeyError, TypeError or ValueError for foreign data.

    Args:
        run_id: as the file's name has it, which counts where a file was copied or renamed.
    """
    fields = {key: value for key, value in values.items() if key in RunSummary.__dataclass_fields__}
    fields["state"] = RunState(fields["state"])
    fields["progress"] = _progress(**fields.get("progress", {}))
    fields["kind"], fields["name"] = str(fields["kind"]), str(fields["name"])
    fields["results"] = _results(fields["kind"], fields.get("results", {}))
    for name in ("spec", "parents"):
        fields[name] = dict(fields.get(name, {}))
    for name in ("reason", "cause", "host", "device"):
        fields[name] = str(fields.get(name, ""))
    for name in ("started", "ended"):
        fields[name] = _optional_number(fields.get(name))
    fields["created"] = float(fields.get("created", 0.0))
    fields["has_checkpoint"] = bool(fields.get("has_checkpoint", False))
    stated = str(values.get("run_id") or run_id)
    fields["written_as"] = str(fields.get("written_as", "")) if stated == run_id else stated
    return RunSummary(**{**fields, "run_id": run_id, "size": size, "damaged": False, "copy_of": ""})


def _progress(done: Any = 0, total: Any = 0, unit: Any = "steps", seconds_left: Any = None, **newer: Any) -> Progress:
    return Progress(int(done), int(total), str(unit), _optional_number(seconds_left))


def _results(kind: str, values: dict[str, dict[str, Any]]) -> dict[str, Measure]:
    results = {}
    for name, said in values.items():
        known = str(name) if "conditions" in said else earlier.name_today(kind, str(name))
        results[known] = measure_from_json(**said)
    told = results.pop(earlier.FEATURES_MEASURED, None)
    if told is None:
        return results
    return {
        name: replace(measure, conditions=told.conditions) if earlier.is_measured_with_features(name) else measure
        for name, measure in results.items()
    }


def measure_from_json(
    value: Any, low: Any = None, high: Any = None, n: Any = None, interval: Any = "", unit: Any = "",
    description: Any = "", conditions: Any = None, title: Any = "", better: Any = "", **newer: Any,
) -> Measure:  # fmt: skip
    """A result as :func:`summary_to_json` or a journal has it; of an earlier version, its conditions taken from its prose.

    Raises TypeError or ValueError for foreign data.
    """
    what = str(description)
    if conditions is None:
        what, conditions = earlier.parted(what, str(unit))
    return Measure(
        float(value), _optional_number(low), _optional_number(high), None if n is None else int(n), str(interval),
        str(unit), what, dict(conditions), str(title), str(better),
    )  # fmt: skip


def _optional_number(value: Any) -> float | None:
    return None if value is None else float(value)
