"""Classifiers by name."""

from __future__ import annotations

from difrob.nets.classifier_base import PIXEL_MEAN, PIXEL_STD, Classifier
from difrob.nets.preact_resnet import PreActResNet18
from difrob.nets.small_cnn import SmallCNN
from difrob.nets.vision_transformer import VisionTransformer
from difrob.nets.wide_resnet import WideResNet
from difrob.specs.train_classifier import ClassifierNetworkSpec

__all__ = ["PIXEL_MEAN", "PIXEL_STD", "Classifier", "build_classifier"]

# Depth and widening factor of the wide residual networks that have a name of their own.
WIDE_RESNETS = {"wide_resnet_28_10": (28, 10), "wide_resnet_70_16": (70, 16), "wide_resnet_94_16": (94, 16)}

# Patch, width, blocks, heads; base is that of Dosovitskiy et al. 2021, table 1.
VIT_BASE_2 = (2, 768, 12, 12)


def build_classifier(spec: ClassifierNetworkSpec, image_shape: tuple[int, int, int], num_classes: int) -> Classifier:
    """A freshly initialised classifier; its weights come from torch's global generator, which the caller seeds.

    Args:
        spec: architecture and sizes.
        image_shape: (C, H, W).
        num_classes: number of classes K, at least 2.

    Raises:
        UserError: for images that the architecture cannot take.
    """
    if spec.architecture == "small_cnn":
        return SmallCNN(
            channels=spec.channels, features=spec.features, image_shape=image_shape, num_classes=num_classes
        )
    if spec.architecture == "preact_resnet_18":
        return PreActResNet18(image_shape=image_shape, num_classes=num_classes)
    if spec.architecture in ("vit", "vit_base_2"):
        free = (spec.patch, spec.width, spec.blocks, spec.heads)
        patch, width, blocks, heads = free if spec.architecture == "vit" else VIT_BASE_2
        return VisionTransformer(
            patch=patch, width=width, blocks=blocks, heads=heads, image_shape=image_shape, num_classes=num_classes
        )
    depth, widen = WIDE_RESNETS.get(spec.architecture, (spec.depth, spec.widen))
    return WideResNet(depth=depth, widen=widen, image_shape=image_shape, num_classes=num_classes)
