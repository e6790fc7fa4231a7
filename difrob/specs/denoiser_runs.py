"""Runs that hold a diffusion model, whoever trained it, and what jobs that use one must know of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from difrob.errors import UserError
from difrob.specs.base import JobSpec
from difrob.specs.import_denoiser import ImportDenoiserSpec
from difrob.specs.parts import DataSpec
from difrob.specs.train_denoiser import TrainDenoiserSpec


class HowTrained(Protocol):
    """How a denoiser was trained, as far as its users must know; a specification of ``train_denoiser`` tells it, too."""

    @property
    def data(self) -> DataSpec:
        """What it learnt from."""
        ...

    @property
    def class_conditional(self) -> bool:
        """Whether it was told the class."""
        ...

    @property
    def label_dropout(self) -> float:
        """Share of the classes that it was not told; above 0 it knows the null class."""
        ...


@dataclass(frozen=True)
class ImportedTraining:
    """What is known of the training of a model from elsewhere; see :class:`HowTrained`."""

    data: DataSpec
    class_conditional: bool
    label_dropout: float


def denoiser_spec(spec: JobSpec, run_id: str) -> TrainDenoiserSpec | ImportDenoiserSpec:
    """The specification of a run, which must hold a diffusion model.

    Raises:
        UserError: for a run of another kind.
    """
    if not isinstance(spec, TrainDenoiserSpec | ImportDenoiserSpec):
        raise UserError(
            f"run '{run_id}' is of kind '{spec.kind}'; a run of kind 'train_denoiser' is needed here, or one of kind "
            "'import_denoiser'"
        )
    return spec
