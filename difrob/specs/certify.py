"""Specification of ``certify``: randomised smoothing, with or without one-shot denoising."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, parameter
from difrob.specs.evaluate import Split, Weights

COHEN = "Cohen et al. 2019"


class CertifySpec(JobSpec):
    """Certified l2 radii by the two-stage procedure of Cohen et al. 2019."""

    title = "Certify by randomised smoothing"
    summary = "Certified l2 radii of the smoothed classifier, optionally with one-shot diffusion denoising."

    kind: Literal["certify"] = "certify"
    classifier: str = parameter(
        ..., "The training run whose averaged weights are smoothed.", group="Inputs", run_kinds=("train_classifier",),
        min_length=1,
    )  # fmt: skip
    weights: Weights = parameter("best", "Best checkpoint on validation, or the last one.", group="Inputs")
    denoiser: str | None = parameter(
        None, "A diffusion model put in front of the classifier; empty for plain smoothing.", group="Inputs",
        run_kinds=("train_denoiser", "import_denoiser"), source="Carlini et al. 2023",
    )  # fmt: skip
    sigma: float = parameter(
        0.25, "Standard deviation of the smoothing noise. In the diffusion range [-1,1] it is twice this value.",
        unit="[0,1] intensity", group="Smoothing", gt=0, le=10,
    )  # fmt: skip
    n0: int = parameter(100, "Draws that choose the candidate class.", unit="draws", group="Smoothing", ge=1,
                        source=f"{COHEN}, section 3.2.2")  # fmt: skip
    n: int = parameter(1000, "Independent draws that bound its probability; they limit the largest radius.",
                       unit="draws", group="Smoothing", ge=1, source=f"{COHEN}, section 3.2.2")  # fmt: skip
    alpha: float = parameter(0.001, "Probability that a certificate is wrong.", group="Smoothing", gt=0, lt=0.5,
                             source=f"{COHEN}, section 3.2.2")  # fmt: skip
    split: Split = parameter("test", "Which images are certified.", group="Data")
    images: int | None = parameter(
        None, "How many images of the split; empty for all.", unit="images", group="Data", ge=1
    )
    batch_size: int = parameter(1000, "Noisy copies classified at once; counts do not depend on it.", unit="draws",
                                group="Smoothing", ge=1, advanced=True)  # fmt: skip
    largest_radius: float | None = parameter(
        None, "Right end of the radius axis; empty for the largest radius that n and alpha can certify.",
        unit="[0,1] intensity, l2", group="Recording", gt=0, advanced=True,
    )  # fmt: skip

    @model_validator(mode="after")
    def _can_certify_something(self) -> CertifySpec:
        if self.alpha ** (1 / self.n) <= 0.5:
            raise ValueError(
                f"n = {self.n} draws cannot certify any radius at alpha = {self.alpha}: "
                "even if all agree, the lower bound stays below one half; raise n"
            )
        return self
