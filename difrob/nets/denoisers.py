"""The raw networks F(c_in v; c_noise, class) inside a denoiser, and the one function that builds them from a spec."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difrob.errors import UserError
from difrob.specs.train_denoiser import DenoiserNetworkSpec


class DenoiserNetwork(Protocol):
    """What the preconditioning asks of a raw network.

    Attributes:
        num_classes: K; label K is the null class. 0 for a network without classes.
        image_shape: (C, H, W).
    """

    num_classes: int
    image_shape: tuple[int, int, int]

    def __call__(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """x [B,C,H,W] of unit scale, c_noise [B] = ln(sigma)/4, both float32; labels int64 [B] in 0..K -> [B,C,H,W]."""
        ...

    def feature_modules(self) -> dict[str, nn.Module]:
        """Inner blocks in order of depth, by name; hooks on them read the network's features."""
        ...


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


class UNet(nn.Module):
    """The two-dimensional U-Net of the diffusers library, conditioned on the noise level and the class."""

    # diffusers feeds whole time steps 0..1000 to its sinusoidal embedding; this brings c_noise to a like range.
    TIME_SCALE = 400.0

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, spec: DenoiserNetworkSpec) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        channels, height, width = image_shape
        levels = len(spec.channels)
        down = ["DownBlock2D"] * levels
        up = ["UpBlock2D"] * levels
        if spec.attention:
            down[-1], up[0] = "AttnDownBlock2D", "AttnUpBlock2D"
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.unet: Any = UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=spec.channels,
            layers_per_block=spec.layers_per_block,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            add_attention=spec.attention,
            norm_num_groups=8,
            num_class_embeds=num_classes + 1,
            dropout=spec.dropout,
        )

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        output: Tensor = self.unet(x, c_noise * self.TIME_SCALE, class_labels=labels, return_dict=False)[0]
        return output

    def feature_modules(self) -> dict[str, nn.Module]:
        down = {f"down{number}": block for number, block in enumerate(self.unet.down_blocks)}
        up = {f"up{number}": block for number, block in enumerate(self.unet.up_blocks)}
        return {**down, "middle": self.unet.mid_block, **up}


def build_denoiser_network(
    spec: DenoiserNetworkSpec, image_shape: tuple[int, int, int], num_classes: int
) -> ResidualMLP | UNet:
    """Build the raw network of a denoiser; weights are drawn from torch's global generator.

    Args:
        spec: architecture and sizes.
        image_shape: (C, H, W).
        num_classes: K real classes, a null class is added; 0 for a network without classes.

    Raises:
        UserError: when the image does not fit the U-Net's levels.
    """
    if spec.architecture == "residual_mlp":
        return ResidualMLP(image_shape, num_classes, spec.width, spec.blocks, spec.dropout)
    check_levels(spec, image_shape)
    return UNet(image_shape, num_classes, spec)


def check_levels(spec: DenoiserNetworkSpec, image_shape: tuple[int, int, int]) -> None:
    """Refuse a U-Net whose levels the image cannot be halved to.

    Raises:
        UserError: naming the image size and how many levels it allows.
    """
    _, height, width = image_shape
    levels = len(spec.channels)
    if spec.architecture == "unet2d" and (height % 2 ** (levels - 1) or width % 2 ** (levels - 1)):
        common = math.gcd(height, width)
        allowed = (common & -common).bit_length()
        raise UserError(
            f"network.channels has {levels} levels, but images of {height}x{width} pixels can be halved only "
            f"{allowed - 1} times; give at most {allowed} levels"
        )
