"""Specification of ``import_denoiser``: a diffusion model that others have trained becomes a run."""

from __future__ import annotations

from typing import Literal

from difrob.specs.base import JobSpec, parameter
from difrob.specs.parts import DataSpec
from difrob.specs.takes import DENOISER, data_set_of, path_of

UNLESS_EDM = ("auto", "diffusers", "improved_diffusion")


class LearntDataSpec(DataSpec):
    """What a model from elsewhere has learnt from."""

    dataset: str = parameter(
        ..., "What the model was trained on, as a data set of this workspace: its copies and distances are looked for there. "
        "Image size and number of classes must fit.", group="Data", takes=data_set_of("images"), condition="data set",
        max_length=64,
    )  # fmt: skip


class ImportDenoiserSpec(JobSpec):
    """Read a diffusion model from files of this machine; nothing in them is executed."""

    noun = "Imported model"
    title = "Import a diffusion model"
    summary = (
        "A model trained elsewhere (diffusers, improved-diffusion, EDM) becomes a run to generate and certify with."
    )

    icon = "network"
    place = 100
    job = "difrob.jobs.import_denoiser:run"
    holds = DENOISER

    kind: Literal["import_denoiser"] = "import_denoiser"
    path: str = parameter(
        ..., "A folder of diffusers, or a file with the state dictionary of improved-diffusion, guided-diffusion or EDM (.pt, "
        ".safetensors), or a snapshot of EDM (.pkl). Nothing is downloaded.", group="Inputs",
        takes=path_of(".pt", ".pth", ".pkl", ".safetensors"), min_length=1, max_length=4096,
    )  # fmt: skip
    format: Literal["auto", "diffusers", "improved_diffusion", "edm"] = parameter(
        "auto", "Where the model comes from; auto looks.", group="Inputs", advanced=True,
        source="von Platen et al. 2022; Nichol & Dhariwal 2021; Karras et al. 2022",
    )  # fmt: skip
    data: LearntDataSpec

    label_dropout: float = parameter(
        0.0, "Share of the classes that its training left out. Above 0 the model knows the null class: its last class "
        "embedding, in EDM a class of zeros.", group="Model", ge=0, le=1, source="Ho & Salimans 2022, section 3.2",
    )  # fmt: skip
    schedule: Literal["linear", "cosine"] = parameter(
        "linear", "Noise schedule of a model whose files do not tell it.", group="Model", shown_when={"format": UNLESS_EDM},
        source="Ho et al. 2020, section 4; Nichol & Dhariwal 2021, equation 17",
    )  # fmt: skip
    time_steps: int = parameter(
        1000,
        "Steps T of that schedule.",
        unit="steps",
        group="Model",
        shown_when={"format": UNLESS_EDM},
        ge=2,
        le=100_000,
    )
    rescaled_time: bool = parameter(
        True, "The network was told time steps of a schedule of 1,000 steps, whatever T is.", group="Model", advanced=True,
        shown_when={"format": ("auto", "improved_diffusion")},
    )  # fmt: skip
    heads: int = parameter(
        4, "Attention heads of every attention layer.", group="Model", shown_when={"format": ("auto", "improved_diffusion")},
        ge=1, le=1024, source="Nichol & Dhariwal 2021, section 3",
    )  # fmt: skip
    head_width: int | None = parameter(
        None, "Channels of an attention head, where wider layers have more heads.", unit="channels",
        group="Model", empty_means="a fixed number of heads", advanced=True, ge=1,
        shown_when={"format": ("auto", "improved_diffusion")}, source="Dhariwal & Nichol 2021, section 3.1: 64",
    )  # fmt: skip
    sigma_data: float = parameter(
        0.5, "Standard deviation of the data in its preconditioning; a snapshot tells it itself.", unit="[-1,1] range",
        group="Model", advanced=True, shown_when={"format": ("auto", "edm")}, gt=0, source="Karras et al. 2022, table 1",
    )  # fmt: skip

    preview_images: int = parameter(
        16, "Images to draw at once, to see that the model is read right; 0 for none.", unit="images", group="Check", ge=0,
        le=100,
    )  # fmt: skip
    preview_steps: int = parameter(10, "Steps of the sampler for these.", unit="steps", group="Check", ge=1, le=1000)
    checked_images: int = parameter(
        32, "Validation images on which the denoising error at several noise levels is measured; 0 for none.", unit="images",
        group="Check", ge=0,
    )  # fmt: skip
