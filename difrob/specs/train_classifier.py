"""Specification of ``train_classifier``: adversarial training on real and generated images."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.alignment_parts import AlignmentSpec
from difrob.specs.base import JobSpec, Spec, parameter, part
from difrob.specs.parts import AttackSpec, ComputeSpec, DataSpec, MemorySpec
from difrob.specs.takes import CLASSIFIER, LABELLED_IMAGES, run_holding

WANG = "Wang et al. 2023"
ADVERSARIAL = ("trades", "pgd_at", "mart", "score")
TWO_TERMS = ("trades", "mart", "score")
# Rates of AdamW lie near 0.001: one that is usual for SGD throws the weights away within some steps.
LARGEST_ADAMW_RATE = 0.1
RESIDUAL = ("preact_resnet_18", "wide_resnet_28_10", "wide_resnet_70_16", "wide_resnet_94_16", "wide_resnet")


class ClassifierNetworkSpec(Spec):
    """The classifier; inputs are standardised inside the network."""

    architecture: Literal[
        "small_cnn", "preact_resnet_18", "wide_resnet_28_10", "wide_resnet_70_16", "wide_resnet_94_16", "wide_resnet",
        "vit_base_2", "vit",
    ] = parameter(
        "small_cnn", "small_cnn: SiLU convolutions without batch normalisation, for small images. preact_resnet_18 and "
        "wide_resnet: with SiLU and batch normalisation. vit: a plain vision transformer.", group="Network",
        source=f"He et al. 2016; {WANG}: wide_resnet_28_10 and 70_16; Dosovitskiy et al. 2021, table 1",
    )  # fmt: skip
    channels: tuple[int, ...] = parameter(
        (16, 32, 32), "Channels of the convolutions; every one after the first halves the image.", group="Network",
        shown_when={"architecture": ("small_cnn",)}, min_length=1, max_length=6,
    )  # fmt: skip
    features: int = parameter(
        128, "Width of the penultimate layer.", unit="units", group="Network", shown_when={"architecture": ("small_cnn",)},
        ge=2, le=8192,
    )  # fmt: skip
    depth: int = parameter(
        16, "Layers d of a wide residual network: 6 n + 4.", unit="layers", group="Network",
        shown_when={"architecture": ("wide_resnet",)}, ge=10, le=1000,
    )  # fmt: skip
    widen: int = parameter(
        4, "Widening factor w: 16 w, 32 w and 64 w channels.", group="Network",
        shown_when={"architecture": ("wide_resnet",)}, ge=1, le=64,
    )  # fmt: skip
    patch: int = parameter(
        2, "Side of a patch; must divide height and width of the images.", unit="pixels", group="Network",
        shown_when={"architecture": ("vit",)}, ge=1, le=64,
    )  # fmt: skip
    width: int = parameter(
        192, "Numbers per token; a multiple of the heads.", unit="units", group="Network",
        shown_when={"architecture": ("vit",)}, ge=8, le=8192,
    )  # fmt: skip
    blocks: int = parameter(
        6, "Transformer blocks.", group="Network", shown_when={"architecture": ("vit",)}, ge=1, le=128
    )
    heads: int = parameter(
        3, "Attention heads per block.", group="Network", shown_when={"architecture": ("vit",)}, ge=1, le=128
    )
    standardise_by: Literal["range", "training_images"] = parameter(
        "range", "range: pixels become numbers in [-1,1]. training_images: each colour by its mean and standard deviation "
        "over the real training images.", group="Network", advanced=True, source=f"{WANG}, released code: training images",
    )  # fmt: skip
    batch_norm_momentum: float = parameter(
        0.01, "Share of a batch in the running statistics; in the first step it is 1, so that they begin with that batch.",
        group="Network", shown_when={"architecture": RESIDUAL}, advanced=True, gt=0, le=1,
        source=f"{WANG}, released code watrain.py",
    )  # fmt: skip

    @model_validator(mode="after")
    def _sizes_fit(self) -> ClassifierNetworkSpec:
        if any(channels <= 0 for channels in self.channels):
            raise ValueError(f"channels = {self.channels}: each must be positive")
        if self.architecture == "wide_resnet" and (self.depth - 4) % 6:
            raise ValueError(f"depth = {self.depth} must be 6 n + 4, e.g. 10, 16, 22, 28")
        if self.architecture == "vit" and self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self

    @property
    def has_batch_norm(self) -> bool:
        """Whether images of one batch see each other in training."""
        return self.architecture in RESIDUAL


class AugmentationSpec(Spec):
    """How the images of a batch are varied, real and generated ones alike."""

    folded = True

    padding: int = parameter(
        0, "Shift images by up to this many pixels each way, with black coming in.", unit="pixels", group="Augmentation",
        ge=0, le=512, source=f"{WANG}: 4 on CIFAR",
    )  # fmt: skip
    flips: bool = parameter(
        False, "Mirror every other image left to right, where mirror images show the same.", group="Augmentation"
    )
    cutout: int = parameter(
        0, "Side of a square that is blanked around a random pixel; 0 for none.", unit="pixels", group="Augmentation",
        ge=0, le=512, source="DeVries & Taylor 2017",
    )  # fmt: skip
    cutmix: int = parameter(
        0, "CutMix with this many draws: each mixes the same batch / draws images anew, and their labels alike; 0 for none.",
        unit="draws", group="Augmentation", ge=0, le=64, source=f"Yun et al. 2019; {WANG}, released code: 4 draws",
    )  # fmt: skip

    @property
    def varies(self) -> bool:
        """Whether an image comes differently at different steps."""
        return bool(self.padding or self.flips or self.cutout or self.cutmix)


class TrainClassifierSpec(JobSpec):
    """Adversarial training with the real / generated mixing of Wang et al. 2023."""

    noun = "Classifier"
    title = "Train a robust classifier"
    summary = (
        "TRADES, PGD-AT, MART or SCORE on real images or a mixture with generated ones; weight averaging, alignment."
    )

    icon = "shield"
    place = 30
    job = "difrob.jobs.train_classifier:run"
    holds = CLASSIFIER
    trains = True
    input_checks = ("difrob.inputs.training_notes",)

    kind: Literal["train_classifier"] = "train_classifier"
    data: DataSpec = DataSpec()
    generated: str | None = parameter(
        None,
        "A generated set to mix in.",
        group="Inputs",
        takes=run_holding(LABELLED_IMAGES),
        empty_means="real images only",
    )
    generated_2: str | None = parameter(
        None,
        "A second generated set, pooled with the first.",
        group="Inputs",
        takes=run_holding(LABELLED_IMAGES),
        advanced=True,
    )
    generated_3: str | None = parameter(
        None,
        "A third generated set, pooled with the others.",
        group="Inputs",
        takes=run_holding(LABELLED_IMAGES),
        advanced=True,
    )
    generated_fraction: float = parameter(
        0.7, "Share of each batch drawn from the generated sets.", group="Inputs", ge=0, le=1,
        source=f"{WANG}: 0.7 on CIFAR-10 with 1M images",
    )  # fmt: skip
    generated_balanced: bool = parameter(
        False, "Draw every class equally often from the generated sets, whatever their shares are there.", group="Inputs",
        advanced=True,
    )  # fmt: skip
    network: ClassifierNetworkSpec = ClassifierNetworkSpec()
    augmentation: AugmentationSpec = AugmentationSpec()

    objective: Literal["trades", "pgd_at", "mart", "score", "standard", "gaussian"] = parameter(
        "trades",
        "trades: clean cross-entropy + beta KL to the attacked prediction. pgd_at: cross-entropy of attacked images. "
        "mart: weighs misclassified images more. score: squared errors instead. standard: clean cross-entropy. "
        "gaussian: under noise, for smoothing.",
        group="Objective",
        source="Zhang et al. 2019, equation 3; Madry et al. 2018; Wang et al. 2020; Pang et al. 2022; Cohen et al. 2019",
    )
    beta: float = parameter(
        5.0, "Weight of the robust term.", group="Objective", ge=0, shown_when={"objective": TWO_TERMS},
        source=f"{WANG}: 5 on CIFAR-10",
    )  # fmt: skip
    robust_clip: float = parameter(
        0.0, "What of an image's squared robust error exceeds this is minimised; 0 for all of it.", group="Objective", ge=0,
        le=2, shown_when={"objective": ("score",)}, advanced=True, source="Pang et al. 2022, released code",
    )  # fmt: skip
    noise_sigma: float = parameter(
        0.25, "Standard deviation of the training noise.", unit="[0,1] intensity", group="Objective", ge=0,
        shown_when={"objective": ("gaussian",)},
    )  # fmt: skip
    label_smoothing: float = parameter(
        0.1, "Weight of the uniform distribution in the target.", group="Objective", ge=0, lt=1, source=WANG,
        shown_when={"objective": ("trades", "pgd_at", "score", "standard", "gaussian")},
    )  # fmt: skip
    attack_statistics: Literal["batch", "running"] = parameter(
        "batch", "How batch normalisation behaves in the attack. batch: as in training, with running statistics untouched. "
        "running: as in evaluation.", group="Objective", shown_when={"objective": ADVERSARIAL}, advanced=True,
        source=f"{WANG}, released code: batch; Zhang et al. 2019, released code: running",
    )  # fmt: skip
    attack: AttackSpec = part(  # that of validation is in the same ball, with steps of its own
        AttackSpec(), norm={"condition": "norm"}, eps={"condition": "eps"}, step_size={"condition": "attack step size"},
        random_start={"condition": "random start of the attack"},
    )  # fmt: skip

    steps: int = parameter(600, "Optimiser steps; the budget that arms of a comparison share.", unit="steps",
                           group="Optimiser", other_names=("epochs", "iterations"), ge=1)  # fmt: skip
    batch_size: int = parameter(
        96, "Images per step, real and generated together.", unit="images", group="Optimiser", other_names=("bs",), ge=2
    )
    optimiser: Literal["sgd", "adamw"] = parameter(
        "sgd", "sgd: with Nesterov momentum, usual for convolutional networks. adamw: Adam with decoupled weight decay, usual "
        "for transformers; it needs a learning rate near 0.001 and a weight decay near 0.05.", group="Optimiser",
        source=f"{WANG}: SGD; Loshchilov & Hutter 2019, algorithm 2",
    )  # fmt: skip
    learning_rate: float = parameter(
        0.2, "Peak learning rate. 0.2 is for sgd; adamw takes about 0.001.", group="Optimiser", other_names=("lr",), gt=0,
        le=10,
        source=f"{WANG}: 0.2; Touvron et al. 2021, table 9: 0.0005 for AdamW at 512 images per step",
    )  # fmt: skip
    schedule: Literal["cosine", "one_cycle"] = parameter(
        "cosine", "After the warm-up a half cosine: to zero (cosine), or from 1/25 of the peak up and down to 1/250000 of it "
        "(one_cycle). Both go step by step.", group="Optimiser", advanced=True,
        source="Smith & Topin 2019, as in torch.optim.lr_scheduler.OneCycleLR",
    )  # fmt: skip
    momentum: float = parameter(
        0.9, "Nesterov momentum.", group="Optimiser", shown_when={"optimiser": ("sgd",)}, ge=0, lt=1, advanced=True
    )
    betas: tuple[float, ...] = parameter(
        (0.9, 0.999), "Decays of AdamW's averages of the gradient and of its square.", group="Optimiser",
        shown_when={"optimiser": ("adamw",)}, advanced=True, min_length=2, max_length=2,
        source="Loshchilov & Hutter 2019, algorithm 2",
    )  # fmt: skip
    cycle_momentum: bool = parameter(
        False, "Let the momentum go from 0.95 to 0.85 and back against the learning rate, instead of the one above.",
        group="Optimiser", shown_when={"schedule": ("one_cycle",), "optimiser": ("sgd",)}, advanced=True,
        source=f"{WANG}, released code, where the one-cycle schedule does so unasked",
    )  # fmt: skip
    weight_decay: float = parameter(
        5e-4, "sgd: added to the gradients of all but normalisation parameters. adamw: decoupled from the gradient, times the "
        "learning rate, and of the weights of linear layers and convolutions alone: biases, norms, class token and "
        "positions are spared.", group="Optimiser", other_names=("wd",), ge=0, advanced=True,
        source=f"{WANG}; Touvron et al. 2021, table 9: 0.05 for AdamW",
    )  # fmt: skip
    warmup_fraction: float = parameter(
        0.025, "Share of the steps in which the learning rate rises, in a line (cosine) or along a half cosine (one_cycle).",
        group="Optimiser", ge=0, lt=1, advanced=True, source=f"{WANG}: one-cycle with 2.5 % warm-up",
    )  # fmt: skip
    gradient_clip: float | None = parameter(
        None, "Largest gradient norm.", group="Optimiser", empty_means="no clipping", gt=0, advanced=True
    )
    averaging_decay: float = parameter(
        0.995, "Decay of the weight average that is evaluated and kept.", group="Optimiser", other_names=("ema",), ge=0, lt=1,
        advanced=True, source="Gowal et al. 2020, section 4.4",
    )  # fmt: skip

    compute: ComputeSpec = ComputeSpec()
    alignment: AlignmentSpec = AlignmentSpec()
    memory: MemorySpec = MemorySpec()

    validate_every: int = parameter(
        50, "Steps between measurements on the validation images.", unit="steps", group="Recording", ge=1
    )
    measure_features: bool = parameter(
        False, "Measure the features with them: rank, dimension, sparsity, alignment, gradient frequency, their spectrum and "
        "their plane by class; on the first 1,000 validation images.", group="Recording", advanced=True,
        source="Huang et al. 2026, analyses",
    )  # fmt: skip
    features_every: int = parameter(
        1, "Measure features at the first and every n-th measurement after it, and at the end. Each takes 0.15 MB for the "
        "plane.", unit="measurements", group="Recording", ge=1, advanced=True, shown_when={"measure_features": (True,)},
    )  # fmt: skip
    features_autoencoder_steps: int = parameter(
        100, "Steps of the top-k sparse autoencoder that is learnt each time (16 of 4 d atoms for d features); 0 for none. "
        "100 steps take 0.3 s on one core for 128 features, some seconds for 640.", unit="steps", group="Recording", ge=0,
        le=100_000, advanced=True, shown_when={"measure_features": (True,)},
    )  # fmt: skip
    validation_attack_steps: int = parameter(
        40, "Steps of the margin-loss PGD that chooses the best checkpoint.", unit="steps", group="Recording", ge=1,
        condition="validation attack steps", advanced=True,
        source=f"{WANG}: PGD-40 with the margin loss on held-out training images",
    )  # fmt: skip
    patience: int | None = parameter(
        None, "Stop when the validation robust accuracy has not risen for this many measurements.", unit="measurements",
        group="Recording", empty_means="all steps are run", ge=1, advanced=True,
    )  # fmt: skip
    log_every: int = parameter(5, "Steps between points of the loss curves.", unit="steps", group="Recording", ge=1)
    checkpoint_every: int = parameter(200, "Steps between checkpoints.", unit="steps", group="Recording", ge=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainClassifierSpec:
        draws = self.augmentation.cutmix
        if draws and self.objective == "mart":
            raise ValueError("objective = mart needs one class per image; choose another, or switch cutmix off")
        if draws and (self.batch_size % draws or self.batch_size // draws < 2):
            raise ValueError(
                f"batch_size = {self.batch_size} cannot be cut into cutmix = {draws} draws of the same two or more images; "
                f"make it a multiple of {draws} that is at least {2 * draws}"
            )
        if self.alignment.is_on and draws:
            raise ValueError("alignment needs one image per row; switch cutmix off, or the teacher")
        if self.alignment.is_on and self.alignment.student != "clean" and self.objective == "standard":
            raise ValueError(
                "objective = standard attacks nothing; set alignment.student = clean, or choose another objective"
            )
        further = [name for name in ("generated_2", "generated_3") if getattr(self, name)]
        if further and not self.generated:
            raise ValueError(f"{further[0]} is given, but no first set; put it into generated")
        if self.network.has_batch_norm and self.memory.micro_batch == 1:
            raise ValueError("micro_batch = 1 leaves batch normalisation one image to normalise by; use at least 2")
        self.compute.check_batch(self.batch_size)
        if self.network.has_batch_norm and self.batch_size < 2 * self.compute.devices:
            raise ValueError(
                f"batch_size = {self.batch_size} leaves batch normalisation one image on one of compute.devices = "
                f"{self.compute.devices}; make the batch at least {2 * self.compute.devices}"
            )
        return self

    @model_validator(mode="after")
    def _optimiser_fits(self) -> TrainClassifierSpec:
        if self.optimiser != "adamw":
            return self
        if self.learning_rate > LARGEST_ADAMW_RATE:
            raise ValueError(
                f"learning_rate = {self.learning_rate:g} is a rate for SGD; AdamW takes about 0.001, and at most "
                f"{LARGEST_ADAMW_RATE:g}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {self.betas}: each must be at least 0 and less than 1")
        if self.cycles_momentum:
            raise ValueError(
                "cycle_momentum moves the momentum of SGD, which AdamW has not; switch it off, or set optimiser = sgd"
            )
        return self

    @property
    def cycles_momentum(self) -> bool:
        """Whether the momentum of a step depends on the step."""
        return self.schedule == "one_cycle" and self.cycle_momentum

    @property
    def generated_sets(self) -> list[str]:
        """The runs whose images are mixed in, each once, in order."""
        named = (self.generated, self.generated_2, self.generated_3)
        return list(dict.fromkeys(name for name in named if name))

    @property
    def is_adversarial(self) -> bool:
        """Whether an attack is part of every step."""
        return self.objective in ADVERSARIAL
