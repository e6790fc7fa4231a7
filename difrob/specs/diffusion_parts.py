"""Parts of the specification of a diffusion model's training: what spoils its data, what regularises it."""

from __future__ import annotations

from typing import Literal

from difrob.specs.base import Spec, parameter
from difrob.specs.takes import CLASSIFIER, data_set_of, run_holding

BRIGLIA = "Briglia et al. 2026"
SPOILED = ("gaussian", "outliers", "patches")
REGULARISED = ("equivariance", "invariance")


class CorruptionSpec(Spec):
    """How the training images are spoiled, once and for all, before the model sees them; it is never told."""

    folded = True

    kind: Literal["none", "gaussian", "outliers", "patches"] = parameter(
        "none", "gaussian: noise is added. outliers: images of another data set under wrong labels. patches: a square is "
        "missing.", group="Corruption", source=f"{BRIGLIA}, corrupted training sets",
    )  # fmt: skip
    share: float = parameter(
        0.9,
        "Share of the training images that are touched.",
        group="Corruption",
        shown_when={"kind": SPOILED},
        ge=0,
        le=1,
    )
    sigma: float = parameter(
        0.2, "Standard deviation of the noise; in the points' own unit for toy data.", unit="[0,1] intensity",
        group="Corruption", shown_when={"kind": ("gaussian",)}, ge=0, le=100,
    )  # fmt: skip
    patch: int = parameter(
        3, "Side of the missing square.", unit="pixels", group="Corruption", shown_when={"kind": ("patches",)}, ge=1
    )
    fill: float = parameter(
        0.0, "Intensity that a missing square gets.", unit="[0,1] intensity", group="Corruption",
        shown_when={"kind": ("patches",)}, ge=0, le=1,
    )  # fmt: skip
    outliers: str = parameter(
        "", "Data set that outliers are taken from; its images must have the same size.", group="Corruption",
        takes=data_set_of("images"), shown_when={"kind": ("outliers",)}, max_length=80,
    )  # fmt: skip
    clip: bool = parameter(
        True, "Keep spoiled images in [0,1] and store them as bytes, like real files.", group="Corruption",
        shown_when={"kind": SPOILED}, advanced=True,
    )  # fmt: skip
    seed: int = parameter(
        0, "Fixes which images are touched, and how.", group="Corruption", shown_when={"kind": SPOILED}, advanced=True,
        ge=0, le=2**31 - 1,
    )  # fmt: skip


class RegulariserSpec(Spec):
    """Adversarial training of the diffusion model: its noise prediction has to follow a perturbation of the noise."""

    folded = True

    constraint: Literal["none", "equivariance", "invariance"] = parameter(
        "none", "equivariance: the predicted noise follows the perturbation. invariance: it stays as it is, the control "
        "that is expected to fail.", group="Regulariser", source=f"{BRIGLIA}, method",
    )  # fmt: skip
    perturbation: Literal["adversarial", "sign", "uniform"] = parameter(
        "adversarial", "adversarial: one sign step from a uniform start. sign: random corners of the same box, the fair "
        "control. uniform: anywhere in the box.", group="Regulariser", shown_when={"constraint": REGULARISED}, source=BRIGLIA,
    )  # fmt: skip
    strength: float = parameter(
        0.3, "lambda, the weight of the penalty.", group="Regulariser", shown_when={"constraint": REGULARISED}, ge=0,
        le=1000, source=f"{BRIGLIA}: 0.3",
    )  # fmt: skip
    radius_form: Literal["shifted", "scaled"] = parameter(
        "shifted", "shifted: smallest + w b^exponent, w uniform. scaled: beta b^exponent, beta uniform above smallest. "
        "The paper's exact formula is not known.", group="Regulariser", shown_when={"constraint": REGULARISED},
        advanced=True,
    )  # fmt: skip
    radius_smallest: float = parameter(
        8 / 255, "Lower bound of the radius (or of beta).", unit="of the noise", group="Regulariser",
        shown_when={"constraint": REGULARISED}, advanced=True, gt=0, le=1, source=f"{BRIGLIA}: 8/255",
    )  # fmt: skip
    radius_exponent: float = parameter(
        2.0, "Exponent of the noise coefficient b in the radius.", group="Regulariser",
        shown_when={"constraint": REGULARISED}, advanced=True, ge=0, le=10, source=f"{BRIGLIA}: 2",
    )  # fmt: skip
    step_share: float = parameter(
        2.0, "Length of the adversary's step as a share of the radius; from 2 on it ends in a corner of the box.",
        group="Regulariser", shown_when={"constraint": REGULARISED, "perturbation": ("adversarial",)}, advanced=True, gt=0,
        le=10,
    )  # fmt: skip
    goal: Literal["noise_prediction", "equivariance_error"] = parameter(
        "noise_prediction", "What the adversary climbs. noise_prediction: the change of the prediction, as published; it "
        "contains the length of the perturbation itself. equivariance_error: the penalty.", group="Regulariser",
        shown_when={"constraint": REGULARISED, "perturbation": ("adversarial",)}, advanced=True,
    )  # fmt: skip
    detach_clean: bool = parameter(
        False, "Treat the clean prediction in the penalty as a constant.", group="Regulariser",
        shown_when={"constraint": REGULARISED}, advanced=True,
    )  # fmt: skip
    from_step: int = parameter(
        0, "First step that is regularised; a late one fine-tunes a plainly trained model.", unit="steps",
        group="Regulariser", shown_when={"constraint": REGULARISED}, ge=0, source=f"{BRIGLIA}: the last 100 epochs on CelebA",
    )  # fmt: skip


