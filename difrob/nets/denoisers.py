"""What a parameterisation asks of the raw network inside a denoiser, and the one function that builds it from a spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from torch import Tensor, nn

from difrob.nets import unet
from difrob.nets.residual_mlp import ResidualMLP, StraightMLP
from difrob.nets.unet import UNet, UNetOptions, unet_of_size
from difrob.specs.train_denoiser import DenoiserNetworkSpec


class DenoiserNetwork(Protocol):
    """What the parameterisations ask of a raw network: F(c_in v; c_noise, class) of EDM, or the noise e of DDPM.

    A network may also have ``takes_time_steps``, true where the second argument is the time step of a DDPM instead, and
    ``has_null_class``, false where label K is not known to it.

    Attributes:
        num_classes: K; label K is the null class. 0 for a network without classes.
        image_shape: (C, H, W).
    """

    num_classes: int
    image_shape: tuple[int, int, int]

    def __call__(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """x [B,C,H,W] of unit scale, c_noise [B] = ln(sigma)/4, both of the weights' type; labels int64 [B] in 0..K.

        Returns:
            [B,C,H,W]; or [B,2C,H,W] from a network that was trained by DDPM with a learned variance.
        """
        ...

    def feature_modules(self) -> dict[str, nn.Module]:
        """Inner blocks in order of depth, by name; hooks on them read the network's features."""
        ...


def build_denoiser_network(
    spec: DenoiserNetworkSpec, image_shape: tuple[int, int, int], num_classes: int
) -> ResidualMLP | StraightMLP | UNet:
    """Build the raw network of a denoiser; weights are drawn from torch's global generator.

    The residual perceptron of points, images of shape (d, 1, 1), is the one with a straight path.

    Args:
        spec: architecture and sizes.
        image_shape: (C, H, W).
        num_classes: K real classes, a null class is added; 0 for a network without classes.

    Raises:
        UserError: when the image does not fit the U-Net's levels.
    """
    if spec.architecture != "unet2d":
        straight = spec.architecture == "straight_mlp" or image_shape[1:] == (1, 1)
        perceptron = StraightMLP if straight else ResidualMLP
        return perceptron(image_shape, num_classes, spec.width, spec.blocks, spec.dropout)
    return UNet(image_shape, num_classes, unet_options(spec, image_shape))


def unet_options(spec: DenoiserNetworkSpec, image_shape: tuple[int, int, int]) -> UNetOptions:
    """The U-Net that a spec asks for, a published size or its own; the latter's attention is at the lowest resolution."""
    if spec.unet_size != "custom":
        return replace(unet_of_size(spec.unet_size), dropout=spec.dropout)
    lowest = image_shape[1] // spec.patch >> (len(spec.channels) - 1)
    return UNetOptions(
        channels=spec.channels,
        patch=spec.patch,
        layers_per_block=spec.layers_per_block,
        attention_edges=(lowest,) if spec.attention else (),
        middle_attention=spec.attention,
        dropout=spec.dropout,
    )


def check_levels(spec: DenoiserNetworkSpec, image_shape: tuple[int, int, int]) -> None:
    """Refuse a U-Net whose levels the image cannot be halved to, before anything is built.

    Raises:
        UserError: naming the image size and what it allows.
    """
    if spec.architecture == "unet2d":
        options = unet_options(spec, image_shape)
        unet.check_levels(options.channels, image_shape, options.patch)
