"""What a training is told about its settings in its log: they are allowed, but do nothing, or nothing sensible.

Each function gives one sentence, or "" where there is nothing to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from difrob.errors import UserError
from difrob.inputs.checks import remarks
from difrob.inputs.misfits import idle_mixture
from difrob.specs import AlignmentSpec, JobSpec, TrainClassifierSpec, TrainDenoiserSpec

FAMILIAR = 3.0  # standard deviations of ln sigma around its mean: 99.7 % of the levels of a training


def large_batch(images: int, training: int, *, is_real_part: bool = False) -> str:
    """What a batch is that holds more images than there are to learn from.

    Args:
        images: of a batch, or of the real part of it.
        training: how many training images there are.
        is_real_part: whether generated images may stand beside them.
    """
    if images <= training:
        return ""
    times = f"{images / training:.3g}"
    what = f"the real part of a batch, {images:,} images," if is_real_part else f"a batch of {images:,}"
    return f"{what} is {times} times the {training:,} training images: each image occurs about {times} times in it"


def idle_alignment(spec: AlignmentSpec) -> str:
    """What an alignment of weight 0 does."""
    if not spec.is_on or spec.weight > 0:
        return ""
    return (
        f"alignment.weight = {spec.weight:g}: the features of the teacher are computed at every step, but nothing is aligned "
        "with them; give a weight above 0, or set alignment.teacher = none"
    )


def unfamiliar_level(spec: AlignmentSpec, trained: JobSpec) -> str:
    """What features are worth at a noise level that the teacher has hardly seen.

    A DDPM has a schedule with ends, beyond which it refuses; random weights have seen nothing; of a model from elsewhere it
    is not known.

    Args:
        spec: part of the specification of the classifier's training.
        trained: specification of the run of ``spec.denoiser``.
    """
    if spec.teacher != "denoiser" or not isinstance(trained, TrainDenoiserSpec) or trained.parameterisation != "edm":
        return ""
    mean, spread = trained.log_sigma_mean, FAMILIAR * trained.log_sigma_std
    if abs(math.log(spec.sigma) - mean) <= spread:
        return ""
    low, high = _power(mean - spread), _power(mean + spread)
    return (
        f"alignment.sigma = {spec.sigma:g} is a noise level that denoiser '{spec.denoiser}' has hardly seen: 99.7 % of those "
        f"of its training lay between {low:.3g} and {high:.3g}; its features there may mean little"
    )


@remarks(TrainClassifierSpec)
def on_command(spec: TrainClassifierSpec, asked: set[str], stated: set[str]) -> Iterator[str]:
    """What a person who starts a training hears at once.

    Records and presets name a weight of the alignment in any case, so that only where it was asked for is it meant.

    Raises:
        UserError: for a weight of the alignment that was asked for, but that nothing is aligned by.
    """
    if "alignment.weight" in asked and not spec.alignment.is_on and spec.alignment.weight > 0:
        raise UserError(
            f"alignment.weight = {spec.alignment.weight:g} needs a teacher: set alignment.teacher and its run, "
            "alignment.denoiser or alignment.classifier"
        )
    if "generated_fraction" in stated and (idle := idle_mixture(spec)):
        yield idle


def _power(exponent: float) -> float:
    """e to this power, infinite where that is beyond all numbers."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf
