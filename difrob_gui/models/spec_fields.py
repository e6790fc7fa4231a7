"""What a form needs to know of a specification's fields, read from the specification itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from difrob.errors import UserError
from difrob.specs import JobSpec, default_at, face_of, parse_spec, run_kinds, spec_class, walk_fields
from difrob.specs.takes import DataSetUse, data_set_use, takes_path
from difrob.specs.words.field_words import limits_of, meaning_of, show
from difrob.specs.words.rule_words import rule_words

MISSING = "must be given"
HEADER_FIELDS = tuple(JobSpec.model_fields)  # they stand above the form, for all kinds alike


class Shape(Enum):
    """How a field is edited."""

    FLAG = "flag"
    CHOICE = "choice"
    CHOICES = "choices"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    INTEGERS = "integers"
    NUMBERS = "numbers"
    TEXTS = "texts"
    DATA_SET = "data set"
    RUN = "run"


@dataclass(frozen=True)
class Field:
    """One field of a form. ``default`` is plain data; for a field that must be given it is None. ``takes_data_of`` says
    which data sets a field takes that names one; ``names_files`` is true for one that names files and folders."""

    path: str
    label: str
    shape: Shape
    optional: bool
    required: bool
    default: Any
    help: str = ""
    unit: str = ""
    source: str = ""
    group: str = ""
    advanced: bool = False
    choices: tuple[str, ...] = ()
    run_kinds: tuple[str, ...] = ()
    shown_when: dict[str, list[Any]] = field(default_factory=dict)
    limits: str = ""
    empty_means: str = ""
    takes_data_of: DataSetUse | None = None
    names_files: bool = False

    @property
    def is_input(self) -> bool:
        """Whether a job reads what this names before anything else, whatever is chosen in its parts."""
        return bool(self.run_kinds) and (self.required or "." not in self.path)

    @property
    def takes_paths(self) -> bool:
        """Whether its texts are paths of files and folders."""
        return self.names_files and self.shape is Shape.TEXTS

    @property
    def takes_path(self) -> bool:
        """Whether its text is the path of a file or folder."""
        return self.names_files and self.shape is Shape.TEXT

    def tooltip(self) -> str:
        """Help, range, default and source, one per line."""
        unit = f" {self.unit}" if self.unit and self.default is not None else ""
        default = MISSING if self.required else f"default: {show(self.default) or self.empty_means or 'empty'}{unit}"
        lines = [self.help, " · ".join(part for part in (self.path, default, self.limits) if part)]
        if self.source:
            lines.append(f"Source: {self.source}")
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Problem:
    """Why a value is refused; ``path`` is empty when it belongs to no single field."""

    path: str
    message: str


def fields_of(spec: type[JobSpec]) -> list[Field]:
    """The fields of a specification's form in order of declaration; name and seed stand elsewhere."""
    return [_field(path, info, spec) for path, info in walk_fields(spec) if path not in HEADER_FIELDS]


def groups_of(fields: list[Field]) -> dict[str, list[Field]]:
    """Fields by group. Groups with inputs come first, because nothing can start without them.

    An optional run in a group of its own, e.g. the judge of a selection, does not bring that group forward.
    """
    groups: dict[str, list[Field]] = {}
    for item in fields:
        groups.setdefault(item.group or "General", []).append(item)
    return dict(sorted(groups.items(), key=lambda pair: not any(item.is_input for item in pair[1])))


def nest(values: dict[str, Any]) -> dict[str, Any]:
    """``{"attack.eps": 1}`` as ``{"attack": {"eps": 1}}``."""
    result: dict[str, Any] = {}
    for path, value in values.items():
        *parts, leaf = path.split(".")
        place = result
        for part in parts:
            place = place.setdefault(part, {})
        place[leaf] = value
    return result


def flatten(values: dict[str, Any], spec: type[JobSpec]) -> dict[str, Any]:
    """The values that a nested dictionary gives to the fields of a specification; others are left out."""
    found = {}
    for path, _ in walk_fields(spec):
        value: Any = values
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            found[path] = plain(value)
    return found


