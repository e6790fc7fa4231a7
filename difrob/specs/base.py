"""What every job specification has in common.

A specification is one pydantic model per job kind. From it come the form in the window, the flags of the command line,
the preset files and the record in the run file. Everything a face needs to know about a field stands at the field:
default, range, unit, help text, source, and the condition under which it matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


def parameter(
    default: Any = PydanticUndefined,
    help: str = "",
    *,
    unit: str = "",
    source: str = "",
    group: str = "General",
    shown_when: dict[str, tuple[Any, ...]] | None = None,
    run_kinds: tuple[str, ...] = (),
    advanced: bool = False,
    **constraints: Any,
) -> Any:
    """Declare one field of a specification, with everything its four faces need.

    Args:
        default: the value a newcomer should get; left out for a field that must be given.
        help: one or two sentences for the form's tooltip and for ``--help``.
        unit: unit of the value, e.g. ``"[0,1] intensity"``, ``"steps"``.
        source: where the value or the formula comes from (paper, section or equation).
        group: heading under which the form shows the field.
        shown_when: ``{sibling field: values}``; the field matters only while every sibling has one of its values.
        run_kinds: the field holds the id of a run of one of these kinds.
        advanced: the form folds the field away at first.
        constraints: pydantic's ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ...
    """
    face: dict[str, Any] = {
        "unit": unit,
        "source": source,
        "group": group,
        "shown_when": {name: list(values) for name, values in (shown_when or {}).items()},
        "run_kinds": list(run_kinds),
        "advanced": advanced,
    }
    return Field(default, description=help, json_schema_extra=face, **constraints)


class Spec(BaseModel):
    """A frozen, strict part of a specification: unknown fields, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class JobSpec(Spec):
    """Fields that every job kind has. ``kind`` and ``version`` name the schema of the record."""

    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    kind: str
    version: int = 1
    name: str = parameter("", "Name shown in tables and used in the file name.", max_length=80)
    seed: int = parameter(0, "Seed from which every random stream of the run is derived.", ge=0, le=2**31 - 1)


def face_of(info: FieldInfo) -> dict[str, Any]:
    """The presentation record that :func:`parameter` stored at a field; empty for a field declared without it."""
    extra = info.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def walk_fields(spec: type[Spec], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All leaf fields of a specification as (dotted path, field), in order of declaration."""
    for name, info in spec.model_fields.items():
        path = f"{prefix}{name}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, Spec):
            yield from walk_fields(info.annotation, f"{path}.")
        else:
            yield path, info


def default_at(spec: type[Spec], path: str) -> Any:
    """The value that a field has when nothing is given; ``...`` for a field that must be given.

    A group may stand in a specification with defaults of its own, e.g. more attack steps; those count.
    """
    head, _, rest = path.partition(".")
    info = spec.model_fields[head]
    if not rest:
        return ... if info.is_required() else info.get_default(call_default_factory=True)
    if info.is_required():
        assert isinstance(info.annotation, type)
        return default_at(info.annotation, rest)
    return value_at(info.get_default(call_default_factory=True), rest)


def value_at(spec: Spec, path: str) -> Any:
    """The value at a dotted path, e.g. ``attack.eps``."""
    value: Any = spec
    for part in path.split("."):
        value = getattr(value, part)
    return value


def devices_of(spec: Spec) -> int:
    """How many devices share the work of a run, at least 1; the queue gives it so many GPUs."""
    return int(getattr(getattr(spec, "compute", None), "devices", 1))


def input_runs(spec: Spec) -> dict[str, str]:
    """The runs that a specification reads, as {dotted field: run id}. The queue derives its dependencies from it."""
    inputs = {}
    for path, info in walk_fields(type(spec)):
        run_id = value_at(spec, path)
        if face_of(info).get("run_kinds") and run_id:
            inputs[path] = run_id
    return inputs
