"""What is asked of specifications before a run exists: functions registered by kind, beside the kinds that need some.

A package with a kind of its own registers them in modules that its specification names in ``input_checks``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from difrob.inputs.facts import InputFacts
from difrob.specs import JobSpec, value_at, walk_fields
from difrob.specs.takes import held_by

Found = Iterator[tuple[str, str]]  # (field, a sentence or "")
Function = TypeVar("Function", bound=Callable[..., Any])
Registered = TypeVar("Registered", bound=Callable[..., Any])


class ByKind(Generic[Function]):
    """A function for each kind of job: ``@by_kind(CertifySpec)`` registers it, also for kinds made from that specification.

    Args:
        otherwise: for kinds for which there is none.
    """

    def __init__(self, otherwise: Function) -> None:
        self._otherwise = otherwise
        self._functions: dict[type[JobSpec], Function] = {}

    def __call__(self, spec: type[JobSpec]) -> Callable[[Registered], Registered]:
        def register(function: Registered) -> Registered:
            self._functions[spec] = function  # type: ignore[assignment]  # one for this specification alone
            return function

        return register

    def of(self, spec: type[JobSpec]) -> Function:
        """The function for a kind."""
        for module in spec.input_checks:
            importlib.import_module(module)
        return next((self._functions[each] for each in spec.__mro__ if each in self._functions), self._otherwise)


def inputs_are_there(spec: Any, facts: InputFacts) -> Found:
    """The networks that a specification names have weights."""
    for path, info in walk_fields(type(spec)):
        run_id = value_at(spec, path) if held_by(info) else ""
        if run_id and facts.network(run_id) is not None:
            yield path, facts.missing_checkpoint(run_id)


def no_remarks(spec: Any, asked: set[str], stated: set[str]) -> Iterable[str]:
    """Nothing to say."""
    return ()


# Whether the inputs of a run fit: (specification, facts) -> what each field lacks.
fits: ByKind[Callable[[Any, InputFacts], Found]] = ByKind(inputs_are_there)

# What does nothing, or nothing sensible, of the fields that a person named: (specification, fields that were asked for one
# by one, these and those of a preset) -> sentences. UserError where it cannot be meant.
remarks: ByKind[Callable[[Any, set[str], set[str]], Iterable[str]]] = ByKind(no_remarks)
