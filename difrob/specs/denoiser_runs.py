"""Runs that hold a diffusion model, whoever trained it, and what jobs that use one must know of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from difrob.specs.base import JobSpec
from difrob.specs.kinds import require_facts, require_holding
from difrob.specs.parts import DataSpec
from difrob.specs.takes import DENOISER


@runtime_checkable
class DenoiserRun(Protocol):
    """What the specification of a run that holds a diffusion model tells, whatever its kind.

    Where it is not a ``train_denoiser`` specification, the state of the run's checkpoints describes the network, as
    :func:`difrob.diffusion.described.described_denoiser` reads it.
    """

    @property
    def data(self) -> DataSpec:
        """What it learnt from."""
        ...

    @property
    def label_dropout(self) -> float:
        """Share of the classes that it was not told; above 0 it knows the null class."""
        ...


class HowTrained(DenoiserRun, Protocol):
    """How a denoiser was trained, as far as its users must know; a specification of ``train_denoiser`` tells it, too."""

    @property
    def class_conditional(self) -> bool:
        """Whether it was told the class."""
        ...


@dataclass(frozen=True)
class ImportedTraining:
    """What is known of the training of a model from elsewhere; see :class:`HowTrained`."""

    data: DataSpec
    class_conditional: bool
    label_dropout: float


def as_denoiser_run(spec: JobSpec | None) -> DenoiserRun | None:
    """The specification of a run that holds a diffusion model; None for any other."""
    return spec if spec is not None and spec.holds == DENOISER and isinstance(spec, DenoiserRun) else None


def denoiser_run(spec: JobSpec, run_id: str) -> DenoiserRun:
    """The specification of a run, which must hold a diffusion model.

    Raises:
        UserError: for a run of another kind.
    """
    require_holding(spec, run_id, DENOISER)
    return require_facts(as_denoiser_run(spec), spec)
