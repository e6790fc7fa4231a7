"""Comparing runs: where their specifications differ, and whether their numbers may be held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from difrob.runs.records import RunSummary

# What two measurements must share before their results may be compared, by job kind (dotted fields of the spec).
CONDITIONS: dict[str, tuple[str, ...]] = {
    "evaluate": (
        "attack.norm", "attack.eps", "attack.steps", "attack.step_size", "attack.random_start", "losses", "restarts",
        "split", "images",
    ),
    "certify": ("sigma", "n0", "n", "alpha", "split", "images"),
    "train_classifier": ("data.dataset", "attack.norm", "attack.eps", "validation_attack_steps"),
    "generate": ("images",),
    "train_denoiser": ("data.dataset", "sigma_data", "log_sigma_mean", "log_sigma_std"),
}  # fmt: skip
IDENTITY = ("name", "kind", "version")


def flatten(spec: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested specification as {dotted path: value}."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def spec_differences(specs: Sequence[dict[str, Any]], *, only_differing: bool = True) -> dict[str, list[Any]]:
    """{dotted field: value per spec}; a field that a specification does not have is None there.

    The name, the kind and the schema's version are left out: they tell runs apart, not what they did.
    """
    flats = [flatten(spec) for spec in specs]
    paths = list(dict.fromkeys(path for flat in flats for path in flat if path not in IDENTITY))
    rows = {path: [flat.get(path) for flat in flats] for path in paths}
    if not only_differing:
        return rows
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values[1:])}


def unlike_conditions(runs: Sequence[RunSummary]) -> dict[str, list[str]]:
    """{kind: fields} in which runs of one kind measured under different conditions; empty when like meets like."""
    unlike: dict[str, list[str]] = {}
    for kind, fields in CONDITIONS.items():
        flats = [flatten(run.spec) for run in runs if run.kind == kind]
        differing = [field for field in fields if any(flat.get(field) != flats[0].get(field) for flat in flats[1:])]
        if differing:
            unlike[kind] = differing
    return unlike
