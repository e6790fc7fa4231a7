"""The Inception network that the Fréchet Inception distance is defined with (Heusel et al. 2017).

It is Inception-v3 (Szegedy et al. 2016) as a graph of TensorFlow of 5 December 2015 has it: with 1,008 classes, and 2,048
numbers in front of them that serve as the features of an image. Its names are those under which PyTorch knows the
converted weights. Another network's weights give another distance, even those that torchvision calls Inception-v3: there
averages count the padding, and the last block averages where this one takes the largest value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 2048
CLASSES = 1008

# Edge in pixels of the images that the network was trained on.
EDGE = 299

# What the graph adds to the variances of batch normalisation.
VARIANCE_FLOOR = 0.001

Pooling = Literal["none", "average", "max", "halving max"]


@dataclass(frozen=True)
class Step:
    """One convolution of a path: its name in the block, how many channels it gives, height and width of its kernel.

    At stride 1 it keeps height and width; at stride 2 nothing is padded.
    """

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


@dataclass(frozen=True)
class Path:
    """One of the ways through a block: a pooling, convolutions one after the other, and perhaps several beside each other.

    Attributes:
        steps: convolutions in their order.
        fork: convolutions that all see what the steps give; their channels lie behind each other.
        pooling: what happens first, over 3x3 pixels.
    """

    steps: tuple[Step, ...] = ()
    fork: tuple[Step, ...] = ()
    pooling: Pooling = "none"

    def channels(self, given: int) -> int:
        """How many channels come out where ``given`` go in."""
        if self.fork:
            return sum(step.channels for step in self.fork)
        return self.steps[-1].channels if self.steps else given


class NormalisedConvolution(nn.Module):
    """A convolution without offset, batch normalisation and a rectifier."""

    def __init__(
        self, given: int, channels: int, kernel: tuple[int, int], stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=VARIANCE_FLOOR)

    def forward(self, x: Tensor) -> Tensor:
        """[B, given, H, W] -> [B, channels, H', W']."""
        normalised: Tensor = self.bn(self.conv(x))
        return normalised.relu_()


class Block(nn.Module):
    """Several paths over the same input, whose channels lie behind each other.

    Args:
        given: channels of the input.
        paths: in the order of their channels.

    Attributes:
        channels: of the output.
    """

    def __init__(self, given: int, paths: tuple[Path, ...]) -> None:
        super().__init__()
        self.paths = paths
        for path in paths:
            channels = given
            for step in path.steps:
                self.add_module(step.name, _convolution(channels, step))
                channels = step.channels
            for step in path.fork:
                self.add_module(step.name, _convolution(channels, step))
        self.channels = sum(path.channels(given) for path in paths)

    def forward(self, x: Tensor) -> Tensor:
        """[B, given, H, W] -> [B, channels, H', W']."""
        found: list[Tensor] = []
        for path in self.paths:
            along = pooled(x, path.pooling)
            for step in path.steps:
                along = self.get_submodule(step.name)(along)
            found += [self.get_submodule(step.name)(along) for step in path.fork] or [along]
        return torch.cat(found, dim=1)


class Inception(nn.Module):
    """The network as a whole; :meth:`forward` gives features, not classes.

    The head over the 1,008 classes is there because the files of weights have it: a head of another size tells weights that
    were trained elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = NormalisedConvolution(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = NormalisedConvolution(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = NormalisedConvolution(32, 64, (3, 3), padding=(1, 1))
        self.Conv2d_3b_1x1 = NormalisedConvolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = NormalisedConvolution(80, 192, (3, 3))
        self.block_names = tuple(MIXED)
        channels = 192
        for name, paths in MIXED.items():
            block = Block(channels, paths)
            self.add_module(name, block)
            channels = block.channels
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features of images.

        Args:
            x: float [B, 3, 299, 299] in [-1,1]; see :func:`prepared`.

        Returns:
            [B, 2048], the averages over what the last block gives.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(pooled(x, "halving max")))
        x = pooled(x, "halving max")
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def prepared(x: Tensor) -> Tensor:
    """Images as the network takes them: three channels, 299x299 pixels, values in [-1,1].

    Grey images are repeated. The resizing is bilinear between the centres of pixels and does not blur before it shrinks;
    that of the first implementation of the distance lies half a pixel beside it, which moves distances a little.

    Args:
        x: float [B, 1 or 3, H, W] in [0,1].

    Raises:
        ValueError: for another number of channels.
    """
    if x.shape[1] not in (1, 3):
        raise ValueError(f"images of {x.shape[1]} channels are neither grey nor coloured")
    coloured = x.expand(-1, 3, -1, -1)
    return 2 * functional.interpolate(coloured, size=(EDGE, EDGE), mode="bilinear", align_corners=False) - 1


def pooled(x: Tensor, pooling: Pooling) -> Tensor:
    """Averages or largest values over 3x3 pixels; what lies beyond the border is not counted.

    Args:
        x: [B, C, H, W].
        pooling: ``"halving max"`` takes every other pixel and leaves the border out; the others keep height and width.
    """
    if pooling == "average":
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    if pooling == "max":
        return functional.max_pool2d(x, 3, stride=1, padding=1)
    return functional.max_pool2d(x, 3, stride=2) if pooling == "halving max" else x


def _convolution(given: int, step: Step) -> NormalisedConvolution:
    height, width = step.kernel
    padding = (height // 2, width // 2) if step.stride == 1 else (0, 0)
    return NormalisedConvolution(given, step.channels, step.kernel, step.stride, padding)


def _squares(pool_channels: int) -> tuple[Path, ...]:
    """Blocks of 35x35 pixels: kernels of 1x1, 5x5, and twice 3x3."""
    return (
        Path((Step("branch1x1", 64),)),
        Path((Step("branch5x5_1", 48), Step("branch5x5_2", 64, (5, 5)))),
        Path((Step("branch3x3dbl_1", 64), Step("branch3x3dbl_2", 96, (3, 3)), Step("branch3x3dbl_3", 96, (3, 3)))),
        Path((Step("branch_pool", pool_channels),), pooling="average"),
    )


def _stripes(inner: int) -> tuple[Path, ...]:
    """Blocks of 17x17 pixels: kernels of 7x7 taken apart into rows and columns."""
    row, column = (1, 7), (7, 1)
    return (
        Path((Step("branch1x1", 192),)),
        Path((Step("branch7x7_1", inner), Step("branch7x7_2", inner, row), Step("branch7x7_3", 192, column))),
        Path(
            (
                Step("branch7x7dbl_1", inner),
                Step("branch7x7dbl_2", inner, column),
                Step("branch7x7dbl_3", inner, row),
                Step("branch7x7dbl_4", inner, column),
                Step("branch7x7dbl_5", 192, row),
            )
        ),
        Path((Step("branch_pool", 192),), pooling="average"),
    )


def _fans(pooling: Pooling) -> tuple[Path, ...]:
    """Blocks of 8x8 pixels: kernels of 3x3 as a row and a column beside each other."""
    row, column = (1, 3), (3, 1)
    return (
        Path((Step("branch1x1", 320),)),
        Path((Step("branch3x3_1", 384),), (Step("branch3x3_2a", 384, row), Step("branch3x3_2b", 384, column))),
        Path(
            (Step("branch3x3dbl_1", 448), Step("branch3x3dbl_2", 384, (3, 3))),
            (Step("branch3x3dbl_3a", 384, row), Step("branch3x3dbl_3b", 384, column)),
        ),
        Path((Step("branch_pool", 192),), pooling=pooling),
    )


_TO_17_PIXELS = (
    Path((Step("branch3x3", 384, (3, 3), stride=2),)),
    Path(
        (
            Step("branch3x3dbl_1", 64),
            Step("branch3x3dbl_2", 96, (3, 3)),
            Step("branch3x3dbl_3", 96, (3, 3), stride=2),
        )
    ),
    Path(pooling="halving max"),
)
_TO_8_PIXELS = (
    Path((Step("branch3x3_1", 192), Step("branch3x3_2", 320, (3, 3), stride=2))),
    Path(
        (
            Step("branch7x7x3_1", 192),
            Step("branch7x7x3_2", 192, (1, 7)),
            Step("branch7x7x3_3", 192, (7, 1)),
            Step("branch7x7x3_4", 192, (3, 3), stride=2),
        )
    ),
    Path(pooling="halving max"),
)

# The blocks in their order; the number in a name is that of the resolution, from 35x35 over 17x17 to 8x8 pixels.
MIXED: dict[str, tuple[Path, ...]] = {
    "Mixed_5b": _squares(32),
    "Mixed_5c": _squares(64),
    "Mixed_5d": _squares(64),
    "Mixed_6a": _TO_17_PIXELS,
    "Mixed_6b": _stripes(128),
    "Mixed_6c": _stripes(160),
    "Mixed_6d": _stripes(160),
    "Mixed_6e": _stripes(192),
    "Mixed_7a": _TO_8_PIXELS,
    "Mixed_7b": _fans("average"),
    "Mixed_7c": _fans("max"),
}
