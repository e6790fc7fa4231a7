"""Specification of ``certify``: randomised smoothing, with or without one-shot denoising."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, parameter
from difrob.specs.evaluate import Split, Weights
from difrob.specs.takes import CLASSIFIER, DENOISER, run_holding

COHEN = "Cohen et al. 2019"


class CertifySpec(JobSpec):
    """Certified l2 radii by the two-stage procedure of Cohen et al. 2019."""

    noun = "Certification"
    title = "Certify by randomised smoothing"
    summary = "Certified l2 radii of the smoothed classifier, optionally with one-shot diffusion denoising."

    icon = "certificate"
    place = 50
    job = "difrob.jobs.certify:run"

    kind: Literal["certify"] = "certify"
    classifier: str = parameter(
        ..., "The training run whose averaged weights are smoothed.", group="Inputs", takes=run_holding(CLASSIFIER),
        min_length=1,
    )  # fmt: skip
    weights: Weights = parameter("best", "Best checkpoint on validation, or the last one.", group="Inputs")
    denoiser: str | None = parameter(
        None, "A diffusion model put in front of the classifier.", group="Inputs", takes=run_holding(DENOISER),
        empty_means="plain smoothing", source="Carlini et al. 2023",
    )  # fmt: skip
    sigma: float = parameter(
        0.25, "Standard deviation of the smoothing noise. In the diffusion range [-1,1] it is twice this value.",
        unit="[0,1] intensity", group="Smoothing", condition="sigma", gt=0, le=10,
    )  # fmt: skip
    n0: int = parameter(100, "Draws that choose the candidate class.", unit="draws", group="Smoothing", condition="n0", ge=1,
                        source=f"{COHEN}, section 3.2.2")  # fmt: skip
    n: int = parameter(1000, "Independent draws that bound its probability; they limit the largest radius.",
                       unit="draws", group="Smoothing", condition="n", ge=1,
                       source=f"{COHEN}, section 3.2.2")  # fmt: skip
    alpha: float = parameter(0.001, "Probability that a certificate is wrong.", group="Smoothing", condition="alpha",
                             gt=0, lt=0.5, source=f"{COHEN}, section 3.2.2")  # fmt: skip
    split: Split = parameter("test", "Which images are certified.", group="Data", condition="split")
    images: int | None = parameter(
        None, "How many images of the split.", unit="images", group="Data", empty_means="all", condition="images",
        other_names=("n_images", "num_samples"), ge=1,
    )  # fmt: skip
    batch_size: int = parameter(1000, "Noisy copies classified at once; counts do not depend on it.", unit="draws",
                                group="Smoothing", ge=1, advanced=True)  # fmt: skip
    largest_radius: float | None = parameter(
        None, "Right end of the radius axis.", unit="[0,1] intensity, l2", group="Recording",
        empty_means="the largest radius that n and alpha can certify", gt=0, advanced=True,
    )  # fmt: skip

    @model_validator(mode="after")
    def _can_certify_something(self) -> CertifySpec:
        if self.alpha ** (1 / self.n) <= 0.5:
            raise ValueError(
                f"n = {self.n} draws cannot certify any radius at alpha = {self.alpha}: "
                "even if all agree, the lower bound stays below one half; raise n"
            )
        return self
