"""The value of a field that is written as a text, e.g. ``8/255`` or ``none`` on the command line."""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from difrob.specs.words.field_words import choices_of

_PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_FRACTION = re.compile(rf"\s*({_PLAIN})\s*/\s*({_PLAIN})\s*", re.ASCII)
_LONGEST = 80  # characters of a fraction
EMPTY = ("", "none")


def typed_value(text: str, info: FieldInfo) -> Any:
    """The JSON value that a text stands for at a field, by what the field takes.

    Numbers may be fractions; ``none`` and nothing at all empty an optional field or a list, but ``none`` is a word where it
    is one of the field's choices; a field of texts takes the text itself, e.g. a name ``123``. What fits nowhere is given
    back as it is, for the specification to refuse.
    """
    text = text.strip()
    is_list = get_origin(info.annotation) is tuple
    choices = choices_of(info.annotation)
    chosen = next((word for word in (text, text.lower()) if word in choices), None)
    if chosen is not None:
        return [chosen] if is_list else chosen
    if is_list:
        return _members(text, get_args(info.annotation)[0])
    takes = get_args(info.annotation) or (info.annotation,)
    if text.lower() in EMPTY and NoneType in takes:
        return None
    value = _read(text)
    if str not in takes:
        return _as_number(value, takes)
    return value if isinstance(value, str) or (value is None and NoneType in takes) else text


def fraction(text: str) -> float | None:
    """The number that a fraction of two plain numbers stands for, e.g. ``8/255``; None for any other text."""
    found = _FRACTION.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or float(found[2]) == 0:
        return None
    return float(found[1]) / float(found[2])


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"true": True, "false": False}.get(text.lower(), text)


def _as_number(value: Any, takes: tuple[Any, ...]) -> Any:
    """A fraction where numbers are taken; else the value as it is."""
    if not isinstance(value, str) or not {int, float} & set(takes):
        return value
    number = fraction(value)
    return value if number is None else number


def _members(text: str, kind: Any) -> list[Any]:
    """A list, which may be written without its brackets; texts may hold commas, e.g. names of files, the others do not."""
    if text.lower() in EMPTY:
        return []
    value = _read(text)
    if isinstance(value, list):
        return [_as_number(member, (kind,)) for member in value]
    if kind is str:
        return [value if isinstance(value, str) else text]
    if not isinstance(value, str):
        return [value]
    parts = text.removeprefix("[").removesuffix("]") if text.startswith("[") and text.endswith("]") else text
    return [_as_number(_read(part.strip()), (kind,)) for part in parts.split(",")]
