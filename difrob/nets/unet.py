"""The two-dimensional U-Net of the diffusers library as the raw network of a denoiser, and its published sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from difrob.errors import UserError


@dataclass(frozen=True)
class UNetOptions:
    """Everything that shapes a U-Net but the images and the classes.

    Attributes:
        channels: width of each resolution level; the edge halves from one to the next.
        layers_per_block: residual blocks of a level on the way down (one more on the way up).
        attention_edges: image heights in pixels at which every residual block is followed by self-attention.
        middle_attention: self-attention between the two residual blocks at the bottom.
        head_width: channels of an attention head; None for one head.
        scale_shift: the noise level scales and shifts the normalised activations instead of being added to them
            (Dhariwal & Nichol 2021, section 3.1: adaptive group normalisation).
        condition_width: width of the embedding of noise level and class; None for four times the first level's.
        norm_groups: groups of the group normalisation.
        dropout: inside the residual blocks.
        learned_variance: twice the output channels; :class:`difrob.diffusion.ddpm.DDPMDenoiser` reads the first half.
        patch: edge of the squares of pixels that the network sees as channels of one position, which costs
            patch^2 times fewer operations for equal widths (Luhman & Luhman 2022, section 3); 1 for plain pixels.
    """

    channels: tuple[int, ...]
    layers_per_block: int = 1
    attention_edges: tuple[int, ...] = ()
    middle_attention: bool = False
    head_width: int | None = 8
    scale_shift: bool = False
    condition_width: int | None = None
    norm_groups: int = 8
    dropout: float = 0.0
    learned_variance: bool = False
    patch: int = 1


UNET_SIZES: dict[str, UNetOptions] = {
    # Ho et al. 2020, appendix B: 35.7 million weights for CIFAR-10.
    "cifar_36m": UNetOptions(
        channels=(128, 256, 256, 256),
        layers_per_block=2,
        attention_edges=(16,),
        middle_attention=True,
        head_width=None,
        norm_groups=32,
        dropout=0.1,
    ),
    # Nichol & Dhariwal 2021, section 3 and appendix A: four heads, scale and shift, and a learned variance.
    "cifar_53m": UNetOptions(
        channels=(128, 256, 256, 256),
        layers_per_block=3,
        attention_edges=(16, 8),
        middle_attention=True,
        head_width=64,
        scale_shift=True,
        norm_groups=32,
        dropout=0.3,
        learned_variance=True,
    ),
    # The widths and depths of DDPM++ in Karras et al. 2022, table 7 (there 55.7 million), in the blocks of diffusers.
    "cifar_54m": UNetOptions(
        channels=(256, 256, 256),
        layers_per_block=4,
        attention_edges=(16,),
        middle_attention=True,
        head_width=None,
        condition_width=512,
        norm_groups=32,
        dropout=0.13,
    ),
}


def unet_of_size(name: str) -> UNetOptions:
    """A published size by its name.

    Raises:
        UserError: for an unknown name, naming those there are.
    """
    if name not in UNET_SIZES:
        raise UserError(f"there is no U-Net of size '{name}'; choose one of {', '.join(UNET_SIZES)}")
    return UNET_SIZES[name]


class UNet(nn.Module):
    """The U-Net of the diffusers library, conditioned on the noise level and the class.

    Args:
        image_shape: (C, H, W).
        num_classes: K real classes, a null class is added; 0 for a network without classes.
        options: sizes and kinds of blocks.

    Raises:
        UserError: when the image does not fit the levels, or the channels the groups and heads.
    """

    # diffusers feeds whole time steps 0..1000 to its sinusoidal embedding; this brings c_noise to a like range.
    TIME_SCALE = 400.0

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, options: UNetOptions) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        check_levels(options.channels, image_shape, options.patch)
        _check_channels(options)
        channels, height, width = (
            image_shape[0] * options.patch**2, image_shape[1] // options.patch, image_shape[2] // options.patch
        )  # fmt: skip
        attention = _attention_levels(options, height)
        down = ["AttnDownBlock2D" if here else "DownBlock2D" for here in attention]
        up = ["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)]
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.patch = options.patch
        self.unet: Any = UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=2 * channels if options.learned_variance else channels,
            block_out_channels=options.channels,
            layers_per_block=options.layers_per_block,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            add_attention=options.middle_attention,
            attention_head_dim=options.head_width,
            resnet_time_scale_shift="scale_shift" if options.scale_shift else "default",
            time_embedding_dim=options.condition_width,
            norm_num_groups=options.norm_groups,
            attn_norm_num_groups=options.norm_groups,  # else no norm stands before the middle attention with scale_shift
            num_class_embeds=num_classes + 1,
            dropout=options.dropout,
        )

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        patches = functional.pixel_unshuffle(x, self.patch)
        output: Tensor = self.unet(patches, c_noise * self.TIME_SCALE, class_labels=labels, return_dict=False)[0]
        return functional.pixel_shuffle(output, self.patch)

    def feature_modules(self) -> dict[str, nn.Module]:
        return unet_feature_modules(self.unet)


def unet_feature_modules(unet: Any) -> dict[str, nn.Module]:
    """The blocks of a diffusers U-Net in order of depth, by name."""
    down = {f"down{number}": block for number, block in enumerate(unet.down_blocks)}
    up = {f"up{number}": block for number, block in enumerate(unet.up_blocks)}
    return {**down, "middle": unet.mid_block, **up}


def check_levels(channels: tuple[int, ...], image_shape: tuple[int, int, int], patch: int = 1) -> None:
    """Refuse a U-Net whose patches the image does not consist of, or whose levels they cannot be halved to.

    Raises:
        UserError: naming the image size and what it allows.
    """
    _, height, width = image_shape
    if height % patch or width % patch:
        raise UserError(
            f"images of {height}x{width} pixels do not consist of patches of {patch}x{patch}; choose a network.patch that "
            "divides both"
        )
    levels, common = len(channels), math.gcd(height // patch, width // patch)
    if common % 2 ** (levels - 1):
        allowed = (common & -common).bit_length()
        grid = f" in patches of {patch}x{patch}" if patch > 1 else ""
        raise UserError(
            f"network.channels has {levels} levels, but images of {height}x{width} pixels{grid} can be halved only "
            f"{allowed - 1} times; give at most {allowed} levels"
        )


def _check_channels(options: UNetOptions) -> None:
    for count, name in ((options.norm_groups, "normalisation groups"), (options.head_width or 1, "channels of a head")):
        unfit = [width for width in options.channels if width <= 0 or width % count]
        if unfit:
            raise UserError(f"network.channels holds {unfit[0]}, which {count} {name} do not divide; give multiples")


def _attention_levels(options: UNetOptions, height: int) -> list[bool]:
    """Which levels have attention.

    Raises:
        UserError: for an edge that no level has.
    """
    edges = [height >> level for level in range(len(options.channels))]
    missing = [edge for edge in options.attention_edges if edge not in edges]
    if missing:
        raise UserError(
            f"attention is wanted at {missing[0]} pixels, but the levels have {', '.join(map(str, edges))}; choose from these"
        )
    return [edge in options.attention_edges for edge in edges]
