"""Specification of ``train_denoiser``: a diffusion model, trained plainly or adversarially, on clean or spoiled data."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, Spec, parameter, part
from difrob.specs.diffusion_parts import CorruptionSpec, RegulariserSpec
from difrob.specs.parts import ComputeSpec, DataSpec, MemorySpec
from difrob.specs.takes import DENOISER, data_set_of


class DenoiserNetworkSpec(Spec):
    """The raw network F inside the EDM preconditioning."""

    architecture: Literal["residual_mlp", "straight_mlp", "unet2d"] = parameter(
        "residual_mlp",
        "residual_mlp: small network for 8x8 images under EDM. straight_mlp: with a straight path around the blocks, for "
        "points and for DDPM. unet2d: the U-Net of diffusers, for any image size.",
        group="Network",
    )
    unet_size: Literal["custom", "cifar_36m", "cifar_53m", "cifar_54m"] = parameter(
        "custom", "A published size for 32x32 images, or custom: the fields below.", group="Network",
        shown_when={"architecture": ("unet2d",)},
        source="Ho et al. 2020, appendix B; Nichol & Dhariwal 2021, section 3; Karras et al. 2022, table 7",
    )  # fmt: skip
    width: int = parameter(
        256,
        "Hidden width.",
        unit="units",
        group="Network",
        shown_when={"architecture": ("residual_mlp", "straight_mlp")},
        ge=8,
        le=8192,
    )
    blocks: int = parameter(
        5,
        "Residual blocks.",
        group="Network",
        shown_when={"architecture": ("residual_mlp", "straight_mlp")},
        ge=1,
        le=64,
    )
    channels: tuple[int, ...] = parameter(
        (32, 64),
        "Channels per resolution level; the image size must be divisible by patch * 2^(levels - 1).",
        group="Network",
        shown_when={"architecture": ("unet2d",), "unet_size": ("custom",)},
        min_length=1,
        max_length=6,
    )
    patch: int = parameter(
        1, "Edge of the squares of pixels that the network sees as channels; 2 or 4 make it several times faster.",
        unit="pixels", group="Network", shown_when={"architecture": ("unet2d",), "unet_size": ("custom",)}, ge=1, le=32,
        source="Luhman & Luhman 2022, section 3",
    )  # fmt: skip
    layers_per_block: int = parameter(
        1,
        "Residual layers per level.",
        group="Network",
        shown_when={"architecture": ("unet2d",), "unet_size": ("custom",)},
        ge=1,
        le=8,
    )
    attention: bool = parameter(
        False,
        "Self-attention at the lowest resolution.",
        group="Network",
        shown_when={"architecture": ("unet2d",), "unet_size": ("custom",)},
    )
    dropout: float = parameter(
        0.1, "Dropout inside the blocks; holds back memorising.", group="Network", advanced=True, ge=0, lt=1
    )

    @model_validator(mode="after")
    def _channels_are_groups(self) -> DenoiserNetworkSpec:
        if any(channels <= 0 or channels % 8 for channels in self.channels):
            raise ValueError(f"channels = {self.channels}: each must be a positive multiple of 8 (group normalisation)")
        return self


class TrainDenoiserSpec(JobSpec):
    """Train a diffusion model on labelled images with the EDM objective."""

    noun = "Diffusion model"
    title = "Train a diffusion model"
    summary = (
        "EDM or DDPM, plain or adversarially regularised, for generating labelled images and for denoised smoothing."
    )

    icon = "waves"
    place = 10
    job = "difrob.jobs.train_denoiser:run"
    holds = DENOISER
    trains = True

    kind: Literal["train_denoiser"] = "train_denoiser"
    data: DataSpec = part(DataSpec(), dataset={"takes": data_set_of("images or points")})
    corruption: CorruptionSpec = CorruptionSpec()
    network: DenoiserNetworkSpec = DenoiserNetworkSpec()

    parameterisation: Literal["edm", "ddpm"] = parameter(
        "edm",
        "edm: preconditioned network, log-normal noise levels. ddpm: predicts the noise on a schedule of discrete steps.",
        group="Objective",
        source="Karras et al. 2022, table 1; Ho et al. 2020, section 3",
    )
    schedule: Literal["linear", "cosine"] = parameter(
        "cosine", "Noise schedule.", group="Objective", shown_when={"parameterisation": ("ddpm",)},
        source="Ho et al. 2020, section 4; Nichol & Dhariwal 2021, equation 17",
    )  # fmt: skip
    time_steps: int = parameter(
        1000, "Steps T of the schedule.", unit="steps", group="Objective", shown_when={"parameterisation": ("ddpm",)}, ge=2,
        le=100_000,
    )  # fmt: skip
    flips: bool = parameter(
        False,
        "Mirror every other image; refused where the data set says that mirror images mean something else.",
        group="Data",
    )
    class_conditional: bool = parameter(True, "Give the network the class label.", group="Objective")
    label_dropout: float = parameter(
        0.1,
        "Share of labels replaced by the null class, so that the model also works without a class.",
        group="Objective",
        shown_when={"class_conditional": (True,)},
        ge=0,
        le=1,
        source="Ho & Salimans 2022, section 3.2",
    )
    sigma_data: float = parameter(
        0.5, "Standard deviation of the data in the diffusion range [-1,1].", unit="[-1,1] range", group="Objective",
        shown_when={"parameterisation": ("edm",)},
        gt=0, source="Karras et al. 2022, table 1", advanced=True,
    )  # fmt: skip
    log_sigma_mean: float = parameter(
        -1.2, "Mean of ln(sigma) in training.", unit="ln [-1,1] range", group="Objective",
        shown_when={"parameterisation": ("edm",)},
        source="Karras et al. 2022, table 1", advanced=True,
    )  # fmt: skip
    log_sigma_std: float = parameter(
        1.2, "Standard deviation of ln(sigma) in training.", group="Objective",
        shown_when={"parameterisation": ("edm",)}, gt=0,
        source="Karras et al. 2022, table 1", advanced=True,
    )  # fmt: skip

    steps: int = parameter(
        2000,
        "Optimiser steps. Too many of them memorise a small training set: watch validation/loss and memorised_share.",
        unit="steps",
        group="Optimiser",
        other_names=("epochs", "iterations"),
        ge=1,
    )
    batch_size: int = parameter(128, "Images per step.", unit="images", group="Optimiser", other_names=("bs",), ge=1)
    learning_rate: float = parameter(
        1e-3, "Peak learning rate of Adam.", group="Optimiser", other_names=("lr",), gt=0, le=1,
        source="Karras et al. 2022, table 7",
    )  # fmt: skip
    rampup_steps: int = parameter(
        100, "Steps of linear learning-rate ramp-up.", unit="steps", group="Optimiser", ge=0, advanced=True
    )
    cosine_decay: bool = parameter(
        True,
        "Let the learning rate fall to zero along a half cosine after the ramp-up.",
        group="Optimiser",
        advanced=True,
    )
    gradient_clip: float | None = parameter(
        1.0, "Largest gradient norm.", group="Optimiser", empty_means="no clipping", gt=0, advanced=True
    )
    ema_halflife_images: float = parameter(
        20_000, "Half-life of the weight average.", unit="images", group="Optimiser", other_names=("ema",), gt=0,
        source="Karras et al. 2022, appendix F.2", advanced=True,
    )  # fmt: skip
    ema_rampup_ratio: float = parameter(
        0.05, "The half-life is at most this share of the images seen so far.", group="Optimiser", gt=0, le=1,
        source="Karras et al. 2022, appendix F.2", advanced=True,
    )  # fmt: skip

    regulariser: RegulariserSpec = RegulariserSpec()
    compute: ComputeSpec = ComputeSpec()
    memory: MemorySpec = MemorySpec()

    log_every: int = parameter(20, "Steps between points of the curves.", unit="steps", group="Recording", ge=1)
    sample_every: int = parameter(
        500, "Steps between grids of generated images; 0 for none.", unit="steps", group="Recording", ge=0
    )
    frechet_every: int = parameter(
        0, "Steps between Frechet distances of generated to held-out images; 0 for none.", unit="steps", group="Recording",
        ge=0, advanced=True,
    )  # fmt: skip
    checkpoint_every: int = parameter(1000, "Steps between checkpoints.", unit="steps", group="Recording", ge=1)

    @model_validator(mode="after")
    def _batch_can_be_shared(self) -> TrainDenoiserSpec:
        self.compute.check_batch(self.batch_size)
        return self
