"""A field's choices, limits and values in words, the same in the window and on the command line."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from difrob.specs.base import face_of

_LIMITS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_LENGTHS = {"min_length": "at least {} of them", "max_length": "at most {} of them"}


def show(value: Any) -> str:
    """A value as a form writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, (tuple, list)):
        return ", ".join(show(item) for item in value)
    return str(value)


def meaning_of(info: FieldInfo) -> str:
    """What a field is for, and what holds when nothing is given, as sentences."""
    empty = face_of(info).get("empty_means")
    return " ".join(filter(None, [info.description, f"Empty: {empty}." if empty else ""]))


def limits_of(info: FieldInfo) -> str:
    """Between which limits a value lies, e.g. ``above 0, at most 1``; empty without any."""
    found = []
    for limit in info.metadata:
        for name, text in _LIMITS.items():
            if getattr(limit, name, None) is not None:
                found.append(text.format(show(getattr(limit, name))))
        for name, text in _LENGTHS.items():
            if getattr(limit, name, None) is not None and get_origin(info.annotation) is tuple:
                found.append(text.format(getattr(limit, name)))
    return ", ".join(found)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The values of which a field, or each member of its list, takes one; empty where it is free."""
    if get_origin(annotation) is Literal:
        return tuple(str(argument) for argument in get_args(annotation))
    inner = (choices_of(argument) for argument in get_args(annotation))
    return next((choices for choices in inner if choices), ())
