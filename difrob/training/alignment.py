"""Diffusion representation alignment (Huang et al. 2026; the details are our reading, see below).

    L = L_AT + lambda (1 - mean_i cos(P(h(x'_i)), r(x_i) - c))

h are the student's penultimate features, P a small projection head, r the pooled features of a frozen teacher at the
clean image, c their mean over the training images: without it all cosines begin near one, and the term says little. The
attack knows nothing of the term, the teacher gets no gradient, and the head is dropped after training. Which block, noise
level, weight and input the paper takes is not known to us; they are fields of the specification.

Teacher, student and head compute in the precision of the training, the cosine in float32. The student's features are those of
the objective's own outer pass, so that the term costs no pass of the student where the objective makes one over the images
that are aligned. The teacher is never compiled: it breaks off behind its block, which a compiled network cannot.

    alignment = open_alignment(spec.alignment, recorder, real, network, spec.seed, device)
    optimiser = build_optimiser(spec, [network, alignment.head], device, momentum=0.9)
    ...
    targets = alignment.targets(images, step, real_rows, generated_rows, pieces)
    with seen.kept():  # seen = OuterFeatures(network, network)
        terms = trades_loss(seen, images, labels, ...)
        term = alignment.loss(network, images, terms.adversarial, targets, seen)
    loss = terms.loss + alignment.weight * term
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.attacks.modes import frozen_statistics
from difrob.data import ImageSet, as_float
from difrob.errors import UserError
from difrob.memory import MicroBatches
from difrob.nets.classifiers import Classifier
from difrob.nets.storage import load_weights
from difrob.randomness import generator, normal_per_sample, seeded_globally
from difrob.runs.interface import Recorder
from difrob.specs.alignment_parts import AlignmentSpec
from difrob.training.compute import Autocast, send
from difrob.training.outer_features import OuterFeatures
from difrob.training.teachers import (
    DenoiserTeacher,
    Source,
    Teacher,
    feature_width,
    open_classifier_teacher,
    open_denoiser,
)

# Training images whose mean feature is the centre, and how many go through the teacher at once. Both are fixed, so that
# the centre depends on the data, the seed and the teacher alone.
CENTRE_IMAGES = 10_000
CENTRE_BATCH = 256


class AlignmentHead(nn.Module):
    """The projection P and the centre c of the targets: all of the alignment that a checkpoint holds.

    Linear layers with SiLU between them and no batch normalisation, whose statistics would mix clean and attacked images.

    Args:
        features: width d of the student's features.
        targets: width m of the teacher's.
        layers: number of linear layers, at least 1.
        width: of the hidden layers; None for 2 m.
    """

    centre: Tensor

    def __init__(self, features: int, targets: int, layers: int = 2, width: int | None = None) -> None:
        super().__init__()
        hidden = 2 * targets if width is None else width
        widths = [features, *[hidden] * (layers - 1), targets]
        stack: list[nn.Module] = []
        for position, (incoming, outgoing) in enumerate(zip(widths, widths[1:], strict=False)):
            stack += [nn.SiLU()] if position else []
            stack.append(nn.Linear(incoming, outgoing))
        self.projection = nn.Sequential(*stack)
        self.register_buffer("centre", torch.zeros(targets))

    def forward(self, features: Tensor) -> Tensor:
        """[B, d] -> [B, m]."""
        projected: Tensor = self.projection(features)
        return projected


def alignment_loss(projected: Tensor, targets: Tensor) -> Tensor:
    """1 - mean cosine of the rows of two matrices [B, m], a scalar in [0, 2]; a row of zeros has cosine 0."""
    return 1 - functional.cosine_similarity(projected, targets, dim=1).mean()


class Alignment:
    """Teacher, head and loss of one training.

    Args:
        spec: what is aligned with what.
        teacher: frozen, on the device.
        head: on the device, in training mode.
        seed: seed of the run; the noise of the teacher's input depends on it and on the step, or the image.
        autocast: gives the context of forward passes, of teacher, student and head alike.

    Attributes:
        head: its parameters belong to the optimiser, its state to the checkpoint.
        weight: lambda.
    """

    def __init__(
        self, spec: AlignmentSpec, teacher: Teacher, head: AlignmentHead, seed: int, autocast: Autocast = nullcontext
    ) -> None:
        self.head = head
        self.weight = spec.weight
        self._spec = spec
        self._teacher = teacher
        self._seed = seed
        self._autocast = autocast
        self._noise = spec.noise if teacher.takes_noise else "none"
        self._known: Tensor | None = None

    def find_centre(self, images: ImageSet) -> None:
        """Set the centre to the mean feature of the unaugmented training images, the first 10,000 if there are more."""
        some = images.take(np.arange(min(len(images), CENTRE_IMAGES)))
        features = self._features_of_set(some)
        self.head.centre.copy_(features.cpu().double().mean(dim=0))

    def remember(self, images: ImageSet, *, augmented: bool) -> bool:
        """Compute the features of all real training images once and for all, where they never change.

        They change with fresh noise at every step, and with augmentation. Features of generated images, of which there may
        be millions, are always computed when they come.

        Returns:
            Whether they are remembered now.
        """
        if targets_change(self._spec, augmented=augmented):
            return False
        self._known = self._features_of_set(images)
        return True

    def targets(
        self,
        images: Tensor,
        step: int,
        real_rows: np.ndarray,
        generated_rows: np.ndarray,
        pieces: MicroBatches,
        wanted: slice = slice(None),
    ) -> Tensor:
        """The centred teacher features of a batch, or of some rows of it, [B, m], without a graph.

        Args:
            images: the clean (augmented) images in the order of the rows, real ones first, or all of them several times
                (mixtures of images), [B,C,H,W] in [0,1].
            step: of the training, from 0.
            real_rows, generated_rows: places of the images in their sets, or of the first of those that are mixed.
            pieces: how many images go through the teacher at once.
            wanted: rows of the batch whose targets are asked for; noise and shuffling are those of the whole batch.
        """
        noise = self._noise_of(images, step, real_rows, generated_rows)
        sources = torch.arange(len(images))
        if self._spec.targets == "shuffled":
            sources = torch.randperm(len(images), generator=generator(self._seed, "shuffled targets", step))
        sources = sources[wanted]
        targets = torch.empty(len(sources), self._teacher.width, device=images.device)
        is_known = sources < (len(real_rows) if self._known is not None else 0)
        if self._known is not None and is_known.any():
            rows = torch.from_numpy(np.asarray(real_rows))[sources[is_known]]
            targets[send(is_known.nonzero().squeeze(1), images.device)] = self._known[send(rows, images.device)]
        places = (~is_known).nonzero().squeeze(1)
        for part in pieces.slices(len(places)):
            rows = send(sources[places[part]], images.device)
            features = self._features(images[rows], None if noise is None else noise[rows])
            targets[send(places[part], images.device)] = features
        return targets - self.head.centre

    def loss(
        self,
        network: Classifier,
        images: Tensor,
        adversarial: Tensor | None,
        targets: Tensor,
        seen: OuterFeatures | None = None,
    ) -> Tensor:
        """The term before its weight, a float32 scalar with a graph to student and head.

        Features that no outer pass has left behind take a further training pass, which running statistics of normalisation
        layers do not count.

        Args:
            network: the student; its method ``features`` gives [B, d].
            images: clean images [B,C,H,W] in [0,1].
            adversarial: :attr:`difrob.training.objectives.Terms.adversarial` of the objective.
            targets: rows of :meth:`targets` that belong to the images.
            seen: the network as the objective saw it, which may have kept the features of its outer passes.

        Raises:
            UserError: when attacked images are to be aligned and there are none.
        """
        inputs = []
        if self._spec.student != "adversarial":
            inputs.append(images)
        if self._spec.student != "clean":
            if adversarial is None:
                raise UserError(
                    f"alignment.student = {self._spec.student} needs attacked images, but this objective attacks none; "
                    "set it to 'clean', or choose an adversarial objective"
                )
            inputs.append(adversarial)
        with self._autocast():
            projected = [self.head(self._features_of_student(network, x, seen)) for x in inputs]
        return torch.stack([alignment_loss(rows.to(targets.dtype), targets) for rows in projected]).mean()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from ``head.state_dict()``, the centre included. UserError when it does not fit."""
        load_weights(self.head, tensors)

    def facts(self) -> dict[str, Any]:
        """What the run's record says about it, as plain JSON data."""
        return {
            "teacher": self._teacher.name,
            **self._place(),
            "teacher_features": self._teacher.width,
            "head_parameters": sum(parameter.numel() for parameter in self.head.parameters()),
            "centre": f"mean over at most {CENTRE_IMAGES:,} unaugmented real training images",
            "noise": self._noise,
            "targets_remembered": self._known is not None,
        }

    def _place(self) -> dict[str, Any]:
        """Block and noise level of a denoiser, by name also where the specification leaves the block open."""
        teacher = self._teacher
        return {"block": teacher.block, "sigma": teacher.sigma} if isinstance(teacher, DenoiserTeacher) else {}

    def _features_of_set(self, images: ImageSet) -> Tensor:
        """Features of real training images in their own order, with the noise that belongs to each of them."""
        found = []
        nothing = np.empty(0, dtype=np.int64)
        device = self.head.centre.device
        for first in range(0, len(images), CENTRE_BATCH):
            rows = np.arange(first, min(first + CENTRE_BATCH, len(images)))
            x = as_float(images.images[rows], device)
            noise = None if self._noise == "none" else self._noise_of_images(x, rows, nothing)
            found.append(self._features(x, noise))
        return torch.cat(found)

    @torch.no_grad()
    def _features(self, x: Tensor, noise: Tensor | None) -> Tensor:
        with self._autocast():
            return self._teacher(x, noise).to(x.dtype)

    @staticmethod
    def _features_of_student(network: Classifier, x: Tensor, seen: OuterFeatures | None) -> Tensor:
        features = None if seen is None else seen.of(x)
        if features is not None:
            return features
        with frozen_statistics(network):
            return network.features(x)

    def _noise_of(self, x: Tensor, step: int, real_rows: np.ndarray, generated_rows: np.ndarray) -> Tensor | None:
        if self._noise == "none":
            return None
        if self._noise == "image":
            noise = self._noise_of_images(x, real_rows, generated_rows)
            return noise.repeat(len(x) // len(noise), 1, 1, 1)
        return torch.randn(x.shape, generator=generator(self._seed, "teacher noise", step)).to(x.device)

    def _noise_of_images(self, x: Tensor, real_rows: np.ndarray, generated_rows: np.ndarray) -> Tensor:
        shape = x.shape[1:]
        drawn = [
            normal_per_sample(self._seed, ("teacher noise", name), rows, shape)
            for name, rows in (("real", real_rows), ("generated", generated_rows))
        ]
        return torch.cat(drawn).to(x.device)


def targets_change(spec: AlignmentSpec, *, augmented: bool) -> bool:
    """Whether a real image has another target at every step; else those of all of them are computed once."""
    return augmented or (spec.noise == "step" and spec.teacher != "classifier")  # to a classifier no noise is added


def open_alignment(
    spec: AlignmentSpec,
    recorder: Recorder,
    real: ImageSet,
    network: Classifier,
    seed: int,
    device: torch.device,
    *,
    augmented: bool = False,
    autocast: Autocast = nullcontext,
) -> Alignment | None:
    """The alignment that a specification asks for, its centre found; None for one without a teacher.

    The head's weights are drawn from a stream of their own, so that the student begins like one that is not aligned.

    Args:
        spec: the part of the training's specification.
        recorder: opens the teacher's run.
        real: real training images.
        network: the student, on the device.
        seed: seed of the run.
        device: where the teacher is put.
        augmented: whether the training varies its images.
        autocast: gives the context of forward passes.

    Raises:
        UserError: for a teacher that does not fit the images, has no such block, or no null class.
    """
    if not spec.is_on:
        return None
    teacher: Teacher
    if spec.teacher == "classifier":
        assert spec.classifier is not None
        teacher = open_classifier_teacher(recorder, spec.classifier, real.shape, device)
    else:
        assert spec.denoiser is not None
        source: Source = "random" if spec.teacher == "random" else "trained"
        denoiser = open_denoiser(recorder, spec.denoiser, source, real.shape, seed, device)
        teacher = DenoiserTeacher(denoiser, spec.block, spec.sigma, source)
    with seeded_globally(torch.device("cpu"), seed, "alignment head"):
        head = AlignmentHead(feature_width(network, real.shape), teacher.width, spec.head_layers, spec.head_width)
    alignment = Alignment(spec, teacher, head.to(device).train(), seed, autocast)
    alignment.find_centre(real)
    alignment.remember(real, augmented=augmented)
    recorder.attribute("alignment", alignment.facts())
    if recorder.resumed_from is None:
        recorder.note(teacher_words(spec, teacher))
    return alignment


def teacher_words(spec: AlignmentSpec, teacher: Teacher) -> str:
    """What is aligned with, for the log; an empty ``alignment.block`` names no block, so it is said which one that is."""
    run = spec.classifier if spec.teacher == "classifier" else spec.denoiser
    chosen = ""
    if isinstance(teacher, DenoiserTeacher) and not spec.block:
        chosen = ", the block in the middle, as alignment.block is empty"
    return f"aligned with '{run}': {teacher.name}, {teacher.width:,} features{chosen}"
