"""Which function says whether the inputs of a kind of job fit: registered by kind, asked by :mod:`difrob.inputs.fitting`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from difrob.inputs.facts import InputFacts
from difrob.specs import JobSpec, value_at, walk_fields
from difrob.specs.takes import held_by

Found = Iterator[tuple[str, str]]  # (field, a sentence or "")
Check = Callable[[Any, InputFacts], Found]
SomeCheck = TypeVar("SomeCheck", bound=Check)

_CHECKS: dict[type[JobSpec], Check] = {}


def checks(spec: type[JobSpec]) -> Callable[[SomeCheck], SomeCheck]:
    """Register what is asked of the inputs of a kind, and of kinds whose specification is made from it.

    A package with a kind of its own does this in the module that its specification names in ``input_checks``.
    """

    def register(check: SomeCheck) -> SomeCheck:
        _CHECKS[spec] = check
        return check

    return register


def check_of(spec: type[JobSpec]) -> Check:
    """What is asked of the inputs of a kind; where nothing is registered, that they have what can be read."""
    if spec.input_checks:
        importlib.import_module(spec.input_checks)
    return next((_CHECKS[each] for each in spec.__mro__ if each in _CHECKS), inputs_are_there)


def inputs_are_there(spec: JobSpec, facts: InputFacts) -> Found:
    """The networks that a specification names have weights."""
    for path, info in walk_fields(type(spec)):
        run_id = value_at(spec, path) if held_by(info) else ""
        if run_id and facts.network(run_id) is not None:
            yield path, facts.missing_checkpoint(run_id)
