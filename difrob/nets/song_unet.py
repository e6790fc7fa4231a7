"""The U-Net of Song et al. 2021 as Karras et al. 2022 publish it (DDPM++ and NCSN++), for weights of theirs.

Parameters have the names of the published state dictionaries, so that these load as they are. It is used, not trained:
there is no dropout, and no augmentation is told to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SKIP_SCALE = math.sqrt(0.5)
NORM_EPS = 1e-6
LARGEST_PERIOD = 10_000
FILTERS = {2: (1.0, 1.0), 4: (1.0, 3.0, 3.0, 1.0)}

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class SongUNetOptions:
    """Everything that shapes the network; the defaults are those of DDPM++ for CIFAR-10.

    Attributes:
        image_size: height and width in pixels.
        image_channels: of the image, in and out.
        base_channels: width behind the first convolution.
        channels: width of each resolution level; the edge halves from one to the next.
        blocks: residual blocks of a level on the way down (one more on the way up).
        attention_edges: image heights in pixels with self-attention: in all blocks on the way down, in the last one on the
            way up. The first block at the bottom always has it.
        condition_width: width of the embedding that the blocks are told.
        noise_width: width of the embedding of the noise level, of which the former is made.
        classes: K; 0 for a network without classes.
        null_class: whether it was also trained without the class, which it is told as zeros.
        augmentations: length of the vector that told its training how an image was changed; 0 for none.
        embedding: of the noise level: sines of falling frequencies (DDPM++), or of random ones (NCSN++).
        encoder: residual (NCSN++) and skip give each level the image itself in its resolution, standard does not.
        decoder: skip adds up an image of each level.
        filter_size: taps of the filter between resolutions: 2 for [1,1], 4 for [1,3,3,1].
    """

    image_size: int = 32
    image_channels: int = 3
    base_channels: int = 128
    channels: tuple[int, ...] = (256, 256, 256)
    blocks: int = 4
    attention_edges: tuple[int, ...] = (16,)
    condition_width: int = 512
    noise_width: int = 128
    classes: int = 0
    null_class: bool = False
    augmentations: int = 0
    embedding: Literal["positional", "fourier"] = "positional"
    encoder: Literal["standard", "skip", "residual"] = "standard"
    decoder: Literal["standard", "skip"] = "standard"
    filter_size: int = 2


class SongUNet(nn.Module):
    """The raw network F inside the EDM preconditioning; implements :class:`difrob.nets.denoisers.DenoiserNetwork`."""

    def __init__(self, options: SongUNetOptions) -> None:
        super().__init__()
        self.options = options
        self.image_shape = (options.image_channels, options.image_size, options.image_size)
        self.num_classes = options.classes
        self.has_null_class = options.null_class or options.classes == 0
        noise, condition = options.noise_width, options.condition_width
        self.map_noise = Frequencies(noise) if options.embedding == "fourier" else Positions(noise)
        if options.classes:
            self.map_label = nn.Linear(options.classes, noise)
        if options.augmentations:
            self.map_augment = nn.Linear(options.augmentations, noise, bias=False)  # never asked, but in the file
        self.map_layer0 = nn.Linear(noise, condition)
        self.map_layer1 = nn.Linear(condition, condition)
        self.enc = nn.ModuleDict()
        self.dec = nn.ModuleDict()
        self._build_decoder(self._build_encoder())

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """See :class:`difrob.nets.denoisers.DenoiserNetwork`."""
        condition = self.condition(c_noise, labels)
        kept: list[Tensor] = []
        image = x
        for name, module in self.enc.items():
            if name.endswith("aux_down"):
                image = module(image)
            elif name.endswith("aux_skip"):
                x = kept[-1] = x + module(image)
            elif name.endswith("aux_residual"):
                x = kept[-1] = image = (x + module(image)) * SKIP_SCALE
            else:
                x = module(x, condition) if isinstance(module, SongBlock) else module(x)
                kept.append(x)
        shown: Tensor | None = None
        normed = x
        for name, module in self.dec.items():
            if name.endswith("aux_up"):
                shown = module(shown)
            elif name.endswith("aux_norm"):
                normed = module(x)
            elif name.endswith("aux_conv"):
                part = module(functional.silu(normed))
                shown = part if shown is None else part + shown
            else:
                if x.shape[1] != cast(SongBlock, module).channels_in:
                    x = torch.cat([x, kept.pop()], dim=1)
                x = module(x, condition)
        assert shown is not None
        return shown

    def condition(self, c_noise: Tensor, labels: Tensor) -> Tensor:
        """What the blocks are told of noise level [B] and class [B], [B, condition_width]."""
        told: Tensor = self.map_noise(c_noise)
        if self.num_classes:
            known = functional.one_hot(labels, self.num_classes + 1)[
                :, : self.num_classes
            ]  # the null class is all zero
            told = told + self.map_label(known.to(told.dtype) * math.sqrt(self.num_classes))
        return functional.silu(self.map_layer1(functional.silu(self.map_layer0(told))))

    def feature_modules(self) -> dict[str, nn.Module]:
        """The last block of each level in order of depth, named as those of the U-Net of diffusers."""
        edges, last = self._edges(), self.options.blocks
        down = {f"down{level}": self.enc[f"{edge}x{edge}_block{last - 1}"] for level, edge in enumerate(edges)}
        up = {f"up{level}": self.dec[f"{edge}x{edge}_block{last}"] for level, edge in enumerate(reversed(edges))}
        return {**down, "middle": self.dec[f"{edges[-1]}x{edges[-1]}_in1"], **up}

    def _edges(self) -> list[int]:
        return [self.options.image_size >> level for level in range(len(self.options.channels))]

    def _build_encoder(self) -> list[int]:
        """Fill ``enc``; the widths of what the decoder gets to see, in order."""
        options = self.options
        width, image_width = options.base_channels, options.image_channels
        kept: list[int] = []
        for level, (edge, channels) in enumerate(zip(self._edges(), options.channels, strict=True)):
            if level == 0:
                self.enc[f"{edge}x{edge}_conv"] = nn.Conv2d(image_width, width, 3, padding=1)
            else:
                self.enc[f"{edge}x{edge}_down"] = self._block(width, width, direction="down")
                if options.encoder == "skip":
                    self.enc[f"{edge}x{edge}_aux_down"] = Resampling(options.filter_size, "down")
                    self.enc[f"{edge}x{edge}_aux_skip"] = nn.Conv2d(image_width, width, 1)
                elif options.encoder == "residual":
                    self.enc[f"{edge}x{edge}_aux_residual"] = ResampledConv(
                        image_width, width, 3, options.filter_size, "down", fused=True
                    )
                    image_width = width
            kept.append(width)
            for number in range(options.blocks):
                block = self._block(width, channels, attention=edge in options.attention_edges)
                self.enc[f"{edge}x{edge}_block{number}"] = block
                width = channels
                kept.append(width)
        return kept

    def _build_decoder(self, kept: list[int]) -> None:
        options = self.options
        width, bottom = options.channels[-1], len(options.channels) - 1
        for level in range(bottom, -1, -1):
            edge = self._edges()[level]
            if level == bottom:
                self.dec[f"{edge}x{edge}_in0"] = self._block(width, width, attention=True)
                self.dec[f"{edge}x{edge}_in1"] = self._block(width, width)
            else:
                self.dec[f"{edge}x{edge}_up"] = self._block(width, width, direction="up")
            for number in range(options.blocks + 1):
                attention = number == options.blocks and edge in options.attention_edges
                block = self._block(width + kept.pop(), options.channels[level], attention=attention)
                self.dec[f"{edge}x{edge}_block{number}"] = block
                width = options.channels[level]
            if options.decoder == "skip" and level < bottom:
                self.dec[f"{edge}x{edge}_aux_up"] = Resampling(options.filter_size, "up")
            if options.decoder == "skip" or level == 0:
                self.dec[f"{edge}x{edge}_aux_norm"] = group_norm(width)
                self.dec[f"{edge}x{edge}_aux_conv"] = nn.Conv2d(width, options.image_channels, 3, padding=1)

    def _block(
        self, channels_in: int, channels_out: int, *, direction: Direction | None = None, attention: bool = False
    ) -> SongBlock:
        options = self.options
        return SongBlock(channels_in, channels_out, options.condition_width, options.filter_size, direction, attention)


class SongBlock(nn.Module):
    """A residual block, perhaps between two resolutions, perhaps with self-attention of one head behind it."""

    def __init__(
        self, channels_in: int, channels_out: int, condition_width: int, filter_size: int, direction: Direction | None,
        attention: bool,
    ) -> None:  # fmt: skip
        super().__init__()

        def conv(kernel: int) -> nn.Conv2d:
            if direction is None:
                return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
            return ResampledConv(channels_in, channels_out, kernel, filter_size, direction)

        self.channels_in = channels_in
        self.norm0 = group_norm(channels_in)
        self.conv0 = conv(3)
        self.affine = nn.Linear(condition_width, channels_out)
        self.norm1 = group_norm(channels_out)
        self.conv1 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = conv(1) if direction is not None or channels_in != channels_out else None
        self.has_attention = attention
        if attention:
            self.norm2 = group_norm(channels_out)
            self.qkv = nn.Conv2d(channels_out, 3 * channels_out, 1)
            self.proj = nn.Conv2d(channels_out, channels_out, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, channels_in, h, w] and [B, condition_width] to [B, channels_out, h', w']."""
        inner = self.conv0(functional.silu(self.norm0(x))) + self.affine(condition)[:, :, None, None]
        inner = self.conv1(functional.silu(self.norm1(inner)))
        x = (inner + (x if self.skip is None else self.skip(x))) * SKIP_SCALE
        return (x + self._attended(x)) * SKIP_SCALE if self.has_attention else x

    def _attended(self, x: Tensor) -> Tensor:
        """Query, key and value of a channel lie next to each other; the shares are worked out in 32 bits or more."""
        query, key, value = self.qkv(self.norm2(x)).reshape(len(x), x.shape[1], 3, -1).unbind(2)
        wide = torch.promote_types(x.dtype, torch.float32)
        likeness = torch.einsum("bcq,bck->bqk", query.to(wide), (key / math.sqrt(x.shape[1])).to(wide))
        found = torch.einsum("bqk,bck->bcq", likeness.softmax(dim=2).to(x.dtype), value)
        projected: Tensor = self.proj(found.reshape(x.shape))
        return projected


