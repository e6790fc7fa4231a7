"""Frozen networks whose features a classifier is aligned with, or that are probed: opened from their runs, and checked."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from difrob.attacks.modes import evaluation_mode
from difrob.diffusion.features import BlockFeatures
from difrob.diffusion.loading import load_denoiser
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.inputs import misfits
from difrob.inputs.misfits import refuse
from difrob.nets.classifiers import Classifier
from difrob.nets.denoisers import DenoiserNetwork
from difrob.randomness import seeded_globally
from difrob.runs.interface import Recorder
from difrob.training.loading import load_classifier

Source = Literal["trained", "random"]


class Teacher(Protocol):
    """A frozen network that turns images into features.

    Attributes:
        width: how many features m it has.
        name: how results call it, e.g. ``denoiser block2 at sigma 0.3``; without run ids, which differ anyway.
        takes_noise: whether its input may hold noise.
    """

    width: int
    name: str
    takes_noise: bool

    def __call__(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B,C,H,W] in [0,1], and standard normal noise of the same shape or None -> [B, m]."""
        ...


class DenoiserTeacher(BlockFeatures):
    """A block of a denoiser as a teacher; see :class:`difrob.diffusion.features.BlockFeatures`."""

    takes_noise = True

    def __init__(self, denoiser: TrainedDenoiser, block: str, sigma: float, source: Source) -> None:
        super().__init__(denoiser, block, sigma)
        kind = "denoiser" if source == "trained" else "denoiser of random weights"
        self.name = f"{kind}, {self.block}, sigma {sigma:g}"


class ClassifierTeacher(nn.Module):
    """The penultimate features of a classifier as a teacher; noise is ignored.

    Args:
        classifier: frozen, in evaluation mode.
        image_shape: (C, H, W).
        name: how results call it.
    """

    takes_noise = False

    def __init__(self, classifier: Classifier, image_shape: tuple[int, int, int], name: str = "classifier") -> None:
        super().__init__()
        self.classifier = classifier
        self.name = name
        self.width = feature_width(classifier, image_shape)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Penultimate features [B, m] of images [B,C,H,W] in [0,1]."""
        features: Tensor = self.classifier.features(x)
        return features


def feature_width(network: Classifier, image_shape: tuple[int, int, int]) -> int:
    """How many penultimate features a classifier has, found by asking it about a black image."""
    parameter = next(network.parameters())
    image = torch.zeros(1, *image_shape, dtype=parameter.dtype, device=parameter.device)
    with evaluation_mode(network), torch.no_grad():
        return int(network.features(image).shape[1])


def open_denoiser(
    recorder: Recorder, run_id: str, source: Source, image_shape: tuple[int, int, int], seed: int, device: torch.device
) -> TrainedDenoiser:
    """The denoiser of a run, or its architecture with random weights, fit to be a teacher for such images.

    Args:
        recorder: opens the run and notes it as a parent.
        run_id: a run that holds a diffusion model.
        source: its averaged weights, or random ones.
        image_shape: (C, H, W) of the images it is to see.
        seed: from which random weights are drawn.
        device: where the network is put.

    Raises:
        UserError: for other images, or without a null class, naming both sides and the mend.
    """
    denoiser, trained = load_denoiser(recorder.input_run(run_id), device)
    refuse(
        misfits.network_images("denoiser", run_id, denoiser.image_shape, image_shape),
        misfits.classless_teacher(run_id, trained.class_conditional, trained.label_dropout),
    )
    if source == "random":
        randomise(denoiser.network, seed)
        denoiser.to(device)
    return denoiser


def randomise(network: DenoiserNetwork, seed: int) -> None:
    """Random weights instead of learnt ones, as each layer draws them by default.

    Layers that a fresh diffusion network has at zero are drawn, too: with them at zero all blocks would say the same.
    """
    assert isinstance(network, nn.Module)
    network.to("cpu")
    with seeded_globally(torch.device("cpu"), seed, "random teacher"):
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()


def open_classifier_teacher(
    recorder: Recorder, run_id: str, image_shape: tuple[int, int, int], device: torch.device
) -> ClassifierTeacher:
    """The best weights of a run that holds a classifier as a teacher.

    Raises:
        UserError: for other images, naming both sizes.
    """
    classifier, _ = load_classifier(recorder.input_run(run_id), "best", device)
    refuse(misfits.network_images("classifier", run_id, classifier.image_shape, image_shape))
    return ClassifierTeacher(classifier, image_shape)
