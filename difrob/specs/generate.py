"""Specification of ``generate``: labelled images from a trained denoiser."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, parameter
from difrob.specs.diffusion_parts import SelectionSpec, TrajectoryAttackSpec
from difrob.specs.takes import DENOISER, LABELLED_IMAGES, run_holding


class GenerateSpec(JobSpec):
    """Draw a labelled set; the label of an image is the class it was conditioned on (Wang et al. 2023, section 3)."""

    noun = "Generated set"
    title = "Generate labelled images"
    summary = "Sample a class-balanced labelled set from a trained diffusion model, ready for training."

    icon = "sparkles"
    place = 20
    job = "difrob.jobs.generate:run"
    holds = LABELLED_IMAGES

    kind: Literal["generate"] = "generate"
    denoiser: str = parameter(
        ..., "The training run whose averaged weights generate.", group="Inputs",
        takes=run_holding(DENOISER), min_length=1,
    )  # fmt: skip
    images: int = parameter(
        5000, "How many images the set shall have.", unit="images", group="Sampling", other_names=("num_samples", "n_images"),
        ge=1,
    )  # fmt: skip
    labels: Literal["condition", "judge"] = parameter(
        "condition", "condition: the class that the image was conditioned on. judge: what the classifier "
        "selection.judge says, for models without classes.", group="Sampling", advanced=True,
        source="Wang et al. 2023: conditional models do better than pseudo-labels",
    )  # fmt: skip
    class_weights: tuple[float, ...] = parameter(
        (), "Shares of the classes, one number each.", group="Sampling", empty_means="as many of each", advanced=True,
        max_length=10_000,
    )  # fmt: skip
    sampler: Literal["heun", "euler", "ddim", "ddpm", "dpm_solver_2m"] = parameter(
        "heun", "heun: EDM, second order, 2N - 1 calls. dpm_solver_2m: second order, N calls. euler, ddim: first order. "
        "ddpm: ancestral, for many steps.", group="Sampling",
        source="Karras et al. 2022, algorithms 1 and 2; Lu et al. 2022, algorithm 2; Song et al. 2021; Ho et al. 2020",
    )  # fmt: skip
    sampling_steps: int = parameter(
        18, "Steps N of the sampler.", unit="steps", group="Sampling", ge=1, le=100_000,
        source="Karras et al. 2022, algorithm 1",
    )  # fmt: skip
    grid: Literal["auto", "karras", "schedule"] = parameter(
        "auto", "Noise levels: karras (rho), or those of a DDPM's own schedule. auto: what the model was trained for.",
        group="Sampling", advanced=True,
    )  # fmt: skip
    sigma_min: float = parameter(
        0.002, "Smallest noise level.", unit="[-1,1] range", group="Sampling", gt=0, advanced=True,
        source="Karras et al. 2022, table 1",
    )  # fmt: skip
    sigma_max: float = parameter(
        80.0, "Largest noise level.", unit="[-1,1] range", group="Sampling", gt=0, advanced=True,
        source="Karras et al. 2022, table 1",
    )  # fmt: skip
    rho: float = parameter(
        7.0, "Curvature of the noise schedule.", group="Sampling", gt=0, advanced=True,
        source="Karras et al. 2022, equation 5",
    )  # fmt: skip
    churn: float = parameter(
        0.0, "S_churn, noise that Heun adds and removes again; 0 for none.", group="Sampling", advanced=True, ge=0,
        shown_when={"sampler": ("heun",)}, source="Karras et al. 2022, algorithm 2",
    )  # fmt: skip
    churn_noise: float = parameter(
        1.0, "S_noise, standard deviation of that noise.", group="Sampling", advanced=True, gt=0,
        shown_when={"sampler": ("heun",)}, source="Karras et al. 2022, algorithm 2",
    )  # fmt: skip
    eta: float = parameter(
        0.0, "Share of fresh noise in DDIM: 0 is deterministic, 1 ancestral.", group="Sampling", advanced=True, ge=0, le=1,
        shown_when={"sampler": ("ddim",)}, source="Song et al. 2021, equation 16",
    )  # fmt: skip
    clip: bool = parameter(
        False, "Clip every denoised estimate to the range of images.", group="Sampling", advanced=True,
        source="Ho et al. 2020",
    )  # fmt: skip
    guidance_scale: float = parameter(
        1.0, "1: plain conditional sampling. Above 1: classifier-free guidance, which doubles the network calls.",
        group="Sampling", other_names=("cfg",), ge=0, le=20, source="Ho & Salimans 2022, equation 6",
    )  # fmt: skip
    selection: SelectionSpec = SelectionSpec()
    attack: TrajectoryAttackSpec = TrajectoryAttackSpec()
    batch_size: int = parameter(
        500,
        "Images sampled at once; results do not depend on it.",
        unit="images",
        group="Sampling",
        other_names=("bs",),
        ge=1,
        advanced=True,
    )

    @model_validator(mode="after")
    def _fits_together(self) -> GenerateSpec:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min} must lie below sigma_max = {self.sigma_max}")
        if any(weight < 0 for weight in self.class_weights) or (self.class_weights and not sum(self.class_weights)):
            raise ValueError(f"class_weights = {self.class_weights}: none may be negative, and not all 0")
        if self.selection.keep_share < 1 and not self.selection.judge:
            raise ValueError("selection.keep_share below 1 needs selection.judge, the classifier that chooses")
        if self.labels == "judge" and not self.selection.judge:
            raise ValueError("labels = judge needs selection.judge, the classifier that labels")
        if self.labels == "judge" and self.selection.keep_share < 1:
            raise ValueError("a selection by the probability of the label needs labels = condition")
        if self.grid != "schedule" and self.sampling_steps == 1 and self.sampler == "ddpm":
            raise ValueError("ancestral sampling needs more than one step")
        return self