class ResampledConv(nn.Conv2d):
    """A convolution behind a change of resolution; ``fused`` filters behind the convolution instead, on the way down."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, filter_size: int, direction: Direction,
        *, fused: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)
        self.direction = direction
        self.fused = fused
        self.register_buffer("resample_filter", smoothing_filter(filter_size))

    def forward(self, x: Tensor) -> Tensor:
        taps = cast(Tensor, self.resample_filter)
        if not self.fused:
            return super().forward(resample(x, taps, self.direction))
        # The border is zero before the convolution, not between it and the filter: at the edges that is not the same.
        margin = (taps.shape[-1] - 1) // 2
        x = functional.conv2d(x, self.weight, padding=self.kernel_size[0] // 2 + margin)
        x = functional.conv2d(x, taps.to(x.dtype).repeat(x.shape[1], 1, 1, 1), stride=2, groups=x.shape[1])
        return x if self.bias is None else x + self.bias[:, None, None]


class Resampling(nn.Module):
    """A change of resolution alone."""

    def __init__(self, filter_size: int, direction: Direction) -> None:
        super().__init__()
        self.direction = direction
        self.register_buffer("resample_filter", smoothing_filter(filter_size))

    def forward(self, x: Tensor) -> Tensor:
        return resample(x, cast(Tensor, self.resample_filter), self.direction)


class Positions(nn.Module):
    """Sines and cosines of the noise level at frequencies that fall from 1 to 1/10,000, both included."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, c_noise: Tensor) -> Tensor:
        """[B] to [B, width]: all sines, then all cosines."""
        half = self.width // 2
        falling = torch.arange(half, dtype=torch.float32, device=c_noise.device) / (half - 1)
        return _waves(c_noise, (1 / LARGEST_PERIOD) ** falling)


