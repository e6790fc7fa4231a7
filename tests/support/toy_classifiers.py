"""Classifiers of which everything is known, for testing attacks and smoothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LinearClassifier(nn.Module):
    """Logits W x + b, with weights from a seed."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, seed: int = 0) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        size = math.prod(shape)
        self.weight = nn.Parameter(torch.randn(num_classes, size, generator=source) / math.sqrt(size))
        self.bias = nn.Parameter(0.1 * torch.randn(num_classes, generator=source))
        self.image_shape = shape
        self.num_classes = num_classes

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def worst_margin_linf(network: LinearClassifier, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Largest margin (wrong minus right logit) of a linear classifier in the linf ball within [0,1], float64 [B].

    For each wrong class the adversary moves every pixel to the end of its interval that the weight difference favours.
    """
    flat = images.flatten(1).double()
    low, high = (flat - eps).clamp(0, 1), (flat + eps).clamp(0, 1)
    weight, bias = network.weight.detach().double(), network.bias.detach().double()
    worst = torch.full((len(images),), -torch.inf, dtype=torch.float64)
    for wrong in range(network.num_classes):
        direction = weight[wrong] - weight[labels]
        corner = torch.where(direction > 0, high, low)
        margin = (corner * direction).sum(1) + bias[wrong] - bias[labels]
        worst = torch.where(labels == wrong, worst, torch.maximum(worst, margin))
    return worst


class WavyClassifier(nn.Module):
    """A small nonlinear network in float64 that uses all its classes and is broken by about half of mild attacks.

    In float64 the order of additions, which differs between batch sizes, cannot change a verdict.
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int, seed: int = 0, hidden: int = 24) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        size = math.prod(shape)
        inner = torch.randn(hidden, size, generator=source, dtype=torch.float64) / math.sqrt(size)
        self.inner = nn.Parameter(2 * inner)
        self.outer = nn.Parameter(torch.randn(num_classes, hidden, generator=source, dtype=torch.float64))
        self.image_shape = shape
        self.num_classes = num_classes

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(2 * (2 * x - 1).flatten(1) @ self.inner.T) @ self.outer.T


class ThresholdClassifier(nn.Module):
    """Class 1 where the first pixel exceeds a threshold, else class 0: its smoothed version is known in closed form."""

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        excess = x.flatten(1)[:, 0] - self.threshold
        return torch.stack([-excess, excess], dim=1)


class PassCounter:
    """Counts image passes through a network by hooks.

    Attributes:
        forward: images passed forward.
        backward_to_input: images whose gradient came back through a pass that began at an input with a gradient (attack).
        backward: the same for passes that began at a constant input, so that only weights can have got the gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        self.forward = 0
        self.backward_to_input = 0
        self.backward = 0
        network.register_forward_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self.forward += len(output)
        if output.requires_grad:
            attacks = inputs[0].requires_grad
            output.register_hook(lambda gradient: self._count_backward(len(gradient), attacks))

    def _count_backward(self, images: int, attacks: bool) -> None:
        if attacks:
            self.backward_to_input += images
        else:
            self.backward += images
