"""Parts that several job kinds share."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator, model_validator

from difrob.specs.base import Spec, parameter
from difrob.specs.takes import data_set_of

Norm = Literal["linf", "l2"]

_DATA_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class DataSpec(Spec):
    """Which real images a job learns from or is measured on."""

    dataset: str = parameter(
        "digits",
        "'digits' (1,797 real 8x8 scans that ship with scikit-learn, split 1,000 / 197 / 600), or the name of a data set "
        "that 'difrob data add' has registered in the workspace.",
        group="Data",
        takes=data_set_of("images"),
        condition="data set",
        max_length=64,
    )
    train_size: int | None = parameter(
        None,
        "Use only this many training images, class-balanced. The same subset for the same subset seed.",
        unit="images",
        group="Data",
        empty_means="all",
        ge=10,
    )
    subset_seed: int = parameter(
        0, "Seed that picks the subset of the training images.", group="Data", advanced=True, ge=0, le=2**31 - 1
    )

    @field_validator("dataset")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _DATA_SET_NAME.fullmatch(name):
            raise ValueError("a data set's name begins with a letter or digit and goes on with those, '.', '-' or '_'")
        return name


class AttackSpec(Spec):
    """Projected gradient ascent inside a ball around the clean image; radii are in [0,1] intensity units."""

    norm: Norm = parameter("linf", "Norm of the ball that the adversary may use.", group="Attack")
    eps: float = parameter(
        0.15,
        "Radius of the ball. What is usual depends on the images: in linf 0.15 on the 8x8 digits, where adversarial training "
        "is left with 40-70 %, 0.2 to 0.3 on MNIST, and 8/255 (0.0314) on colour images such as CIFAR-10; in l2 0.5 "
        "(128/255) on these.",
        unit="[0,1] intensity",
        group="Attack",
        other_names=("epsilon",),
        ge=0,
        le=64,
    )
    steps: int = parameter(10, "Gradient steps per restart.", unit="steps", group="Attack", ge=1, le=10_000)
    step_size: float | None = parameter(
        None,
        "Step length.",
        unit="[0,1] intensity",
        group="Attack",
        empty_means="eps/4 (linf) or 2.5 eps/steps (l2)",
        other_names=("eps_step",),
        advanced=True,
        gt=0,
        le=64,
    )
    random_start: bool = parameter(
        True, "Start at a random point of the ball instead of the clean image.", group="Attack", advanced=True
    )

    @model_validator(mode="after")
    def _linf_radius_is_an_intensity(self) -> AttackSpec:
        if self.norm == "linf" and self.eps > 1:
            raise ValueError(
                f"eps = {self.eps} exceeds the whole intensity range [0, 1] of the linf norm; pixels lie in [0,1]: write "
                f"{self.eps:g}/255 or {self.eps / 255:.3g}"
            )
        return self

    @property
    def resolved_step_size(self) -> float:
        """The step length in [0,1] intensity units, with the default filled in."""
        if self.step_size is not None:
            return self.step_size
        return self.eps / 4 if self.norm == "linf" else 2.5 * self.eps / self.steps

    def label(self) -> str:
        """How tables and axes name this attack, e.g. ``PGD-10 linf 0.15``."""
        return f"PGD-{self.steps} {self.norm} {self.eps:g}"


class MemorySpec(Spec):
    """How a training step is cut when the device is too small for a whole batch."""

    folded = True

    micro_batch: int | None = parameter(
        None, "Images that go through the network at once; the gradients of a batch are added up.",
        unit="images", group="Memory", empty_means="the whole batch", advanced=True, ge=1,
    )  # fmt: skip
    shrink: bool = parameter(
        True, "When memory runs out, go on with half as many images at once instead of failing; the log says so.",
        group="Memory", advanced=True,
    )  # fmt: skip


class ComputeSpec(Spec):
    """How the device computes; what a device cannot do is left out with a note in the log."""

    folded = True

    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "bfloat16: networks compute in half the width where that is safe (autocast); faster on recent GPUs.",
        group="Compute", advanced=True,
    )  # fmt: skip
    channels_last: bool = parameter(
        False, "Lay images out with channels last, which tensor cores prefer.", group="Compute", advanced=True
    )
    compile: bool = parameter(
        False, "Compile the network (torch.compile): minutes at the start, faster steps afterwards.", group="Compute",
        advanced=True,
    )  # fmt: skip
    devices: int = parameter(
        1, "GPUs that share each batch, one process for each; on the CPU so many processes. Batch normalisation sees the "
        "share of each device by itself.", group="Compute", advanced=True, ge=1, le=64,
    )  # fmt: skip

    def check_batch(self, batch_size: int) -> None:
        """Raise ValueError where a batch is too small to be shared."""
        if batch_size < self.devices:
            raise ValueError(
                f"batch_size = {batch_size} cannot be shared by compute.devices = {self.devices}; make the batch at least "
                "as large"
            )


# What the fields of an attack are called where results depend on it.
MEASURING_ATTACK: dict[str, dict[str, Any]] = {
    "norm": {"condition": "norm"},
    "eps": {"condition": "eps"},
    "steps": {"condition": "attack steps"},
    "step_size": {"condition": "step size"},
    "random_start": {"condition": "random start"},
}
