"""Residual multilayer perceptrons inside a denoiser, for small images and for points in R^d."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NoiseLevelEmbedding(nn.Module):
    """Sines and cosines of c_noise at geometrically spaced frequencies.

    c_noise = ln(sigma)/4 runs from -1.6 to 1.1 for sigma from 0.002 to 80. The slowest wave tells only the two ends
    apart, the fastest noise levels a few per cent apart.
    """

    frequencies: Tensor

    def __init__(self, width: int, slowest: float = 0.5, fastest: float = 32.0) -> None:
        super().__init__()
        frequencies = torch.logspace(math.log10(slowest), math.log10(fastest), width // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """[B] -> [B, width]."""
        phases = c_noise[:, None] * self.frequencies
        return torch.cat([phases.sin(), phases.cos()], dim=1)


class ResidualBlock(nn.Module):
    """h + MLP(scale * LayerNorm(h) + shift), with scale and shift set by noise level and class.

    The last layer starts at zero, so that a fresh stack of blocks is the identity (Peebles & Xie 2023, adaLN-Zero).
    """

    def __init__(self, width: int, condition_width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition_width, 2 * width)
        self.expand = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h [B, width], condition [B, condition_width] -> [B, width]."""
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        inner = self.norm(h) * (1 + scale) + shift
        inner = F.silu(self.expand(inner))
        change: Tensor = self.project(self.dropout(inner))
        return h + change


class ResidualMLP(nn.Module):
    """A residual multilayer perceptron on the flattened image; small and quick for images of some hundred pixels."""

    CONDITION_WIDTH = 64

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, width: int, blocks: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.num_classes = num_classes
        pixels = math.prod(image_shape)
        condition_width = self.CONDITION_WIDTH
        self.noise_level = NoiseLevelEmbedding(condition_width)
        self.noise_projection = nn.Linear(condition_width, condition_width)
        self.class_embedding = nn.Embedding(num_classes + 1, condition_width)
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(condition_width, condition_width), nn.SiLU())
        self.input = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, condition_width, dropout) for _ in range(blocks))
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, pixels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        condition = self.condition(self.noise_projection(self.noise_level(c_noise)) + self.class_embedding(labels))
        h = self.input(x.flatten(1))
        for block in self.blocks:
            h = block(h, condition)
        output: Tensor = self.output(self.output_norm(h))
        return output.reshape(x.shape)

    def feature_modules(self) -> dict[str, nn.Module]:
        return {f"block{number}": block for number, block in enumerate(self.blocks)}


class StraightMLP(nn.Module):
    """A residual perceptron with a straight path around its blocks: for points in R^d, and for predicting noise.

    The ideal network of a Gaussian is linear in x, with a slope that depends on the noise level; that of any bounded data
    is so far out, and that which predicts noise is nearly so at large noise, where x is little else. A layer norm behind
    the blocks, as in :class:`ResidualMLP`, loses the length of x, so that there is none, and every coordinate has a slope
    and an offset of its own beside what the blocks say.
    """

    CONDITION_WIDTH = 64

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, width: int, blocks: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.num_classes = num_classes
        coordinates, condition_width = math.prod(image_shape), self.CONDITION_WIDTH
        self.noise_level = NoiseLevelEmbedding(condition_width)
        self.noise_projection = nn.Linear(condition_width, condition_width)
        self.class_embedding = nn.Embedding(num_classes + 1, condition_width)
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(condition_width, condition_width), nn.SiLU())
        self.input = nn.Linear(coordinates, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, condition_width, dropout) for _ in range(blocks))
        self.output = nn.Linear(width, coordinates)
        self.slope = nn.Linear(condition_width, coordinates)
        self.offset = nn.Linear(condition_width, coordinates)
        for layer in (self.output, self.slope, self.offset):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        condition = self.condition(self.noise_projection(self.noise_level(c_noise)) + self.class_embedding(labels))
        flat = x.flatten(1)
        h = self.input(flat)
        for block in self.blocks:
            h = block(h, condition)
        output: Tensor = self.output(h) + self.slope(condition) * flat + self.offset(condition)
        return output.reshape(x.shape)

    def feature_modules(self) -> dict[str, nn.Module]:
        return {f"block{number}": block for number, block in enumerate(self.blocks)}