def plain(value: Any) -> Any:
    """A value as JSON would give it back: tuples as lists."""
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def check(values: dict[str, Any]) -> tuple[JobSpec | None, list[Problem]]:
    """Validate a plain specification: the specification, or what is wrong, field by field."""
    try:
        return parse_spec(values), []
    except UserError as error:
        summary = str(error)
    try:
        spec = spec_class(str(values.get("kind")))
        spec.model_validate(values)
    except ValidationError as error:
        paths = [path for path, _ in walk_fields(spec)]
        problems = [_problem(item, paths) for item in error.errors()]
        return None, list({(problem.path, problem.message): problem for problem in problems}.values())
    except UserError:
        pass
    return None, [Problem("", summary)]


def judged_part(spec: JobSpec) -> dict[str, Any]:
    """What it depends on whether the inputs of a specification fit: all of it but its name and seed."""
    return spec.model_dump(exclude={"name", "seed"})


def _problem(item: Mapping[str, Any], paths: list[str]) -> Problem:
    location = [str(part) for part in item["loc"]]
    message = MISSING if item["type"] == "too_short" else rule_words(item)
    for length in range(len(location), 0, -1):
        if ".".join(location[:length]) in paths:
            return Problem(".".join(location[:length]), message)
    prefix = ".".join([*location, ""])
    named = [
        (found.start(), path)
        for path in paths
        if path.startswith(prefix) and (found := re.search(rf"\b{re.escape(path.rsplit('.', 1)[-1])}\b", message))
    ]
    return Problem(min(named)[1] if named else "", message)


_LISTS = (Shape.INTEGERS, Shape.NUMBERS, Shape.TEXTS)


def _field(path: str, info: FieldInfo, spec: type[JobSpec]) -> Field:
    face = face_of(info)
    shape, optional, choices = _shape(info.annotation)
    use, kinds = data_set_use(info), run_kinds(info)
    if use is not None:
        shape = Shape.DATA_SET
    prefix = path.rpartition(".")[0]
    siblings = {
        f"{prefix}.{name}" if prefix else name: list(values) for name, values in (face.get("shown_when") or {}).items()
    }
    default = default_at(spec, path)
    empty_means = face.get("empty_means") or ("not set" if optional or shape in _LISTS else "")
    return Field(
        path=path,
        label=_label(path),
        shape=Shape.RUN if kinds else shape,
        optional=optional,
        required=default is ...,
        default=None if default is ... else plain(default),
        help=meaning_of(info),
        unit=str(face.get("unit", "")),
        source=str(face.get("source", "")),
        group=str(face.get("group", "")),
        advanced=bool(face.get("advanced")),
        choices=choices,
        run_kinds=kinds,
        shown_when=siblings,
        limits=limits_of(info),
        takes_data_of=use,
        names_files=takes_path(info),
        empty_means=f"empty = {empty_means}" if empty_means else "",
    )


def _shape(annotation: Any) -> tuple[Shape, bool, tuple[str, ...]]:
    arguments = get_args(annotation)
    if NoneType in arguments:
        inner = next(argument for argument in arguments if argument is not NoneType)
        shape, _, choices = _shape(inner)
        return shape, True, choices
    if get_origin(annotation) is Literal:
        return Shape.CHOICE, False, tuple(str(argument) for argument in arguments)
    if get_origin(annotation) is tuple:
        shape, _, choices = _shape(arguments[0])
        many = {Shape.INTEGER: Shape.INTEGERS, Shape.NUMBER: Shape.NUMBERS, Shape.CHOICE: Shape.CHOICES}
        return many.get(shape, Shape.TEXTS), False, choices
    simple = {bool: Shape.FLAG, int: Shape.INTEGER, float: Shape.NUMBER}
    return simple.get(annotation, Shape.TEXT), False, ()


def _label(path: str) -> str:
    leaf = path.rsplit(".", 1)[-1].replace("_", " ")
    return leaf if len(leaf) <= 3 else leaf[0].upper() + leaf[1:]
