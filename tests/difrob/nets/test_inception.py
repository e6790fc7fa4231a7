"""The Inception network: its names and shapes, and its numbers against a graph written out in float64."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from support.random_inception import random_state
from torch import Tensor
from torch.nn import functional

from difrob.nets.inception import EDGE, Inception, pooled, prepared

# Known of Inception-v3 with 1,000 classes: all parameters, those of the second head, and those of the head.
WITHOUT_HEADS = 27_161_264 - 3_326_696 - 2_049_000

SHAPES = {
    "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
    "Conv2d_4a_3x3.bn.running_mean": (192,),
    "Mixed_5b.branch1x1.bn.running_mean": (64,),
    "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
    "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
    "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
    "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
    "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
    "Mixed_6c.branch7x7_3.conv.weight": (192, 160, 7, 1),
    "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
    "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
    "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
    "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
    "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    "Mixed_7c.branch_pool.bn.bias": (192,),
    "fc.weight": (1008, 2048),
    "fc.bias": (1008,),
}


def test_names_shapes_and_size_are_those_of_the_published_weights() -> None:
    with torch.device("meta"):
        network = Inception()
    tensors = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert {name: tensors[name] for name in SHAPES} == SHAPES
    assert sum(parameter.numel() for parameter in network.parameters()) == WITHOUT_HEADS + 2049 * 1008
    convolutions = [name for name in tensors if name.endswith(".conv.weight")]
    assert len(convolutions) == 94
    assert len([name for name in tensors if "num_batches_tracked" not in name]) == 5 * 94 + 2
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 94 and {norm.eps for norm in norms} == {0.001}


@lru_cache
def network() -> Inception:
    found = Inception()
    found.load_state_dict(random_state(), strict=False)
    return found.eval()


class Reference:
    """The graph written out, in float64; ``counts_padding`` and ``ends_in_max`` are what tells it from torchvision's."""

    def __init__(self, counts_padding: bool = False, ends_in_max: bool = True) -> None:
        self.state = {name: tensor.double() for name, tensor in random_state().items()}
        self.counts_padding, self.ends_in_max = counts_padding, ends_in_max

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: tuple[int, int] = (0, 0)) -> Tensor:
        y = functional.conv2d(x, self.state[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, variance, scale, offset = (
            self.state[f"{name}.bn.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((y - mean) / (variance + 0.001).sqrt() * scale + offset).clamp_min(0)

    def average(self, x: Tensor) -> Tensor:
        """Sums over the neighbours that there are, divided by how many they are."""
        kernel = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        sums = functional.conv2d(x, kernel, padding=1, groups=x.shape[1])
        ones = torch.ones_like(x)
        return sums / (
            9 * ones if self.counts_padding else functional.conv2d(ones, kernel, padding=1, groups=x.shape[1])
        )

    def chain(self, x: Tensor, block: str, *steps: tuple[str, tuple[int, int]]) -> Tensor:
        for name, padding in steps:
            x = self.conv(x, f"{block}.{name}", 1, padding)
        return x

    def a(self, x: Tensor, b: str) -> Tensor:
        return torch.cat([
            self.conv(x, f"{b}.branch1x1"),
            self.chain(x, b, ("branch5x5_1", (0, 0)), ("branch5x5_2", (2, 2))),
            self.chain(x, b, ("branch3x3dbl_1", (0, 0)), ("branch3x3dbl_2", (1, 1)), ("branch3x3dbl_3", (1, 1))),
            self.conv(self.average(x), f"{b}.branch_pool"),
        ], 1)  # fmt: skip

    def c(self, x: Tensor, b: str) -> Tensor:
        row, column = (0, 3), (3, 0)
        return torch.cat([
            self.conv(x, f"{b}.branch1x1"),
            self.chain(x, b, ("branch7x7_1", (0, 0)), ("branch7x7_2", row), ("branch7x7_3", column)),
            self.chain(x, b, ("branch7x7dbl_1", (0, 0)), ("branch7x7dbl_2", column), ("branch7x7dbl_3", row),
                       ("branch7x7dbl_4", column), ("branch7x7dbl_5", row)),
            self.conv(self.average(x), f"{b}.branch_pool"),
        ], 1)  # fmt: skip

    def e(self, x: Tensor, b: str, *, in_max: bool) -> Tensor:
        first = self.conv(x, f"{b}.branch3x3_1")
        second = self.chain(x, b, ("branch3x3dbl_1", (0, 0)), ("branch3x3dbl_2", (1, 1)))
        pool = functional.max_pool2d(x, 3, 1, 1) if in_max else self.average(x)
        return torch.cat([
            self.conv(x, f"{b}.branch1x1"),
            self.conv(first, f"{b}.branch3x3_2a", 1, (0, 1)), self.conv(first, f"{b}.branch3x3_2b", 1, (1, 0)),
            self.conv(second, f"{b}.branch3x3dbl_3a", 1, (0, 1)), self.conv(second, f"{b}.branch3x3dbl_3b", 1, (1, 0)),
            self.conv(pool, f"{b}.branch_pool"),
        ], 1)  # fmt: skip

    def features(self, x: Tensor) -> Tensor:
        x = self.conv(x, "Conv2d_1a_3x3", 2)
        x = self.conv(x, "Conv2d_2a_3x3")
        x = functional.max_pool2d(self.conv(x, "Conv2d_2b_3x3", 1, (1, 1)), 3, 2)
        x = functional.max_pool2d(self.conv(self.conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.a(x, block)
        b = "Mixed_6a"
        twice = self.chain(x, b, ("branch3x3dbl_1", (0, 0)), ("branch3x3dbl_2", (1, 1)))
        x = torch.cat([self.conv(x, f"{b}.branch3x3", 2), self.conv(twice, f"{b}.branch3x3dbl_3", 2),
                       functional.max_pool2d(x, 3, 2)], 1)  # fmt: skip
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.c(x, block)
        b = "Mixed_7a"
        stripes = self.chain(x, b, ("branch7x7x3_1", (0, 0)), ("branch7x7x3_2", (0, 3)), ("branch7x7x3_3", (3, 0)))
        x = torch.cat([self.conv(self.conv(x, f"{b}.branch3x3_1"), f"{b}.branch3x3_2", 2),
                       self.conv(stripes, f"{b}.branch7x7x3_4", 2), functional.max_pool2d(x, 3, 2)], 1)  # fmt: skip
        x = self.e(x, "Mixed_7b", in_max=False)
        return self.e(x, "Mixed_7c", in_max=self.ends_in_max).mean((2, 3))


def test_features_are_those_of_the_graph_and_not_of_its_cousin() -> None:
    """Small images, of which the last blocks still see 2x2 pixels, so that padding and pooling matter."""
    x = torch.rand(2, 3, 107, 107, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        found = network()(x).double()
        expected = Reference().features(x.double())
        padded = Reference(counts_padding=True).features(x.double())
        averaged = Reference(ends_in_max=False).features(x.double())
    scale = expected.abs().mean()
    assert found.shape == (2, 2048) and scale > 0.01
    assert (found - expected).abs().max() < 1e-3 * scale
    assert (padded - expected).abs().mean() > 0.05 * scale and (averaged - expected).abs().mean() > 0.01 * scale


def test_pooling_counts_only_what_is_there() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4) - 20
    at = x[0, 0].double().numpy()
    average, largest = pooled(x, "average")[0, 0].numpy(), pooled(x, "max")[0, 0].numpy()
    for row in range(3):
        for column in range(4):
            near = at[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert average[row, column] == pytest.approx(near.mean()) and largest[row, column] == near.max()
    assert pooled(x, "halving max").tolist() == [[[[at[:3, :3].max()]]]] and pooled(x, "none") is x


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 13), (400, 301)])
def test_images_are_resized_between_the_centres_of_pixels(height: int, width: int) -> None:
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(2))

    def weights(given: int) -> np.ndarray:
        """[299, given]: each new pixel's centre lies between two of the old ones, or beyond the outermost."""
        matrix = np.zeros((EDGE, given))
        for row, place in enumerate(np.clip((np.arange(EDGE) + 0.5) * given / EDGE - 0.5, 0, given - 1)):
            low = int(place)
            matrix[row, low] += 1 - (place - low)
            matrix[row, min(low + 1, given - 1)] += place - low
        return matrix

    expected = 2 * (weights(height) @ x[0, 0].double().numpy() @ weights(width).T) - 1
    found = prepared(x)
    assert found.shape == (1, 3, EDGE, EDGE)
    for channel in found[0]:
        np.testing.assert_allclose(channel.numpy(), expected, atol=2e-4 if height > EDGE else 1e-5)


def test_grey_images_are_repeated_and_others_refused() -> None:
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(prepared(grey), prepared(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match="4 channels are neither grey nor coloured"):
        prepared(torch.zeros(1, 4, 8, 8))
