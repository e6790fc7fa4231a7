"""Signs that gradients are masked and a robust accuracy is not to be believed (Carlini et al. 2019, section 5).

The checks run on a few images and are cheap beside the evaluation itself. They cannot prove an evaluation right; each of
them can prove it wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.losses import LABEL_LOSSES
from difrob.attacks.pgd import is_misclassified, maximise
from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points
from difrob.attacks.union import attack_union
from difrob.randomness import uniform_per_sample
from difrob.specs.parts import AttackSpec

STEPS_FACTOR = 4
NOISE_TRIALS = 10

# A difference of one image in fifty is within the luck of a random start.
TOLERATED_SHARE = 0.02
# Largest entry of an input gradient below which float32 gives an attack nothing to follow.
VANISHED = 1e-10
TOLERATED_VANISHED_SHARE = 0.1


@dataclass(frozen=True)
class Check:
    """Outcome of one check: ``passed``, the numbers it rests on, and a sentence for the log."""

    name: str
    passed: bool
    numbers: dict[str, float]
    message: str


@dataclass(frozen=True)
class Probe:
    """Images on which a classifier is checked.

    Attributes:
        images: [B, C, H, W] in [0,1], classified rightly before any attack.
        labels: int64 [B].
        indices: number of each image in its data set, [B].
    """

    images: Tensor
    labels: Tensor
    indices: np.ndarray


def masking_checks(
    classifier: nn.Module, probe: Probe, *, attack: AttackSpec, losses: Sequence[str], seed: int
) -> list[Check]:
    """All checks, in the order in which a person should read them.

    Args:
        classifier: [0,1] images to logits, in evaluation mode.
        probe: at least one image.
        attack: the attack whose verdicts are in question.
        losses: names of the losses it climbs.
        seed: seed of the run.
    """
    return [
        deterministic_outputs(classifier, probe),
        gradients_do_not_vanish(classifier, probe, losses=losses),
        more_steps_are_not_weaker(classifier, probe, attack=attack, losses=losses, seed=seed),
        huge_radius_reaches_zero(classifier, probe, attack=attack, losses=losses, seed=seed),
        noise_is_not_stronger(classifier, probe, attack=attack, losses=losses, seed=seed),
    ]


def deterministic_outputs(classifier: nn.Module, probe: Probe) -> Check:
    """Two passes must agree; a randomised classifier has to be attacked through the expectation over its randomness."""
    with torch.no_grad():
        difference = float((classifier(probe.images) - classifier(probe.images)).abs().max())
    # Some GPU kernels add in varying order, so agreement is asked for up to rounding.
    passed = difference <= 1e-4
    return Check(
        "deterministic_outputs",
        passed,
        {"largest_difference": difference},
        "two passes over the same images give the same logits"
        if passed
        else f"two passes over the same images differ by {difference:.2g}: the classifier is random, and this attack "
        "does not average over its randomness",
    )


def gradients_do_not_vanish(classifier: nn.Module, probe: Probe, *, losses: Sequence[str]) -> Check:
    """For at least one of the losses nearly all images must have an input gradient that can be followed."""
    shares = {name: share_of_vanishing_gradients(classifier, probe, loss=name) for name in losses}
    least = min(shares.values())
    passed = least <= TOLERATED_VANISHED_SHARE
    listed = ", ".join(f"{_per_cent(share)} ({name})" for name, share in shares.items())
    return Check(
        "gradients_do_not_vanish",
        passed,
        {f"share_{name}": share for name, share in shares.items()},
        f"share of the correctly classified images whose input gradient vanishes: {listed}"
        + ("" if passed else "; a gradient attack cannot judge this classifier"),
    )


def share_of_vanishing_gradients(classifier: nn.Module, probe: Probe, *, loss: str) -> float:
    """Share of images whose input gradient of a loss has no entry above 1e-10, or is not finite."""
    images = probe.images.detach().clone().requires_grad_()
    with torch.enable_grad():
        total = LABEL_LOSSES[loss](classifier(images), probe.labels).sum()
    (gradients,) = torch.autograd.grad(total, images)
    largest = gradients.abs().amax(dim=(1, 2, 3))
    usable = (largest > VANISHED) & largest.isfinite()
    return float((~usable).cpu().double().mean())


def more_steps_are_not_weaker(
    classifier: nn.Module, probe: Probe, *, attack: AttackSpec, losses: Sequence[str], seed: int
) -> Check:
    """Four times the steps, with the same total path length, must not leave more images standing.

    Only the last iterate is judged here: a search that stops at its first success could not get weaker by going on.
    """
    longer = attack.model_copy(
        update={
            "steps": attack.steps * STEPS_FACTOR,
            "step_size": max(attack.resolved_step_size / STEPS_FACTOR, 1e-9),
        }
    )
    share = _standing_after_last_step(classifier, probe, attack=attack, losses=losses, seed=seed)
    longer_share = _standing_after_last_step(classifier, probe, attack=longer, losses=losses, seed=seed)
    passed = longer_share <= share + TOLERATED_SHARE
    message = (
        f"{attack.steps} steps leave {_per_cent(share)} of the correctly classified images standing, {longer.steps} finer "
        f"steps {_per_cent(longer_share)}"
    )
    if not passed:
        message += "; a finer attack is weaker, so the gradients mislead"
    elif longer_share < share - 2 * TOLERATED_SHARE:
        message += "; the attack has not converged: raise its steps"
    return Check(
        "more_steps_are_not_weaker", passed, {"standing": share, "standing_with_more_steps": longer_share}, message
    )


def huge_radius_reaches_zero(
    classifier: nn.Module, probe: Probe, *, attack: AttackSpec, losses: Sequence[str], seed: int
) -> Check:
    """In a ball that holds every image, some image of another class lies within reach: nothing may stand."""
    radius = 1.0 if attack.norm == "linf" else float(np.sqrt(probe.images[0].numel()))
    huge = attack.model_copy(update={"eps": radius, "step_size": None})
    verdict = attack_union(
        classifier, probe.images, probe.labels, probe.indices, attack=huge, losses=losses, restarts=1, seed=seed
    )
    share = float(verdict.held_out.mean())
    passed = share <= TOLERATED_SHARE
    return Check(
        "huge_radius_reaches_zero",
        passed,
        {"radius": radius, "standing": share},
        f"at {attack.norm} radius {radius:g}, which reaches every image, {_per_cent(share)} of the correctly classified "
        "images stand" + ("" if passed else "; the attack does not find what must be there"),
    )


def noise_is_not_stronger(
    classifier: nn.Module, probe: Probe, *, attack: AttackSpec, losses: Sequence[str], seed: int
) -> Check:
    """Random points on the rim of the ball must not break images that the gradient attack cannot break."""
    verdict = attack_union(
        classifier, probe.images, probe.labels, probe.indices, attack=attack, losses=losses, restarts=1, seed=seed
    )
    ball = Ball(probe.images, norm=attack.norm, eps=attack.eps)
    broken_by_noise = torch.zeros_like(probe.labels, dtype=torch.bool)
    with torch.no_grad():
        for trial in range(NOISE_TRIALS):
            draws = uniform_per_sample(seed, ("noise check", trial), probe.indices, probe.images.shape[1:])
            # A step along a random direction, long enough to leave the ball from anywhere inside it.
            direction = (draws - 0.5).to(probe.images.device)
            rim = ball.ascend(probe.images, direction, attack.eps)
            broken_by_noise |= is_misclassified(classifier(rim), probe.labels)
    by_noise_alone = float((broken_by_noise.cpu().numpy() & verdict.held_out).mean())
    passed = by_noise_alone <= TOLERATED_SHARE
    return Check(
        "noise_is_not_stronger",
        passed,
        {"broken_by_noise": float(broken_by_noise.cpu().double().mean()), "broken_by_noise_alone": by_noise_alone},
        f"{NOISE_TRIALS} random points per image break {_per_cent(by_noise_alone)} of the correctly classified images beyond "
        "those that the gradient attack breaks"
        + ("" if passed else "; an attack without gradients beats the one with them"),
    )


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _standing_after_last_step(
    classifier: nn.Module, probe: Probe, *, attack: AttackSpec, losses: Sequence[str], seed: int
) -> float:
    standing = torch.ones_like(probe.labels, dtype=torch.bool)
    ball = Ball(probe.images, norm=attack.norm, eps=attack.eps)
    for name in losses:
        start = starting_points(
            ball, random_start=attack.random_start, seed=seed, stream=("attack", name, 0), indices=probe.indices
        )
        climbed = LABEL_LOSSES[name]
        end = maximise(
            classifier,
            ball,
            start,
            lambda logits, climbed=climbed: climbed(logits, probe.labels),  # type: ignore[misc]
            steps=attack.steps,
            step_size=attack.resolved_step_size,
        )
        with torch.no_grad():
            standing &= ~is_misclassified(classifier(end), probe.labels)
    return float(standing.cpu().double().mean())