class Frequencies(nn.Module):
    """Sines and cosines of the noise level at random frequencies, which belong to the weights."""

    def __init__(self, width: int, scale: float = 16.0) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(width // 2) * scale)

    def forward(self, c_noise: Tensor) -> Tensor:
        """[B] to [B, width]: all sines, then all cosines."""
        return _waves(c_noise, 2 * math.pi * cast(Tensor, self.freqs))


def _waves(c_noise: Tensor, frequencies: Tensor) -> Tensor:
    phases = c_noise[:, None] * frequencies.to(c_noise.dtype)
    return torch.cat([phases.sin(), phases.cos()], dim=1)


def group_norm(channels: int) -> nn.GroupNorm:
    """At most 32 groups of at least 4 channels."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=NORM_EPS)


def smoothing_filter(size: int) -> Tensor:
    """The separable filter of so many taps, of sum 1, [1, 1, size, size]."""
    taps = torch.tensor(FILTERS[size])
    return (torch.outer(taps, taps) / taps.sum() ** 2)[None, None]


def resample(x: Tensor, taps: Tensor, direction: Direction) -> Tensor:
    """Halve or double the resolution of each channel with a filter [1,1,k,k]; a constant stays what it is."""
    weight = taps.to(x.dtype).repeat(x.shape[1], 1, 1, 1)
    margin = (taps.shape[-1] - 1) // 2
    if direction == "down":
        return functional.conv2d(x, weight, stride=2, padding=margin, groups=x.shape[1])
    return functional.conv_transpose2d(x, 4 * weight, stride=2, padding=margin, groups=x.shape[1])
