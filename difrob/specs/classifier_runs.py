"""Runs that hold a classifier, whatever made it, and what jobs that use one must know of its training."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from difrob.specs.base import JobSpec
from difrob.specs.kinds import require_facts, require_holding
from difrob.specs.parts import AttackSpec, DataSpec
from difrob.specs.takes import CLASSIFIER
from difrob.specs.train_classifier import ClassifierNetworkSpec


@runtime_checkable
class ClassifierRun(Protocol):
    """What the specification of a run that holds a classifier tells, whatever its kind.

    The run's checkpoints hold the weights under ``average``, and in their state ``image_shape`` and ``num_classes``.
    """

    @property
    def data(self) -> DataSpec:
        """What it learnt from."""
        ...

    @property
    def network(self) -> ClassifierNetworkSpec:
        """How it is built."""
        ...

    @property
    def objective(self) -> str:
        """What it minimised; ``gaussian`` for one that learnt under Gaussian noise."""
        ...

    @property
    def is_adversarial(self) -> bool:
        """Whether it was attacked while it learnt."""
        ...

    @property
    def attack(self) -> AttackSpec:
        """By what, if so."""
        ...


def as_classifier_run(spec: JobSpec | None) -> ClassifierRun | None:
    """The specification of a run that holds a classifier; None for any other."""
    return spec if spec is not None and spec.holds == CLASSIFIER and isinstance(spec, ClassifierRun) else None


def classifier_run(spec: JobSpec, run_id: str) -> ClassifierRun:
    """The specification of a run, which must hold a classifier.

    Raises:
        UserError: for a run of another kind.
    """
    require_holding(spec, run_id, CLASSIFIER)
    return require_facts(as_classifier_run(spec), spec)
