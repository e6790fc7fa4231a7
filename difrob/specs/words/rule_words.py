"""The rule that a value breaks, in words: the same on the command line, in the queue's answers and in the window's form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from difrob.specs.words.field_words import show
from difrob.specs.words.near_names import did_you_mean

MUST_BE_GIVEN = "must be given"

_WHOLE_NUMBER, _NUMBER = "must be a whole number", "must be a number"

# By the type of pydantic's error; the names in braces are those of its context.
_WORDS = {
    "missing": MUST_BE_GIVEN,
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "int_parsing_size": "has more digits than any number here may have",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a group of fields",
    "model_attributes_type": "must be a group of fields",
    "dict_type": "must be a group of fields",
}
_CANNOT_BE_EMPTY = {"int_type", "float_type", "bool_type", "string_type", "tuple_type", "list_type"}


def rule_words(error: Mapping[str, Any]) -> str:
    """What a value must be, of one of the errors of pydantic's ``ValidationError.errors()``.

    Examples: ``must be at least 0``, ``must be a whole number``, ``must be 'a', 'b' or 'c'; did you mean 'a'?``. A rule
    between fields says it in its own words.
    """
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if value is None and kind in _CANNOT_BE_EMPTY:
        return MUST_BE_GIVEN
    if kind == "literal_error":
        expected = str(context["expected"])
        near = did_you_mean(value, re.findall(r"'([^']*)'", expected)) if isinstance(value, str) else ""
        return f"must be {expected}{near}"
    if kind in ("string_too_short", "too_short"):
        least = context["min_length"]
        what = "characters" if kind == "string_too_short" else "values"
        return "must not be empty" if least == 1 else f"must have at least {least} {what}"
    if kind in _WORDS:
        return _WORDS[kind].format(**{name: show(limit) for name, limit in context.items()})
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"must be {message.removeprefix('Input should be ')}" if message.startswith("Input should be ") else message
