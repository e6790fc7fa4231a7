"""The network of improved-diffusion written out, with parameters under the names of its checkpoints."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS, LAYERS, HEADS, ATTENTION = (32, 64), 2, 2, (False, True)


class Steps(nn.Module):
    """Named parts in a row, as containers of the original are."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name.lstrip("_"), part)


class WrittenOut(nn.Module):
    """The U-Net of Nichol & Dhariwal 2021, plainly: parameters under the names of its checkpoints, read by name."""

    def __init__(self, classes: int, scale_shift: bool, variance: bool, image_channels: int = 3) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        condition = 4 * LEVELS[0]
        self.time_embed = Steps(_0=nn.Linear(LEVELS[0], condition), _2=nn.Linear(condition, condition))
        if classes:
            self.label_emb = nn.Embedding(classes, condition)
        inputs: list[nn.Module] = [Steps(_0=nn.Conv2d(image_channels, LEVELS[0], 3, padding=1))]
        widths, width = [LEVELS[0]], LEVELS[0]
        for level, channels in enumerate(LEVELS):
            for _ in range(LAYERS):
                inputs.append(self.block(width, channels, ATTENTION[level]))
                width = channels
                widths.append(width)
            if level + 1 < len(LEVELS):
                inputs.append(Steps(_0=Steps(op=nn.Conv2d(width, width, 3, stride=2, padding=1))))
                widths.append(width)
        self.input_blocks = nn.ModuleList(inputs)
        self.middle_block = Steps(
            _0=self.residual(width, width), _1=self.attention(width), _2=self.residual(width, width)
        )
        outputs: list[nn.Module] = []
        for level in reversed(range(len(LEVELS))):
            for layer in range(LAYERS + 1):
                block = self.block(width + widths.pop(), LEVELS[level], ATTENTION[level])
                width = LEVELS[level]
                if level and layer == LAYERS:
                    block.add_module(str(1 + ATTENTION[level]), Steps(conv=nn.Conv2d(width, width, 3, padding=1)))
                outputs.append(block)
        self.output_blocks = nn.ModuleList(outputs)
        outputs_each = 2 if variance else 1
        last = nn.Conv2d(width, outputs_each * image_channels, 3, padding=1)
        self.out = Steps(_0=nn.GroupNorm(32, width), _2=last)

    def block(self, width: int, channels: int, attention: bool) -> Steps:
        parts: dict[str, nn.Module] = {"_0": self.residual(width, channels)}
        if attention:
            parts["_1"] = self.attention(channels)
        return Steps(**parts)

    def residual(self, width: int, channels: int) -> Steps:
        embedded = nn.Linear(4 * LEVELS[0], 2 * channels if self.scale_shift else channels)
        parts = {
            "in_layers": Steps(_0=nn.GroupNorm(32, width), _2=nn.Conv2d(width, channels, 3, padding=1)),
            "emb_layers": Steps(_1=embedded),
            "out_layers": Steps(_0=nn.GroupNorm(32, channels), _3=nn.Conv2d(channels, channels, 3, padding=1)),
        }
        if width != channels:
            parts["skip_connection"] = nn.Conv2d(width, channels, 1)
        return Steps(**parts)

    def attention(self, width: int) -> Steps:
        return Steps(
            norm=nn.GroupNorm(32, width), qkv=nn.Conv1d(width, 3 * width, 1), proj_out=nn.Conv1d(width, width, 1)
        )

    def run_residual(self, name: str, h: Tensor, embedding: Tensor) -> Tensor:
        part = self.get_submodule
        inner = part(f"{name}.in_layers.2")(F.silu(part(f"{name}.in_layers.0")(h)))
        condition = part(f"{name}.emb_layers.1")(F.silu(embedding))[:, :, None, None]
        norm, conv = part(f"{name}.out_layers.0"), part(f"{name}.out_layers.3")
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            inner = conv(F.silu(norm(inner) * (1 + scale) + shift))
        else:
            inner = conv(F.silu(norm(inner + condition)))
        skip = f"{name}.skip_connection"
        return inner + (part(skip)(h) if any(key.startswith(skip) for key in self.state_dict()) else h)

    def run_attention(self, name: str, h: Tensor) -> Tensor:
        """Head by head, with the three parts of a head next to each other."""
        part, flat = self.get_submodule, h.flatten(2)
        qkv = part(f"{name}.qkv")(part(f"{name}.norm")(flat))
        heads = []
        for head in qkv.chunk(HEADS, dim=1):
            q, k, v = head.chunk(3, dim=1)
            share = torch.einsum("bct,bcs->bts", q, k) / math.sqrt(q.shape[1])
            heads.append(torch.einsum("bts,bcs->bct", share.softmax(dim=2), v))
        return h + part(f"{name}.proj_out")(torch.cat(heads, dim=1)).reshape(h.shape)

    def run_block(self, name: str, h: Tensor, embedding: Tensor) -> Tensor:
        for position, step in self.get_submodule(name).named_children():
            kinds, here = dict(step.named_children()), f"{name}.{position}"
            if "in_layers" in kinds:
                h = self.run_residual(here, h, embedding)
            elif "qkv" in kinds:
                h = self.run_attention(here, h)
            elif "op" in kinds:
                h = kinds["op"](h)
            elif "conv" in kinds:
                h = kinds["conv"](F.interpolate(h, scale_factor=2.0, mode="nearest"))
            else:
                h = step(h)
        return h

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        half = LEVELS[0] // 2
        phases = time[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
        waves = torch.cat([phases.cos(), phases.sin()], dim=1)
        embedding = self.get_submodule("time_embed.2")(F.silu(self.get_submodule("time_embed.0")(waves)))
        if labels is not None:
            embedding = embedding + self.label_emb(labels)
        kept, h = [], x
        for number in range(len(self.input_blocks)):
            h = self.run_block(f"input_blocks.{number}", h, embedding)
            kept.append(h)
        h = self.run_block("middle_block", h, embedding)
        for number in range(len(self.output_blocks)):
            h = self.run_block(f"output_blocks.{number}", torch.cat([h, kept.pop()], dim=1), embedding)
        return self.get_submodule("out.2")(F.silu(self.get_submodule("out.0")(h)))


def written_out(classes: int = 0, scale_shift: bool = True, variance: bool = True, channels: int = 3) -> WrittenOut:
    """Such a network with random weights."""
    torch.manual_seed(0)
    network = WrittenOut(classes, scale_shift, variance, channels)
    with torch.no_grad():
        for weight in network.parameters():  # norms start as identities, which would hide an exchange
            weight.add_(0.05 * torch.randn(weight.shape))
    return network.eval()
