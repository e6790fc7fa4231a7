"""Specification of ``probe_teacher``: which block of a diffusion model, at which noise level, knows most of the classes."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from difrob.specs.base import JobSpec, Spec, parameter
from difrob.specs.parts import AttackSpec
from difrob.specs.takes import CLASSIFIER, DENOISER, run_holding

HUANG = "Huang et al. 2026"


class LinearProbeSpec(Spec):
    """How a linear classifier is fitted to frozen features, and how the noise in front of them is treated."""

    rule: Literal["ridge", "logistic"] = parameter(
        "ridge", "ridge: least squares to one-hot labels, in closed form. logistic: multinomial logistic regression.",
        group="Probe",
    )  # fmt: skip
    penalty: float | None = parameter(
        None, "Weight of |W|^2 per image on standardised features.", group="Probe",
        empty_means="generalised cross-validation on the training images (ridge) or 0.001 (logistic)", gt=0, le=1e6,
        advanced=True,
    )  # fmt: skip
    noise_draws: int = parameter(
        10, "Draws of the teacher's input noise over which features, and the attack's gradients, are averaged; the same for "
        "all images. 0 for clean input.", unit="draws", group="Probe", ge=0, le=1000,
    )  # fmt: skip


class ProbeTeacherSpec(JobSpec):
    """A map of probe accuracies over blocks and noise levels of a denoiser, clean and under attack."""

    noun = "Probe"
    title = "Probe a diffusion model's features"
    summary = "Linear probes of every block at several noise levels, clean and under PGD: where a teacher is best read."

    icon = "crosshair"
    place = 70
    job = "difrob.jobs.probe_teacher:run"

    kind: Literal["probe_teacher"] = "probe_teacher"
    denoiser: str = parameter(
        ..., "The diffusion model whose blocks are probed.", group="Inputs",
        takes=run_holding(DENOISER), min_length=1,
    )  # fmt: skip
    weights: Literal["trained", "random"] = parameter(
        "trained", "random: the same architecture with random weights, a control.", group="Inputs"
    )
    blocks: tuple[str, ...] = parameter(
        (), "Names of the blocks, e.g. block2 or middle.", group="Sweep", empty_means="all of them", max_length=128
    )
    sigmas: tuple[float, ...] = parameter(
        (0.05, 0.1, 0.2, 0.3, 0.5, 1.0), "Noise levels.", unit="[-1,1] range", group="Sweep", min_length=1, max_length=64,
        source=f"{HUANG}: one fixed level, not named",
    )  # fmt: skip
    probe: LinearProbeSpec = LinearProbeSpec()
    attack: AttackSpec = AttackSpec(eps=0.05, steps=10)
    train_images: int | None = parameter(
        None, "How many training images the probes are fitted to, class-balanced.", unit="images", group="Data",
        empty_means="all that the denoiser learnt from", ge=10,
    )  # fmt: skip
    images: int | None = parameter(
        None, "How many validation images are scored. Test images are never touched.", unit="images", group="Data",
        empty_means="all", other_names=("n_images", "num_samples"), ge=1,
    )  # fmt: skip
    classifier: str | None = parameter(
        None, "A classifier whose penultimate features are probed alike, for comparison; its best weights.", group="Inputs",
        takes=run_holding(CLASSIFIER),
    )  # fmt: skip
    second_classifier: str | None = parameter(
        None, "A second one, e.g. adversarially trained beside a standard one.", group="Inputs",
        takes=run_holding(CLASSIFIER), advanced=True,
    )  # fmt: skip
    batch_size: int = parameter(
        256, "Images attacked at once, each in all of its noise draws; results do not depend on it.", unit="images",
        group="Probe", ge=1, advanced=True,
    )  # fmt: skip

    @model_validator(mode="after")
    def _levels_are_levels(self) -> ProbeTeacherSpec:
        wrong = [sigma for sigma in self.sigmas if not 0 < sigma <= 1000]
        if wrong:
            raise ValueError(f"sigmas holds {wrong[0]:g}; each must lie above 0 and be at most 1000")
        for name in ("blocks", "sigmas"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {', '.join(map(str, values))}: each can be named only once")
        return self
