"""One optimiser step of a classifier, and everything that step depends on.

Batch, starting points of the attack, noise, learning rate and momentum of a step are functions of (seed, step), so the only
state is what network, optimiser and weight average hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from difrob.data import ImageSet
from difrob.memory import MicroBatches
from difrob.nets.classifiers import Classifier, build_classifier
from difrob.nets.running_statistics import RunningStatistics
from difrob.nets.storage import load_weights, pack_optimiser, part_of, restore_optimiser
from difrob.randomness import generator, seeded_globally
from difrob.ranks.shares import ALONE, Ranks
from difrob.specs import TrainClassifierSpec
from difrob.training.alignment import Alignment, targets_change
from difrob.training.compute import Autocast, Compute, Tell, send
from difrob.training.inner_attack import draw_start_noise
from difrob.training.mart import mart_loss
from difrob.training.objectives import Terms, gaussian_loss, standard_loss, weighted_terms
from difrob.training.optimisers import build_optimiser, clip_gradients, lay_out_like_parameters
from difrob.training.outer_features import OuterFeatures
from difrob.training.pgd_training import pgd_training_loss
from difrob.training.schedules import one_cycle, one_cycle_momentum, warmup_cosine
from difrob.training.scores import score_loss
from difrob.training.trades import trades_loss
from difrob.training.weight_averaging import WarmedUpAverage

# All attacks start from one stream, so that arms of a comparison start at the same points. It is called after the objective
# that was there first, so that its runs can be repeated.
ATTACK_STREAM = "trades"
STATISTICS_IMAGES = 10_000  # read at once when the colours of a set are averaged


# Where the real and the generated images of a batch stand in their sets.
Rows = tuple[np.ndarray, np.ndarray]
NOWHERE: Rows = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class StepRecord(NamedTuple):
    """What one step found out, still on the device: the terms of its objective, and its gradient norm before clipping.

    ``images`` is the size of its batch, over all ranks.
    """

    terms: Terms
    gradient_norm: Tensor
    images: int


class ClassifierTraining:
    """Network, optimiser and weight average of a run.

    Args:
        spec: what is trained, and how.
        real: real training images; they give shape, classes and, if asked for, the standardisation.
        device: where it happens.
        pieces: how many images go through the network at once.
        tell: told, in a sentence, what the device cannot do, and what becomes of batch normalisation in pieces.
        align: gives the alignment of the network with a teacher, if there is to be one; told how forward passes compute.
        ranks: the processes that share each batch.

    Attributes:
        network: the network being trained.
        average: its weight average, which is evaluated and kept.
        warmup_steps: steps in which the learning rate rises and the average equals the network.
    """

    def __init__(
        self,
        spec: TrainClassifierSpec,
        real: ImageSet,
        device: torch.device,
        pieces: MicroBatches,
        tell: Tell,
        align: Callable[[Classifier, Autocast], Alignment | None] = lambda network, autocast: None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.spec = spec
        self.pieces = pieces
        self.ranks = ranks
        self.warmup_steps = int(spec.warmup_fraction * spec.steps)
        self._device = device
        self._tell = tell
        with seeded_globally(torch.device("cpu"), spec.seed, "weights"):
            self.network: Classifier = build_classifier(spec.network, real.shape, real.num_classes)
        if spec.network.standardise_by == "training_images":
            self.network.standardise_by(*colour_statistics(real.images))
        self._compute = Compute(spec.compute, device, tell)
        self._compute.lay_out(self.network)
        self.network.to(device).train()
        self.average = WarmedUpAverage(self.network, spec.averaging_decay, self.warmup_steps)
        self._statistics = RunningStatistics(self.network, spec.network.batch_norm_momentum)
        self._alignment = align(self.network, self._compute.autocast)
        trained = [self.network] if self._alignment is None else [self.network, self._alignment.head]
        self._parameters = [parameter for module in trained for parameter in module.parameters()]
        self._optimiser = build_optimiser(spec, trained, device, momentum=self.momentum(0))
        self._compute.compile(self.network, "features")
        self._seen = self._compute.logits_of(self.network)
        self._outer = None if self._alignment is None else OuterFeatures(self._seen, self.network)
        self._pieces_are_told = False

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rule = one_cycle if self.spec.schedule == "one_cycle" else warmup_cosine
        return rule(step, self.spec.steps, peak=self.spec.learning_rate, warmup_steps=self.warmup_steps)

    def momentum(self, step: int) -> float:
        """The momentum of a step."""
        if self.spec.cycles_momentum:
            return one_cycle_momentum(step, self.spec.steps, warmup_steps=self.warmup_steps)
        return self.spec.momentum

    def recorded_momentum(self, step: int) -> float | None:
        """The momentum of a step where it is worth a curve, else None."""
        return self.momentum(step) if self.spec.cycle_momentum and self.spec.optimiser == "sgd" else None

    def step(
        self, step: int, images: Tensor, labels: Tensor, rows: Rows = NOWHERE, *, counts: bool = False
    ) -> StepRecord:
        """One step of the optimiser and of the average. Reads nothing back from the device.

        Args:
            step: its number, from 0.
            images: [B, C, H, W] in [0,1].
            labels: int64 [B], or float [B, K].
            rows: where the real and the generated images stand in their sets; an alignment needs to know.
            counts: whether to count misclassified images at every step of the attack.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(step)
            if self.spec.optimiser == "sgd":
                group["momentum"] = self.momentum(step)
        self._statistics.begin(step)
        self._compute.uncompiled = step == 0 and self._statistics.exist  # whose momentum is that of no later step
        terms = self._leave_gradients(step, images, labels, rows, counts)
        gradient_norm = clip_gradients(self._parameters, self.spec.gradient_clip)
        self._optimiser.step()
        self.average.update(self.network)
        return StepRecord(terms, gradient_norm, len(images))

    def _leave_gradients(self, step: int, images: Tensor, labels: Tensor, rows: Rows, counts: bool) -> Terms:
        """Leave the gradient of one step in the parameters, that of all ranks in each.

        Without batch normalisation the attack on an image and its loss do not depend on the other images, so the pieces of a
        batch add up to the batch, on one device or on several. With it, each piece is normalised by itself, and the running
        statistics are the mean of those of the ranks.
        """
        self._say_what_pieces_do(len(images))
        found = self.pieces.attempt(partial(self._leave_own_gradients, step, images, labels, rows, counts))
        self.pieces.agree(self.ranks)
        self.ranks.add_up([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        self._statistics.average_over(self.ranks)
        return weighted_terms(found, self.ranks)

    def _leave_own_gradients(
        self, step: int, images: Tensor, labels: Tensor, rows: Rows, counts: bool
    ) -> list[tuple[float, Terms]]:
        """Leave what this rank's share of a batch contributes to the gradient; its pieces, each as (share, terms)."""
        self._statistics.put_back()
        self._optimiser.zero_grad(set_to_none=True)
        own = self.ranks.share(len(images))
        noise = draw_noise(self.spec, images.shape, step)
        own_noise = None if noise is None else noise[own]
        own_images, own_labels = images[own], labels[own]
        targets = None
        if self._alignment is not None:
            targets = self._alignment.targets(images, step, *rows, self.pieces, own)
        found = []
        for part in self.pieces.interleaved(len(own_images)):
            part_noise = None if own_noise is None else send(own_noise[part].contiguous(), self._device)
            part_images, part_labels = own_images[part].contiguous(), own_labels[part]
            part_targets = None if targets is None else targets[part]
            terms = self._aligned_objective(part_images, part_labels, part_noise, part_targets, counts)
            share = len(part_labels) / len(labels)
            (terms.loss * share).backward()
            found.append((share, terms))
        return found

    def _aligned_objective(
        self, images: Tensor, labels: Tensor, noise: Tensor | None, targets: Tensor | None, counts: bool
    ) -> Terms:
        """The objective on a batch, or on a piece of one, and the term of the alignment, if there is one."""
        if self._alignment is None or self._outer is None or targets is None:
            return self._objective(self._seen, images, labels, noise, counts)
        with self._outer.kept():
            terms = self._objective(self._outer, images, labels, noise, counts)
            term = self._alignment.loss(self.network, images, terms.adversarial, targets, self._outer)
        return replace(terms, loss=terms.loss + self._alignment.weight * term, alignment=term.detach())

    def _objective(
        self, network: nn.Module, images: Tensor, labels: Tensor, noise: Tensor | None, counts: bool
    ) -> Terms:
        """The objective on a batch, or on a piece of one, with its part of :func:`draw_noise`."""
        spec, smoothing = self.spec, self.spec.label_smoothing
        if noise is None:
            return standard_loss(network, images, labels, label_smoothing=smoothing)
        if spec.objective == "gaussian":
            return gaussian_loss(
                network, images, labels, noise=noise, sigma=spec.noise_sigma, label_smoothing=smoothing
            )
        adversary: dict[str, Any] = {
            "attack": spec.attack,
            "start_noise": noise,
            "statistics": spec.attack_statistics,
            "counts": counts,
        }
        if spec.objective == "pgd_at":
            return pgd_training_loss(network, images, labels, label_smoothing=smoothing, **adversary)
        if spec.objective == "mart":
            return mart_loss(network, images, labels, beta=spec.beta, **adversary)
        adversary |= {"beta": spec.beta, "label_smoothing": smoothing}
        if spec.objective == "score":
            return score_loss(network, images, labels, robust_clip=spec.robust_clip, **adversary)
        return trades_loss(network, images, labels, **adversary)

    def _say_what_pieces_do(self, batch: int) -> None:
        size = min(self.pieces.size, self.ranks.largest_share(batch))
        if self._statistics.exist and size < batch and not self._pieces_are_told:
            self._pieces_are_told = True
            self._tell(
                f"batch normalisation sees pieces of at most {size} images instead of the whole batch of "
                f"{batch}: its statistics, and with them the training, are those of the pieces"
            )

    def check_agreement(self) -> None:
        """Raise RuntimeError where the weights of the ranks have drifted apart, which would be a fault of the device."""
        if self.ranks.differ([parameter.detach() for parameter in self._parameters]):
            raise RuntimeError("the devices that train together no longer hold the same weights")

    def tensors(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """All state as the parts of a checkpoint, and the JSON data that belongs to it."""
        averages, optimiser_state = pack_optimiser(self._optimiser)
        parts = {
            "network": dict(self.network.state_dict()), "average": self.average.state_dict(), "optimiser": averages,
        }  # fmt: skip
        if self._alignment is not None:
            parts["alignment"] = self._alignment.head.state_dict()
        state = {
            "image_shape": list(self.network.image_shape),
            "num_classes": self.network.num_classes,
            "optimiser": optimiser_state,
            "average": self.average.counters(),
            "micro_batch": self.pieces.size,
        }
        return parts, state

    def restore(self, parts: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Go on from :meth:`tensors`. UserError when the checkpoint belongs to another network."""
        load_weights(self.network, part_of(parts, "network"))
        self.average.restore(part_of(parts, "average"), state["average"])
        if self._alignment is not None:
            self._alignment.restore(part_of(parts, "alignment"))
        restore_optimiser(self._optimiser, parts.get("optimiser", {}), state["optimiser"])
        lay_out_like_parameters(self._optimiser)


def draw_noise(spec: TrainClassifierSpec, shape: tuple[int, ...], step: int) -> Tensor | None:
    """The random numbers that the objective needs in a step, on the CPU; None for an objective without any."""
    if spec.is_adversarial:
        return draw_start_noise(spec.attack, shape, generator(spec.seed, ATTACK_STREAM, step))
    if spec.objective == "gaussian":
        return torch.randn(shape, generator=generator(spec.seed, spec.objective, step))
    return None


def passes_per_image(spec: TrainClassifierSpec, generated_share: float = 0.0) -> dict[str, float]:
    """Passes through the network that an image costs in a step: forward, backward to the input, full backward.

    An alignment adds a forward and a full backward pass of the student where the objective makes no outer pass over the
    images that are aligned, and passes of the teacher up to its block, ``teacher_forward``: none for a real image whose
    target is remembered.

    Args:
        spec: of the training.
        generated_share: of the images of a batch.
    """
    passes: dict[str, float] = dict(_passes_of_objective(spec))
    if spec.alignment.is_on:
        # Attacked or noisy images always have an outer pass, clean ones not with these objectives.
        extra = spec.alignment.student != "adversarial" and spec.objective in ("pgd_at", "gaussian")
        passes["forward"] += extra
        passes["backward"] += extra
        changing = targets_change(spec.alignment, augmented=spec.augmentation.varies)
        passes["teacher_forward"] = 1 if changing else generated_share
    return passes


def _passes_of_objective(spec: TrainClassifierSpec) -> dict[str, int]:
    steps, mixed = spec.attack.steps, spec.augmentation.cutmix > 0
    if not spec.is_adversarial:
        return {"forward": 1, "backward_to_input": 0, "backward": 1}
    if spec.objective == "pgd_at":
        return {"forward": steps + 1, "backward_to_input": steps, "backward": 1}
    # The clean prediction that the attack leaves is a pass of its own, unless a mixed label takes its place.
    anchored = spec.objective in ("trades", "score") and not mixed
    return {"forward": steps + 2 + anchored, "backward_to_input": steps, "backward": 2}


def colour_statistics(images: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of each colour, [C] in [0,1] intensity units, of images uint8 [N,H,W,C].

    A colour that is the same everywhere gets the deviation of one intensity level, by which nothing is divided too far.
    """
    sums = np.zeros((2, images.shape[-1]))
    for first in range(0, len(images), STATISTICS_IMAGES):
        levels = images[first : first + STATISTICS_IMAGES].reshape(-1, images.shape[-1])
        counts = [np.bincount(levels[:, colour], minlength=256) for colour in range(levels.shape[1])]
        sums += np.array([[count @ np.arange(256.0) ** power for count in counts] for power in (1, 2)])
    mean, square = sums * (images.shape[-1] / images.size)
    deviation = np.sqrt(np.maximum(square - mean**2, 1.0))
    return (mean / 255).tolist(), (deviation / 255).tolist()
