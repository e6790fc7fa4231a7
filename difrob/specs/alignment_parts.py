"""Part of the specification of a classifier's training: features of a frozen network that its own shall agree with."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import Spec, parameter
from difrob.specs.takes import CLASSIFIER, DENOISER, run_holding

HUANG = "Huang et al. 2026"
TAUGHT = ("denoiser", "random", "classifier")
BY_DENOISER = ("denoiser", "random")


class AlignmentSpec(Spec):
    """Diffusion representation alignment: the student's features, through a small head, predict those of a teacher."""

    folded = True

    teacher: Literal["none", "denoiser", "random", "classifier"] = parameter(
        "none", "denoiser: a block of a trained diffusion model. Controls: random, the same architecture with random "
        "weights; classifier, the penultimate features of a trained classifier.", group="Alignment", source=HUANG,
    )  # fmt: skip
    denoiser: str | None = parameter(
        None, "The diffusion model whose features (or, for a random teacher, whose architecture) are taken.",
        group="Alignment", takes=run_holding(DENOISER), shown_when={"teacher": BY_DENOISER},
    )  # fmt: skip
    classifier: str | None = parameter(
        None, "The classifier whose features are taken; its best weights.", group="Alignment",
        takes=run_holding(CLASSIFIER), shown_when={"teacher": ("classifier",)},
    )  # fmt: skip
    block: str = parameter(
        "", "Inner block of the diffusion network, e.g. block2 or middle.",
        group="Alignment", empty_means="the one in the middle of its depth", shown_when={"teacher": BY_DENOISER}, max_length=40,
    )  # fmt: skip
    sigma: float = parameter(
        0.3, "Noise level at which the teacher works; of noise on [0,1] images it would be half of this.",
        unit="[-1,1] range", group="Alignment", shown_when={"teacher": BY_DENOISER}, gt=0, le=1000,
        source=f"{HUANG}: one fixed level, not named; to be swept",
    )  # fmt: skip
    weight: float = parameter(
        1.0,
        "lambda, the weight of the term 1 - cosine.",
        group="Alignment",
        shown_when={"teacher": TAUGHT},
        ge=0,
        le=1000,
    )
    student: Literal["adversarial", "clean", "both"] = parameter(
        "adversarial", "Whose features are aligned: those of the attacked (or noisy) image, of the clean one, or both, "
        "averaged. The teacher always sees the clean one.", group="Alignment", shown_when={"teacher": TAUGHT},
    )  # fmt: skip
    targets: Literal["own", "shuffled"] = parameter(
        "own", "shuffled: each image gets the target of another one of its batch, anew at every step; a control.",
        group="Alignment", shown_when={"teacher": TAUGHT},
    )  # fmt: skip
    noise: Literal["step", "image", "none"] = parameter(
        "step", "Noise in the teacher's input. step: fresh at every step. image: always the same for an image. none: the "
        "clean image, though the level is told. Without fresh noise and augmentation, targets are computed only once.",
        group="Alignment", shown_when={"teacher": BY_DENOISER}, advanced=True,
    )  # fmt: skip
    head_layers: int = parameter(
        2, "Linear layers of the projection head, with SiLU between them.", unit="layers", group="Alignment",
        shown_when={"teacher": TAUGHT}, advanced=True, ge=1, le=4,
    )  # fmt: skip
    head_width: int | None = parameter(
        None, "Width of its hidden layers.", unit="units", group="Alignment",
        empty_means="twice the width of the teacher's features", shown_when={"teacher": TAUGHT}, advanced=True, ge=1, le=16384,
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_a_teacher(self) -> AlignmentSpec:
        if self.teacher in BY_DENOISER and not self.denoiser:
            raise ValueError(
                f"teacher = {self.teacher} needs a run in 'denoiser'; choose a diffusion model, or teacher = none"
            )
        if self.teacher == "classifier" and not self.classifier:
            raise ValueError("teacher = classifier needs a run in 'classifier'; choose one, or teacher = none")
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is a teacher at all."""
        return self.teacher != "none"
