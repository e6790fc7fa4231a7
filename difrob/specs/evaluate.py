"""Specification of ``evaluate``: accuracy on clean images, under a union of attacks, and under common corruptions."""

from __future__ import annotations

from typing import Literal

from difrob.specs.base import JobSpec, parameter, part
from difrob.specs.parts import MEASURING_ATTACK, AttackSpec
from difrob.specs.takes import CLASSIFIER, data_set_of, run_holding

Weights = Literal["best", "last"]
Split = Literal["test", "validation", "train"]


class EvaluateSpec(JobSpec):
    """Accuracy of a classifier on clean, on attacked and on corrupted images."""

    noun = "Evaluation"
    title = "Evaluate under attack"
    summary = "Clean accuracy, PGD with cross-entropy and margin loss and restarts, and the union of them; common corruptions."

    icon = "target"
    place = 40
    job = "difrob.jobs.evaluate:run"

    kind: Literal["evaluate"] = "evaluate"
    classifier: str = parameter(
        ..., "The training run whose averaged weights are attacked.", group="Inputs", takes=run_holding(CLASSIFIER),
        min_length=1,
    )  # fmt: skip
    weights: Weights = parameter("best", "Best checkpoint on validation, or the last one.", group="Inputs")
    split: Split = parameter("test", "Which images are attacked.", group="Data", condition="split")
    images: int | None = parameter(
        None, "How many images of the split.", unit="images", group="Data", empty_means="all", condition="images",
        other_names=("n_images", "num_samples"), ge=1,
    )  # fmt: skip
    attack: AttackSpec = part(AttackSpec(steps=40), **MEASURING_ATTACK)
    losses: tuple[Literal["cross_entropy", "margin"], ...] = parameter(
        ("cross_entropy", "margin"), "Losses that the attack climbs, each on all images; the union counts.",
        group="Attack", condition="attack losses", min_length=1, max_length=2,
    )  # fmt: skip
    restarts: int = parameter(
        2, "Random starts per loss.", unit="restarts", group="Attack", condition="restarts", ge=1, le=100
    )
    eps_grid: tuple[float, ...] = parameter(
        (), "Further radii for the curve of robust accuracy against eps (one restart each).",
        unit="[0,1] intensity", group="Attack", empty_means="none", max_length=32,
    )  # fmt: skip
    corruptions: str | None = parameter(
        None, "Data set of corrupted test images, such as cifar10-c, on which unattacked accuracy is measured for each "
        "corruption and severity.", group="Corruptions", takes=data_set_of("corruptions"), empty_means="none", max_length=64,
        source="Hendrycks & Dietterich 2019",
    )  # fmt: skip
    corruption_images: int | None = parameter(
        None, "How many images of each corruption and severity, the first ones.", unit="images", group="Corruptions",
        empty_means="all", ge=1,
    )  # fmt: skip
    corruption_extras: bool = parameter(
        False, "Count the four corruptions that the authors keep for development, too: Gaussian blur, saturate, spatter and "
        "speckle noise. Published means leave them out.", group="Corruptions", advanced=True,
        source="Hendrycks & Dietterich 2019",
    )  # fmt: skip
    sanity_checks: bool = parameter(
        True, "Check for gradient masking: more steps must not be weaker, a huge radius must reach zero.",
        group="Attack", source="Carlini et al. 2019, section 5",
    )  # fmt: skip
    batch_size: int = parameter(256, "Images attacked at once; verdicts do not depend on it.", unit="images", group="Attack",
                                ge=1, advanced=True)  # fmt: skip
