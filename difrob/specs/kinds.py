"""All kinds of job: difrob's own, each in a module of this package, and those that installed packages bring.

A package brings a kind by an entry point of the group ``difrob.kinds``: the name is the kind, the value is where its
specification stands, ``package.module:SpecClass``. Nothing else is to be told: supervisor, worker, command line, form and
window know the kind from its specification. That module is imported by all of them, so it must be as light as those here
and import neither torch nor numpy; what is heavy stands in the module of :attr:`~difrob.specs.base.JobSpec.job`.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeGuard, TypeVar

from pydantic.fields import FieldInfo

from difrob.errors import UserError
from difrob.specs.base import JobSpec, kind_of
from difrob.specs.takes import held_by

GROUP = "difrob.kinds"
Told = TypeVar("Told")


@dataclass(frozen=True)
class OutsideKind:
    """A kind that a package brings: its specification, or a sentence that says why it is left out."""

    kind: str
    package: str
    spec: type[JobSpec] | None
    problem: str = ""


class Kinds(Mapping[str, type[JobSpec]]):
    """Specifications by kind, in the order in which they are listed: difrob's own, then those of packages.

    Packages are asked when all kinds are wanted, or one that is not difrob's own; each process asks them once.
    """

    def __getitem__(self, kind: str) -> type[JobSpec]:
        return self._own[kind] if kind in self._own else self._brought[kind]

    def __contains__(self, kind: object) -> bool:
        return kind in self._own or kind in self._brought

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._brought

    def __len__(self) -> int:
        return len(self._own) + len(self._brought)

    @cached_property
    def _own(self) -> dict[str, type[JobSpec]]:
        folder = str(Path(__file__).parent)
        names = [f"{__package__}.{info.name}" for info in pkgutil.iter_modules([folder]) if not info.ispkg]
        found = [
            spec for name in names for spec in vars(importlib.import_module(name)).values() if _is_kind_of(spec, name)
        ]
        return {kind_of(spec): spec for spec in sorted(found, key=lambda spec: spec.place)}

    @cached_property
    def outside(self) -> tuple[OutsideKind, ...]:
        """The kinds that installed packages bring, usable or not, by place and name; those left out are told in the log."""
        try:
            entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
        except Exception as error:  # one damaged file among those of all installed packages is enough
            _log.warning("difrob knows no kinds of other packages: their entry points cannot be read (%s)", error)
            return ()
        found: dict[str, OutsideKind] = {}
        for entry in entries:
            known = found.get(entry.name)
            taken_by = "difrob itself" if entry.name in self._own else f"package {known.package}" if known else ""
            kind = _left_out(entry, f"there is one of this name by {taken_by}") if taken_by else _loaded(entry)
            found[f"{entry.name} again" if known else entry.name] = kind
        for kind in found.values():
            if kind.problem:
                _log.warning("difrob: %s; 'difrob doctor' lists the kinds of other packages", kind.problem)
        return tuple(sorted(found.values(), key=lambda each: each.spec.place if each.spec else 0))

    @cached_property
    def _brought(self) -> dict[str, type[JobSpec]]:
        return {each.kind: each.spec for each in self.outside if each.spec is not None}


KINDS = Kinds()

_log = logging.getLogger(__name__)


def kinds_holding(held: str) -> tuple[str, ...]:
    """The kinds whose runs hold this, e.g. :data:`difrob.specs.takes.CLASSIFIER`."""
    return tuple(kind for kind, spec in KINDS.items() if spec.holds == held)


def trains(kind: str) -> bool:
    """Whether something learns in runs of this kind; False for an unknown one."""
    return kind in KINDS and KINDS[kind].trains


def run_kinds(info: FieldInfo) -> tuple[str, ...]:
    """The kinds of run of which a field takes the id; empty for a field that names no run."""
    held = held_by(info)
    return kinds_holding(held) if held else ()


def require_holding(spec: JobSpec, run_id: str, held: str) -> None:
    """Raise UserError for a run that does not hold this, naming the kinds that do."""
    if spec.holds != held:
        needed = " or ".join(f"'{kind}'" for kind in kinds_holding(held))
        raise UserError(f"run '{run_id}' is of kind '{spec.kind}'; a run of kind {needed} is needed here")


def require_facts(told: Told | None, spec: JobSpec) -> Told:
    """What a specification tells of what its runs hold; UserError where a package's own kind tells too little."""
    if told is None:
        raise UserError(f"runs of kind '{spec.kind}' hold a {spec.holds}, but their specification does not describe it")
    return told


def _is_kind_of(value: object, module: str) -> TypeGuard[type[JobSpec]]:
    """Whether a module declares this as the specification of a kind."""
    if not isinstance(value, type) or not issubclass(value, JobSpec) or value.__module__ != module:
        return False
    return isinstance(value.model_fields["kind"].default, str)


def _loaded(entry: EntryPoint) -> OutsideKind:
    """The kind of an entry point, whatever its package does while it is imported."""
    was_light = "torch" not in sys.modules
    try:
        spec = entry.load()
    except Exception as error:
        return _left_out(
            entry, f"its specification '{entry.value}' cannot be imported ({type(error).__name__}: {error})"
        )
    if not isinstance(spec, type) or not issubclass(spec, JobSpec):
        return _left_out(entry, f"'{entry.value}' is no difrob.specs.JobSpec")
    if kind_of(spec) != entry.name:
        return _left_out(entry, f"its specification '{entry.value}' calls itself '{kind_of(spec)}'")
    if not spec.job:
        return _left_out(entry, f"its specification '{entry.value}' names no function in 'job'")
    if was_light and "torch" in sys.modules:
        why = f"importing its specification '{entry.value}' imports torch, which belongs into the module of its 'job'"
        return _left_out(entry, why)
    return OutsideKind(entry.name, _package_of(entry), spec)


def _left_out(entry: EntryPoint, why: str) -> OutsideKind:
    package = _package_of(entry)
    return OutsideKind(entry.name, package, None, f"the kind '{entry.name}' of package {package} is left out: {why}")


def _package_of(entry: EntryPoint) -> str:
    """Name and version of the package that an entry point is from."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "of unknown name"
