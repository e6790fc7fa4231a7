"""Reading a specification from JSON, from overrides, or from an old record."""

from __future__ import annotations

import difflib
import json
from typing import Any

from pydantic import ValidationError

from difrob.errors import UserError
from difrob.specs.base import JobSpec, Spec, default_at, face_of, kind_of, walk_fields
from difrob.specs.kinds import KINDS
from difrob.specs.typed_values import typed_value
from difrob.specs.words.near_names import ALIKE
from difrob.specs.words.rule_words import rule_words


def spec_class(kind: str) -> type[JobSpec]:
    """The specification of a job kind.

    Raises:
        UserError: for an unknown kind, naming the known ones.
    """
    try:
        return KINDS[kind]
    except KeyError:
        left_out = next((f"; {each.problem}" for each in KINDS.outside if each.kind == kind), "")
        raise UserError(f"unknown job kind '{kind}'; known kinds: {', '.join(KINDS)}{left_out}") from None


def parse_spec(values: dict[str, Any]) -> JobSpec:
    """Validate a plain dictionary (from a preset, a message or a run file) into a specification.

    Raises:
        UserError: one sentence per wrong field, naming field, value and rule.
    """
    if not isinstance(values, dict) or "kind" not in values:
        raise UserError("a specification needs a field 'kind'")
    spec = spec_class(str(values["kind"]))
    newest = spec.model_fields["version"].default
    version = values.get("version", newest)
    if type(version) is not int or version < 1:
        raise UserError(f"'version' = {version!r}: a {values['kind']} specification has a version from 1 to {newest}")
    if version > newest:
        raise UserError(
            f"this {values['kind']} specification has version {version}, newer than {newest}, "
            "the newest that this difrob knows; install a newer difrob"
        )
    try:
        return spec.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, spec)) from None


def explain(error: ValidationError, spec: type[JobSpec]) -> str:
    """Turn a validation error into sentences that name the field, the value and the rule."""
    known = [path for path, _ in walk_fields(spec)]
    kind = kind_of(spec)
    sentences = []
    errors = error.errors()
    wrong_members = {item["loc"][:-1] for item in errors}
    for item in errors:
        path = ".".join(str(part) for part in item["loc"]) or kind
        if item["type"] == "extra_forbidden":
            sentences.append(f"unknown field '{path}'{_suggestion(path, spec)}")
        elif item["type"] == "missing":
            inside = [name for name in known if name.startswith(f"{path}.") and default_at(spec, name) is ...]
            sentences += [f"'{name}' must be given" for name in inside or [path]]
        elif item["type"] == "too_short" and item["loc"] in wrong_members:
            continue  # a list counts only the members that are right
        else:
            rule = rule_words(item)
            is_group = isinstance(item["input"], dict | Spec)  # a rule between fields names them itself
            sentences.append(f"'{path}': {rule}" if is_group else f"'{path}' = {_shortened(item['input'])}: {rule}")
    return "; ".join(sentences)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def apply_overrides(values: dict[str, Any], overrides: list[str], spec: type[JobSpec]) -> dict[str, Any]:
    """Apply ``field=value`` strings to a plain specification; see :func:`~difrob.specs.typed_values.typed_value`.

    Raises:
        UserError: for a malformed override or an unknown field, with the nearest known name.
    """
    known = dict(walk_fields(spec))
    result: dict[str, Any] = json.loads(json.dumps(values))
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        if not equals:
            raise UserError(f"'{override}' is not of the form field=value")
        if path not in known:
            raise UserError(f"unknown field '{path}'{_suggestion(path, spec)}")
        *groups, leaf = path.split(".")
        place = result
        for group in groups:
            if not isinstance(place.get(group), dict):
                place[group] = {}
            place = place[group]
        place[leaf] = typed_value(text, known[path])
    return result


def _suggestion(path: str, spec: type[JobSpec]) -> str:
    """The field that was probably meant: under another tool's name, begun, or misspelt; else where all of them are told."""
    fields = dict(walk_fields(spec))
    leaf = path.rsplit(".", 1)[-1].lower()
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in reversed(fields)} | {name: name for name in fields}
    elsewhere = {other: name for name in reversed(fields) for other in face_of(fields[name]).get("other_names", ())}
    members = [name for name in fields if name.startswith(f"{path}.")]
    if members:
        return f"; it is a group of fields: {', '.join(members)}"
    near = [name for name in (path, elsewhere.get(leaf, leaf)) if name in by_leaf]
    near = near or [name for name in by_leaf if len(leaf) > 2 and name.startswith(leaf)]
    near = near or difflib.get_close_matches(path, by_leaf, n=1, cutoff=ALIKE)
    near = near or difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=ALIKE)
    if near:
        return f"; did you mean '{by_leaf[near[0]]}'?"
    similar = list(dict.fromkeys(by_leaf[name] for name in difflib.get_close_matches(leaf, by_leaf, n=3, cutoff=0.5)))
    nearby = f"; the nearest are {', '.join(similar)}" if similar else ""
    return f"{nearby}; 'difrob run {kind_of(spec)} --fields' lists all of them"
