"""``difrob run KIND --fields`` and ``--presets``: what can be set, and what is set together under a name."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, get_origin

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from difrob.cli.common import console
from difrob.errors import UserError
from difrob.specs import JobSpec, default_at, face_of, kind_of, list_presets, walk_fields
from difrob.specs.words.field_words import choices_of, limits_of, meaning_of, show
from difrob.specs.words.near_names import did_you_mean

WAYS = "FIELD= or FIELD=none empties an optional field; numbers may be fractions like 8/255, lists are written 1,2,3."
WIDE = 160  # columns of a listing that no terminal shows
NARROW = 120  # below so many columns a meaning goes under its field, not beside it


def print_fields(spec: type[JobSpec], part: str = "") -> None:
    """The fields of a kind with defaults, units and help.

    Args:
        spec: the kind's specification.
        part: only fields in whose name this occurs; all for none.

    Raises:
        UserError: when no field has such a name.
    """
    kind = kind_of(spec)
    found = [(path, info) for path, info in walk_fields(spec) if face_of(info) and part.strip().lower() in path]
    if not found:
        known = [name for path, info in walk_fields(spec) if face_of(info) for name in (path, *path.split("."))]
        raise UserError(f"{kind} has no field with '{part}' in its name{did_you_mean(part, known)}")
    out = listing_console()
    out.print(f"{spec.title} ({kind}). {WAYS}", style="dim")
    if out.width < NARROW:
        for path, info in found:
            default, unit, meaning = _cells(spec, path, info)
            out.print(f"[bold]{path}[/bold] = {default}" + (f"  [dim]{unit}[/dim]" if unit else ""))
            out.print(Padding(meaning, (0, 0, 0, 4)))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("default", overflow="fold", max_width=24)
    table.add_column("unit", overflow="fold", max_width=18)
    table.add_column("meaning", overflow="fold")
    for path, info in found:
        table.add_row(f"[bold]{path}[/bold]", *_cells(spec, path, info))
    out.print(table)


def print_presets(spec: type[JobSpec]) -> None:
    """The presets of a kind, a line each."""
    kind = kind_of(spec)
    presets = list_presets(kind)
    out = listing_console()
    if not presets:
        out.print(f"{kind} has no presets")
        return
    table = Table(
        title=f"presets: difrob run {kind} --preset NAME",
        title_justify="left",
        title_style="dim",
        box=None,
        pad_edge=False,
    )
    table.add_column("preset", no_wrap=True, min_width=max(len(preset.name) for preset in presets))
    table.add_column("what it is for", no_wrap=True, overflow="ellipsis")
    for preset in presets:
        table.add_row(f"[bold]{escape(preset.name)}[/bold]", escape(f"{preset.title}: {preset.description}"))
    out.print(table)


def listing_console() -> Console:
    """The console; a wide one where no terminal sets the width, e.g. in a pipe. COLUMNS holds in any case."""
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(highlight=False, emoji=False, width=WIDE, file=sys.stdout)


def _cells(spec: type[JobSpec], path: str, info: FieldInfo) -> tuple[str, str, str]:
    """Default, unit and meaning of a field as markup."""
    face, default = face_of(info), default_at(spec, path)
    source = f" [dim]({escape(face['source'])})[/dim]" if face["source"] else ""
    meaning = " ".join(filter(None, [meaning_of(info), allowed_values(info)]))
    return escape(_written(default)), escape(face["unit"]), escape(meaning) + source


def _written(default: Any) -> str:
    if default is ...:
        return "(required)"
    if isinstance(default, tuple) and default:
        return ",".join(show(member) for member in default)
    return "(none)" if default in (None, ()) else str(default) or "''"


def allowed_values(info: FieldInfo) -> str:
    """The choices of a field that its description does not all name, and its limits, as sentences."""
    choices = choices_of(info.annotation)
    described = re.findall(r"[a-z0-9_]+(?=[:,])", info.description or "")
    several = "One or more of" if get_origin(info.annotation) is tuple else "One of"
    sentences = [f"{several}: {', '.join(choices)}."] if not set(choices) <= set(described) else []
    limits = limits_of(info)
    return " ".join([*sentences, *([f"{limits[0].upper()}{limits[1:]}."] if limits else [])])
