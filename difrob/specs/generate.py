"""Specification of ``generate``: labelled images from a trained denoiser."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, parameter


class GenerateSpec(JobSpec):
    """Draw a labelled set; the label of an image is the class it was conditioned on (Wang et al. 2023, section 3)."""

    title = "Generate labelled images"
    summary = "Sample a class-balanced labelled set from a trained diffusion model, ready for training."

    kind: Literal["generate"] = "generate"
    denoiser: str = parameter(
        ..., "The training run whose averaged weights generate.", group="Inputs", run_kinds=("train_denoiser",),
        min_length=1,
    )  # fmt: skip
    images: int = parameter(
        5000, "How many images, spread evenly over the classes.", unit="images", group="Sampling", ge=1
    )
    sampling_steps: int = parameter(
        18, "Heun steps N; the network is called 2N - 1 times per image.", unit="steps", group="Sampling", ge=2, le=1000,
        source="Karras et al. 2022, algorithm 1",
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
    guidance_scale: float = parameter(
        1.0, "1: plain conditional sampling. Above 1: classifier-free guidance, which doubles the network calls.",
        group="Sampling", ge=0, le=20, source="Ho & Salimans 2022, equation 6",
    )  # fmt: skip
    batch_size: int = parameter(
        500,
        "Images sampled at once; results do not depend on it.",
        unit="images",
        group="Sampling",
        ge=1,
        advanced=True,
    )

    @model_validator(mode="after")
    def _sigmas_in_order(self) -> GenerateSpec:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min} must lie below sigma_max = {self.sigma_max}")
        return self
