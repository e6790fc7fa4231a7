"""The members of the protocol that all recorders implement, found in it, so that none can be forgotten."""

from __future__ import annotations

import inspect
from typing import Any

from difrob.runs.interface import Recorder

METHODS = sorted(name for name, member in vars(Recorder).items() if name[0] != "_" and inspect.isfunction(member))
PROPERTIES = sorted(name for name, member in vars(Recorder).items() if isinstance(member, property))
OTHERS = {name for name in [*vars(Recorder), *Recorder.__annotations__] if name[0] != "_"} - {*METHODS, *PROPERTIES}
assert len(METHODS) >= 10 and len(PROPERTIES) >= 2 and not OTHERS, OTHERS


def parameters(kind: type, name: str) -> list[inspect.Parameter]:
    """Names, kinds, types and defaults of what a method of a recorder takes."""
    return list(inspect.signature(getattr(kind, name)).parameters.values())


def arguments(name: str, *, only_required: bool) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that no other call has, positional and by name, for a method of the protocol."""
    positional: list[Any] = []
    by_name: dict[str, Any] = {}
    for parameter in parameters(Recorder, name)[1:]:
        if only_required and parameter.default is not inspect.Parameter.empty:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            by_name |= {"first column": object(), "second column": object()}
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            by_name[parameter.name] = object()
        else:
            positional.append(object())
    return positional, by_name
