"""Specification of ``analyse``: what the features of a classifier are like."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, Spec, parameter
from difrob.specs.evaluate import Split, Weights
from difrob.specs.parts import AttackSpec
from difrob.specs.probe_teacher import LinearProbeSpec
from difrob.specs.takes import CLASSIFIER, DENOISER, run_holding

HUANG = "Huang et al. 2026"
Analysis = Literal["rank", "dimension", "autoencoder", "alignment", "gradients", "probes", "kernel_alignment"]


class AutoencoderSpec(Spec):
    """The top-k sparse autoencoder; its error depends on every one of these."""

    dictionary: int = parameter(
        4, "Size of the dictionary as a multiple of the number of features.", group="Autoencoder", ge=1, le=64
    )
    active: int = parameter(16, "k, the largest number of atoms that an image may use.", unit="atoms", group="Autoencoder",
                            ge=1, le=8192)  # fmt: skip
    steps: int = parameter(2000, "Training steps.", unit="steps", group="Autoencoder", ge=1)
    batch_size: int = parameter(256, "Images per step.", unit="images", group="Autoencoder", ge=1, advanced=True)
    learning_rate: float = parameter(
        3e-3, "Learning rate of Adam, along half a cosine to 0.", group="Autoencoder", gt=0, le=1, advanced=True
    )
    seeds: int = parameter(
        3, "Dictionaries that are learnt from different beginnings; their errors are averaged.", unit="dictionaries",
        group="Autoencoder", ge=1, le=100,
    )  # fmt: skip


class AnalyseSpec(JobSpec):
    """Rank, dimension, sparsity, alignment, sensitivity and likeness of a classifier's penultimate features."""

    noun = "Analysis"
    title = "Analyse features"
    summary = "How many directions a classifier's features use, how sparse, aligned and attackable they are."

    icon = "lens"
    place = 80
    job = "difrob.jobs.analyse:run"

    kind: Literal["analyse"] = "analyse"
    classifier: str = parameter(
        ..., "The training run whose averaged weights are analysed.", group="Inputs", takes=run_holding(CLASSIFIER),
        min_length=1,
    )  # fmt: skip
    weights: Weights = parameter("best", "Best checkpoint on validation, or the last one.", group="Inputs")
    step: int | None = parameter(
        None, "Weights of the classifier at this step instead, if its run still holds a checkpoint of it; 'difrob runs keep "
        "--last 20' lets runs to come hold more than two. The second keeps the weights above.", unit="steps", group="Inputs",
        empty_means="the weights above", ge=1, advanced=True,
    )  # fmt: skip
    second: str | None = parameter(
        None, "A second classifier, whose features are compared with those of the first (kernel_alignment).",
        group="Inputs", takes=run_holding(CLASSIFIER),
    )  # fmt: skip
    denoiser: str | None = parameter(
        None, "A diffusion model, a block of which is probed beside the classifier (probes).", group="Inputs",
        takes=run_holding(DENOISER),
    )  # fmt: skip
    block: str = parameter(
        "",
        "Block of the diffusion model.",
        group="Inputs",
        empty_means="the one in the middle of its depth",
        max_length=40,
    )
    sigma: float = parameter(0.3, "Noise level at which the diffusion model works.", unit="[-1,1] range", group="Inputs",
                             gt=0, le=1000)  # fmt: skip
    measures: tuple[Analysis, ...] = parameter(
        ("rank", "dimension", "autoencoder", "alignment", "gradients"),
        "What is measured. kernel_alignment needs a second classifier; probes fit linear classifiers to frozen features.",
        group="Measures", min_length=1, max_length=7, source=f"{HUANG}, analyses; the exact definitions are ours",
    )  # fmt: skip
    split: Split = parameter("test", "Images whose features are measured.", group="Data")
    images: int | None = parameter(
        None, "How many of them, the first ones. Rank and errors depend on it.", unit="images", group="Data",
        empty_means="all", other_names=("n_images", "num_samples"), ge=10,
    )  # fmt: skip
    train_images: int | None = parameter(
        None, "How many training images components, dictionaries and probes are learnt from, class-balanced.", unit="images",
        group="Data", empty_means="all that the classifier learnt from", ge=10,
    )  # fmt: skip
    attack: AttackSpec = AttackSpec(steps=20)
    autoencoder: AutoencoderSpec = AutoencoderSpec()
    probe: LinearProbeSpec = LinearProbeSpec()
    batch_size: int = parameter(256, "Images attacked at once; results do not depend on it.", unit="images",
                                group="Measures", ge=1, advanced=True)  # fmt: skip

    @property
    def analysed_weights(self) -> Weights | int:
        """Which weights of the classifier are analysed: a name, or a step."""
        return self.weights if self.step is None else self.step

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> AnalyseSpec:
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures = {', '.join(self.measures)}: each can be named only once")
        if "kernel_alignment" in self.measures and not self.second:
            raise ValueError("kernel_alignment needs a run in 'second'; choose one, or leave kernel_alignment out")
        return self
