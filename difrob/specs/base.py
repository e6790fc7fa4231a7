"""What every job specification has in common.

A specification is one pydantic model per job kind. From it come the form in the window, the flags of the command line,
the preset files and the record in the run file. Everything a face needs to know about a field stands at the field:
default, range, unit, help text, source, what it names, whether results depend on it. Everything about a kind of job stands
on its specification: its words, its icon, its function, what its runs hold.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from difrob.specs.takes import Takes, held_by


def parameter(
    default: Any = PydanticUndefined,
    help: str = "",
    *,
    unit: str = "",
    source: str = "",
    group: str = "General",
    shown_when: dict[str, tuple[Any, ...]] | None = None,
    takes: Takes | None = None,
    empty_means: str = "",
    condition: str = "",
    other_names: tuple[str, ...] = (),
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
        takes: what the field names: a run, a path, or a data set; None for a field that is only a value.
        empty_means: what holds when nothing is given, e.g. ``"all"``; for a field that may be empty.
        condition: under which name the field is a condition of comparison: results of runs that differ in it are not set
            against each other. Empty for a field that is none.
        other_names: what other tools call such a field.
        advanced: the form folds the field away at first.
        constraints: pydantic's ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ...
    """
    face: dict[str, Any] = {
        "unit": unit,
        "source": source,
        "group": group,
        "shown_when": {name: list(values) for name, values in (shown_when or {}).items()},
        "takes": takes,
        "empty_means": empty_means,
        "condition": condition,
        "other_names": list(other_names),
        "advanced": advanced,
    }
    return Field(default, description=help, json_schema_extra=face, **constraints)


def part(default: Any = PydanticUndefined, **fields: dict[str, Any]) -> Any:
    """Put a part of several fields into a specification, in which some of them mean more, or something else, than elsewhere.

    Args:
        default: the part; left out where one of its fields must be given.
        fields: by the name of a field of the part what of its :func:`parameter` is different here, e.g.
            ``eps={"condition": "eps"}``.
    """
    face: dict[str, Any] = {"fields": fields}
    return Field(default, json_schema_extra=face)


class Spec(BaseModel):
    """A frozen, strict part of a specification: unknown fields, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    # Whether most runs leave this part alone: forms fold its groups and tell their first setting beside the heading.
    folded: ClassVar[bool] = False


class JobSpec(Spec):
    """Fields that every job kind has, and what is to be known of a kind. ``kind`` and ``version`` name the record's schema.

    Attributes:
        noun: a run of this kind in tables, e.g. ``Classifier``.
        title: what is done, e.g. ``Train a robust classifier``.
        summary: one sentence more.
        icon: name of a file in ``resources/icons``.
        place: kinds are listed by rising place.
        job: the function ``run(spec, recorder, device)``, as ``package.module:function``; imported only where it is run.
        holds: what other runs can read from one of this kind, e.g. :data:`difrob.specs.takes.CLASSIFIER`; empty for nothing.
        trains: whether something learns, so that its curves over the steps say most.
        input_checks: modules that register what is asked of a run before it exists; see :mod:`difrob.inputs.checks`.
    """

    noun: ClassVar[str] = ""
    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    icon: ClassVar[str] = "spec"
    place: ClassVar[int] = 1000
    job: ClassVar[str] = ""
    holds: ClassVar[str] = ""
    trains: ClassVar[bool] = False
    input_checks: ClassVar[tuple[str, ...]] = ()

    kind: str
    version: int = 1
    name: str = parameter("", "Name shown in tables and used in the file name.", max_length=80)
    seed: int = parameter(0, "Seed from which every random stream of the run is derived.", ge=0, le=2**31 - 1)


def kind_of(spec: type[JobSpec]) -> str:
    """The kind of job that a specification is of."""
    return str(spec.model_fields["kind"].default)


def face_of(info: FieldInfo) -> dict[str, Any]:
    """The presentation record that :func:`parameter` stored at a field; empty for a field declared without it."""
    extra = info.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def walk_fields(spec: type[Spec], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All leaf fields of a specification as (dotted path, field), in order of declaration."""
    for name, info in spec.model_fields.items():
        path = f"{prefix}{name}"
        group = _part_at(info)
        if group is None:
            yield path, info
            continue
        here = {f"{path}.{field}": face for field, face in face_of(info).get("fields", {}).items()}
        for inner, inner_info in walk_fields(group, f"{path}."):
            yield inner, _with_face(inner_info, here[inner]) if inner in here else inner_info


def folded_groups(spec: type[Spec]) -> set[str]:
    """The headings of a specification's form under which stands what most runs leave alone; see :attr:`Spec.folded`."""
    groups = {face_of(info).get("group", "") for _, info in walk_fields(spec)} if spec.folded else set()
    return groups.union(*(folded_groups(inner) for info in spec.model_fields.values() if (inner := _part_at(info))))


def conditions_of(spec: type[JobSpec]) -> dict[str, FieldInfo]:
    """The fields, by dotted path, in which runs must not differ if their results are to be compared."""
    return {path: info for path, info in walk_fields(spec) if face_of(info).get("condition")}


def _part_at(info: FieldInfo) -> type[Spec] | None:
    """The part of a specification that a field holds; None for a leaf."""
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Spec) else None


def _with_face(info: FieldInfo, changes: dict[str, Any]) -> FieldInfo:
    changed = copy.copy(info)
    changed.json_schema_extra = {**face_of(info), **changes}
    return changed


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
        if held_by(info) and run_id:
            inputs[path] = run_id
    return inputs