class TrajectoryAttackSpec(Spec):
    """An attack on the sampling itself: states on the way are pushed where the noise prediction changes most."""

    folded = True

    kappa: float = parameter(
        0.0, "Radius of the attack as a multiple of the largest one of training; 0 for no attack.", group="Sampling attack",
        ge=0, le=100, source=BRIGLIA,
    )  # fmt: skip
    direction: Literal["ascent", "sign", "uniform"] = parameter(
        "ascent", "ascent climbs. sign and uniform are random controls of the same radius.", group="Sampling attack",
        advanced=True,
    )  # fmt: skip
    steps: int = parameter(
        5, "Ascent steps per attacked state.", unit="steps", group="Sampling attack", advanced=True, ge=1
    )
    sigma_low: float = parameter(
        0.0, "Lowest noise level that is attacked.", unit="[-1,1] range", group="Sampling attack", advanced=True, ge=0
    )
    sigma_high: float = parameter(
        1e9, "Highest noise level that is attacked.", unit="[-1,1] range", group="Sampling attack", advanced=True, gt=0
    )
    every: int = parameter(
        1, "Of the states between these levels, every so-many-th.", group="Sampling attack", advanced=True, ge=1
    )


class SelectionSpec(Spec):
    """Over-generation: more images are drawn than kept. Repeated and remembered ones can be dropped, and a classifier's
    confidence in their label chooses among the others."""

    folded = True

    keep_share: float = parameter(
        1.0, "Share of the drawn images that is kept; 1 keeps all, 0.2 draws five times as many.", group="Selection", gt=0,
        le=1, source="Wang et al. 2023, released code: the top 20 % per class",
    )  # fmt: skip
    judge: str | None = parameter(
        None, "The classifier whose probability of the label is the score.", group="Selection",
        takes=run_holding(CLASSIFIER),
    )  # fmt: skip
    duplicates: Literal["keep", "exact", "near"] = parameter(
        "keep", "keep: images are taken as they are drawn. exact: one with the same pixels as an earlier image of the set is "
        "dropped, and another one drawn for it. near: also one that differs little from an earlier image.",
        group="Selection",
    )  # fmt: skip
    near_distance: float = parameter(
        0.05, "An image is a near duplicate when the root mean square difference of its pixels to an earlier image is below "
        "this. 1/255 is one grey level; different photographs of one kind are some 0.2 apart.", unit="[0,1] intensity",
        group="Selection", gt=0, le=1, shown_when={"duplicates": ("near",)},
    )  # fmt: skip
    memories: Literal["keep", "drop"] = parameter(
        "keep", "drop: an image at less than a third of the distance to its nearest training image than to the second "
        "nearest is a memory of that one; it is dropped, and another one drawn for it.", group="Selection",
        source="Yoon et al. 2023",
    )  # fmt: skip
    most_candidates: float = parameter(
        4.0, "At most so many times the wanted images are drawn to replace dropped ones; then the set stays smaller.",
        group="Selection", ge=1, le=1000, advanced=True,
    )  # fmt: skip

    @property
    def drops(self) -> bool:
        """Whether an image may be dropped for what it repeats."""
        return self.duplicates != "keep" or self.memories == "drop"
