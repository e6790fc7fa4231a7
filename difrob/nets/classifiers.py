"""Classifiers by name."""

from __future__ import annotations

from typing import Any, Protocol

from difrob.nets.classifier_base import PIXEL_MEAN, PIXEL_STD, Classifier
from difrob.nets.preact_resnet import PreActResNet18
from difrob.nets.small_cnn import SmallCNN
from difrob.nets.vision_transformer import VisionTransformer
from difrob.nets.wide_resnet import WideResNet
from difrob.specs.train_classifier import ClassifierNetworkSpec

__all__ = ["NETWORKS", "PIXEL_MEAN", "PIXEL_STD", "Build", "Classifier", "build_classifier"]


class Build(Protocol):
    """Makes a freshly initialised network for images of ``image_shape`` (C, H, W) and ``num_classes`` K >= 2."""

    def __call__(
        self, spec: ClassifierNetworkSpec, *, image_shape: tuple[int, int, int], num_classes: int
    ) -> Classifier: ...


def _small_cnn(spec: ClassifierNetworkSpec, **shape: Any) -> Classifier:
    return SmallCNN(channels=spec.channels, features=spec.features, **shape)


def _preact_resnet_18(spec: ClassifierNetworkSpec, **shape: Any) -> Classifier:
    return PreActResNet18(**shape)


def _wide_resnet(depth: int = 0, widen: int = 0) -> Build:
    """Of fixed depth and widening factor, or of those that the specification names."""

    def build(spec: ClassifierNetworkSpec, **shape: Any) -> Classifier:
        return WideResNet(depth=depth or spec.depth, widen=widen or spec.widen, **shape)

    return build


def _vit(spec: ClassifierNetworkSpec, **shape: Any) -> Classifier:
    return VisionTransformer(patch=spec.patch, width=spec.width, blocks=spec.blocks, heads=spec.heads, **shape)


def _vit_base_2(spec: ClassifierNetworkSpec, **shape: Any) -> Classifier:
    """The base size of Dosovitskiy et al. 2021, table 1, on patches of 2."""
    return VisionTransformer(patch=2, width=768, blocks=12, heads=12, **shape)


# One line for each choice of ``network.architecture``.
NETWORKS: dict[str, Build] = {
    "small_cnn": _small_cnn,
    "preact_resnet_18": _preact_resnet_18,
    "wide_resnet_28_10": _wide_resnet(28, 10),
    "wide_resnet_70_16": _wide_resnet(70, 16),
    "wide_resnet_94_16": _wide_resnet(94, 16),
    "wide_resnet": _wide_resnet(),
    "vit_base_2": _vit_base_2,
    "vit": _vit,
}


def build_classifier(spec: ClassifierNetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> Classifier:
    """A freshly initialised classifier; its weights come from torch's global generator, which the caller seeds.

    Args:
        spec: architecture and sizes.
        image_shape: (C, H, W).
        num_classes: number of classes K, at least 2.

    Raises:
        UserError: for images that the architecture cannot take.
    """
    return NETWORKS[spec.architecture](spec, image_shape=image_shape, num_classes=num_classes)
