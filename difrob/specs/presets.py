"""Presets: named settings of one job kind, one JSON file each.

A preset file holds ``{"kind", "title", "description", "spec": {...}}``; fields that it does not name keep their defaults.
Fields that hold the id of another run are never part of a preset.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difrob.errors import UserError
from difrob.resources import resource_path
from difrob.specs.words.near_names import did_you_mean

MAX_PRESET_BYTES = 1_000_000
MAX_PRESET_DEPTH = 10


@dataclass(frozen=True)
class Preset:
    """One named setting: ``spec`` holds the fields that it sets; the others keep the defaults of ``kind``."""

    name: str
    kind: str
    title: str
    description: str
    spec: dict[str, Any]


def list_presets(kind: str | None = None, folder: Path | None = None) -> list[Preset]:
    """All presets (of one kind), sorted by name."""
    folder = folder or resource_path("presets")
    presets = [read_preset(path) for path in sorted(folder.glob("*.json"))]
    return [preset for preset in presets if kind is None or preset.kind == kind]


def load_preset(name: str, kind: str | None = None, folder: Path | None = None) -> Preset:
    """One preset by name, or by the path of a JSON file.

    Raises:
        UserError: for an unknown name (with the nearest known one), an unreadable file, or a preset of another kind.
    """
    if name.endswith(".json"):
        preset = read_preset(Path(name))
    else:
        presets = {preset.name: preset for preset in list_presets(folder=folder)}
        if name not in presets:
            fitting = [p.name for p in presets.values() if kind is None or p.kind == kind]
            hint = did_you_mean(name, fitting) or f"; known presets: {', '.join(fitting)}"
            raise UserError(f"unknown preset '{name}'{hint}")
        preset = presets[name]
    if kind is not None and preset.kind != kind:
        raise UserError(f"preset '{name}' is for '{preset.kind}', not for '{kind}'")
    return preset


def read_preset(path: Path) -> Preset:
    """Read one preset file; nothing in it is executed, and its size is bounded.

    Raises:
        UserError: when the file is missing, too large, or not a preset.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"'{path}' is not a file")  # a device or a pipe might never end
        with open(path, "rb") as file:
            text = file.read(MAX_PRESET_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read preset '{path}': {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"cannot read preset '{path}': {error}") from None
    if len(text) > MAX_PRESET_BYTES:
        raise UserError(f"preset file '{path}' is larger than {MAX_PRESET_BYTES} bytes; it is not a preset")
    try:
        values = json.loads(text.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not a preset file: {error}") from None
    if _depth(values) > MAX_PRESET_DEPTH:
        raise UserError(f"'{path}' is not a preset file: it is nested more than {MAX_PRESET_DEPTH} deep")
    if not isinstance(values, dict):
        raise UserError(f"'{path}' is not a preset file: it holds no object")
    for name, wanted in (("kind", str), ("title", str), ("description", str), ("spec", dict)):
        if not isinstance(values.get(name), wanted):
            raise UserError(f"'{path}' is not a preset file: it has no '{name}' of the right type")
    return Preset(path.stem, values["kind"], values["title"], values["description"], values["spec"])


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other; without recursion, whatever comes."""
    depth, level = 0, [value]
    while level:
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [value for items in inner for value in items]
        depth += bool(inner)
    return depth
