"""The networks of Karras et al. 2022 written out as a function of their state dictionary, in 64 bits, by names alone."""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor

DDPMPP = {"base_channels": 128, "channels": (256, 256, 256), "blocks": 4, "attention_edges": (16,), "augmentations": 9}
NCSNPP = {**DDPMPP, "noise_width": 256, "embedding": "fourier", "encoder": "residual", "filter_size": 4}


def halved(x: Tensor, taps: int) -> Tensor:
    """Each pair of pixels becomes one: their mean, or with four taps (1, 3, 3, 1) / 8 over them and their neighbours."""
    if taps == 2:
        return F.avg_pool2d(x, 2)
    for axis in (-1, -2):
        padded = F.pad(x, (1, 1) if axis == -1 else (0, 0, 1, 1))
        first = torch.arange(0, x.shape[axis], 2)
        parts = [padded.index_select(axis, first + place) for place in range(4)]
        x = (parts[0] + 3 * parts[1] + 3 * parts[2] + parts[3]) / 8
    return x


def doubled(x: Tensor, taps: int) -> Tensor:
    """Each pixel becomes two: copies, or with four taps three quarters of it and a quarter of the nearer neighbour."""
    if taps == 2:
        return x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    for axis in (-1, -2):
        padded = F.pad(x, (1, 1) if axis == -1 else (0, 0, 1, 1))
        size = x.shape[axis]
        before, here, behind = (padded.narrow(axis, place, size) for place in range(3))
        pair = torch.stack([(before + 3 * here) / 4, (3 * here + behind) / 4], dim=x.ndim if axis == -1 else x.ndim - 1)
        x = pair.flatten(-2) if axis == -1 else pair.flatten(-3, -2)
    return x


class WrittenOut:
    """Runs a network whose tensors are given under the names of the published files."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}
        filters = [tensor for name, tensor in tensors.items() if name.endswith("resample_filter")]
        self.taps = filters[0].shape[-1]
        self.modules: dict[str, list[str]] = {"enc": [], "dec": []}
        for name in tensors:
            if (found := re.match(r"(enc|dec)\.(\w+)\.", name)) and found[2] not in self.modules[found[1]]:
                self.modules[found[1]].append(found[2])

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, self.tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        groups = min(32, x.shape[1] // 4)
        parts = x.reshape(len(x), groups, -1)
        mean, variance = parts.mean(dim=2, keepdim=True), parts.var(dim=2, keepdim=True, correction=0)
        scaled = ((parts - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
        return scaled * self.tensors[f"{name}.weight"][:, None, None] + self.tensors[f"{name}.bias"][:, None, None]

    def block(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        change = halved if name.endswith("_down") else doubled if name.endswith("_up") else lambda x, taps: x
        inner = self.conv(f"{name}.conv0", change(F.silu(self.norm(f"{name}.norm0", x)), self.taps))
        inner = inner + self.linear(f"{name}.affine", condition)[:, :, None, None]
        inner = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", inner)))
        if f"{name}.skip.weight" in self.tensors:
            x = self.conv(f"{name}.skip", change(x, self.taps))
        x = (inner + x) / math.sqrt(2)
        if f"{name}.qkv.weight" not in self.tensors:
            return x
        parts = self.conv(f"{name}.qkv", self.norm(f"{name}.norm2", x)).flatten(2)
        query, key, value = (parts[:, kind::3] for kind in range(3))  # row 3c + kind belongs to channel c
        shares = (query.transpose(1, 2) @ key / math.sqrt(x.shape[1])).softmax(dim=-1)
        found = (shares @ value.transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        return (x + self.conv(f"{name}.proj", found)) / math.sqrt(2)

    def condition(self, c_noise: Tensor, classes: Tensor | None) -> Tensor:
        width = self.tensors["map_layer0.weight"].shape[1]
        if "map_noise.freqs" in self.tensors:
            rates = 2 * math.pi * self.tensors["map_noise.freqs"]
        else:
            half = width // 2
            rates = torch.tensor([10_000 ** (-place / (half - 1)) for place in range(half)], dtype=torch.float64)
        waves = torch.cat([torch.sin(c_noise[:, None] * rates), torch.cos(c_noise[:, None] * rates)], dim=1)
        if classes is not None:
            waves = waves + self.linear("map_label", classes * math.sqrt(classes.shape[1]))
        return F.silu(self.linear("map_layer1", F.silu(self.linear("map_layer0", waves))))

    def residual(self, name: str, image: Tensor) -> Tensor:
        """The convolution sees the image within two rows of zeros; then each four by four of its values become one."""
        wide = F.conv2d(F.pad(image, (2, 2, 2, 2)), self.tensors[f"{name}.weight"])
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
        rows = sum(taps[place] * wide[:, :, place : place + wide.shape[2] - 3 : 2] for place in range(4))
        both = sum(taps[place] * rows[..., place : place + wide.shape[3] - 3 : 2] for place in range(4))  # type: ignore[index]
        return both + self.tensors[f"{name}.bias"][:, None, None]

    def __call__(self, x: Tensor, c_noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """x [B,C,H,W], c_noise [B], classes as rows of zeros and ones [B,K], all float64."""
        condition = self.condition(c_noise, classes)
        kept: list[Tensor] = []
        image, shown = x, None
        for name in self.modules["enc"]:
            full = f"enc.{name}"
            if name.endswith("aux_down"):
                image = halved(image, self.taps)
            elif name.endswith("aux_skip"):
                x = kept[-1] = x + self.conv(full, image)
            elif name.endswith("aux_residual"):
                x = kept[-1] = image = (x + self.residual(full, image)) / math.sqrt(2)
            else:
                x = self.conv(full, x) if name.endswith("_conv") else self.block(full, x, condition)
                kept.append(x)
        for name in self.modules["dec"]:
            full = f"dec.{name}"
            if name.endswith("aux_up"):
                shown = doubled(shown, self.taps) if shown is not None else None
            elif name.endswith("aux_norm"):
                normed = F.silu(self.norm(full, x))
            elif name.endswith("aux_conv"):
                part = self.conv(full, normed)
                shown = part if shown is None else shown + part
            else:
                if self.tensors[f"{full}.conv0.weight"].shape[1] != x.shape[1]:
                    x = torch.cat([x, kept.pop()], dim=1)
                x = self.block(full, x, condition)
        assert shown is not None and not kept
        return shown
