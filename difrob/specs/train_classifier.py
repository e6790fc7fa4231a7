"""Specification of ``train_classifier``: adversarial training on real and generated images."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, Spec, parameter
from difrob.specs.parts import AttackSpec, DataSpec, MemorySpec

WANG = "Wang et al. 2023"


class ClassifierNetworkSpec(Spec):
    """The classifier; inputs are standardised inside the network."""

    architecture: Literal["small_cnn"] = parameter(
        "small_cnn", "Three SiLU convolutions and a linear head, without batch normalisation.", group="Network"
    )
    channels: tuple[int, ...] = parameter(
        (16, 32, 32), "Channels of the convolutions; every one after the first halves the image.", group="Network",
        min_length=1, max_length=6,
    )  # fmt: skip
    features: int = parameter(128, "Width of the penultimate layer.", unit="units", group="Network", ge=2, le=8192)

    @model_validator(mode="after")
    def _channels_are_positive(self) -> ClassifierNetworkSpec:
        if any(channels <= 0 for channels in self.channels):
            raise ValueError(f"channels = {self.channels}: each must be positive")
        return self


class TrainClassifierSpec(JobSpec):
    """Adversarial training with the real / generated mixing of Wang et al. 2023."""

    title = "Train a robust classifier"
    summary = "TRADES on real images, or on a mixture of real and generated ones, with weight averaging."

    kind: Literal["train_classifier"] = "train_classifier"
    data: DataSpec = DataSpec()
    generated: str | None = parameter(
        None, "A generated set to mix in; empty to train on real images only.", group="Inputs", run_kinds=("generate",)
    )
    generated_fraction: float = parameter(
        0.7, "Share of each batch drawn from the generated set.", group="Inputs", ge=0, le=1,
        source=f"{WANG}: 0.7 on CIFAR-10 with 1M images",
    )  # fmt: skip
    network: ClassifierNetworkSpec = ClassifierNetworkSpec()

    objective: Literal["trades", "standard", "gaussian"] = parameter(
        "trades",
        "trades: clean cross-entropy + beta KL to the attacked prediction. standard: clean cross-entropy. "
        "gaussian: cross-entropy under Gaussian noise, the base classifier of randomised smoothing.",
        group="Objective",
        source="Zhang et al. 2019, equation 3; Cohen et al. 2019, section 3.3",
    )
    beta: float = parameter(
        5.0, "Weight of the robust term.", group="Objective", ge=0, shown_when={"objective": ("trades",)},
        source=f"{WANG}: 5 on CIFAR-10",
    )  # fmt: skip
    noise_sigma: float = parameter(
        0.25, "Standard deviation of the training noise.", unit="[0,1] intensity", group="Objective", ge=0,
        shown_when={"objective": ("gaussian",)},
    )  # fmt: skip
    label_smoothing: float = parameter(
        0.1, "Weight of the uniform distribution in the target.", group="Objective", ge=0, lt=1, source=WANG
    )
    attack: AttackSpec = AttackSpec()

    steps: int = parameter(600, "Optimiser steps; the budget that arms of a comparison share.", unit="steps",
                           group="Optimiser", ge=1)  # fmt: skip
    batch_size: int = parameter(
        96, "Images per step, real and generated together.", unit="images", group="Optimiser", ge=2
    )
    learning_rate: float = parameter(
        0.2, "Peak learning rate of SGD with Nesterov momentum.", group="Optimiser", gt=0, le=10, source=f"{WANG}: 0.2"
    )
    momentum: float = parameter(0.9, "Nesterov momentum; not cycled.", group="Optimiser", ge=0, lt=1, advanced=True)
    weight_decay: float = parameter(
        5e-4, "Decay of weights, not of normalisation parameters.", group="Optimiser", ge=0, advanced=True, source=WANG
    )
    warmup_fraction: float = parameter(
        0.025, "Share of the steps in which the learning rate rises; a half cosine follows.", group="Optimiser", ge=0,
        lt=1, advanced=True, source=f"{WANG}: one-cycle with 2.5 % warm-up",
    )  # fmt: skip
    gradient_clip: float | None = parameter(
        None, "Largest gradient norm; empty for no clipping.", group="Optimiser", gt=0, advanced=True
    )
    averaging_decay: float = parameter(
        0.995, "Decay of the weight average that is evaluated and kept.", group="Optimiser", ge=0, lt=1, advanced=True,
        source="Gowal et al. 2020, section 4.4",
    )  # fmt: skip

    memory: MemorySpec = MemorySpec()

    validate_every: int = parameter(
        50, "Steps between measurements on the validation images.", unit="steps", group="Recording", ge=1
    )
    validation_attack_steps: int = parameter(
        40, "Steps of the margin-loss PGD that chooses the best checkpoint.", unit="steps", group="Recording", ge=1,
        advanced=True, source=f"{WANG}: PGD-40 with the margin loss on held-out training images",
    )  # fmt: skip
    patience: int | None = parameter(
        None, "Stop when the validation robust accuracy has not risen for this many measurements; empty to run all steps.",
        unit="measurements", group="Recording", ge=1, advanced=True,
    )  # fmt: skip
    log_every: int = parameter(5, "Steps between points of the loss curves.", unit="steps", group="Recording", ge=1)
    checkpoint_every: int = parameter(200, "Steps between checkpoints.", unit="steps", group="Recording", ge=1)
