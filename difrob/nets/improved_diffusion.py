"""Checkpoints of the improved-diffusion U-Net (Nichol & Dhariwal 2021), renamed tensor by tensor onto that of diffusers.

The two are the same function under other names. The sizes are read off the tensors; what their shapes do not tell, the
number of heads and the image size, is given. All attention layers must have heads of one width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from difrob.errors import UserError
from difrob.nets.imported import ImportedUNet, build_unet, fill

RESIDUAL_NAMES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTER_NAMES = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def improved_diffusion_unet(
    tensors: Mapping[str, Tensor], origin: str, *, image_size: int, heads: int = 4, head_width: int | None = None,
    time_scale: float = 1.0, null_class: bool = False,
) -> ImportedUNet:  # fmt: skip
    """The network of a state dictionary, in float32 on the CPU, in evaluation mode.

    Args:
        tensors: the state dictionary.
        origin: how errors call where it comes from.
        image_size: height and width in pixels.
        heads: attention heads of every attention layer.
        head_width: channels of an attention head, of which there are then as many as it takes; None for ``heads`` heads.
        time_scale: 1000 / T for a network that was trained with rescaled time steps.
        null_class: whether the last class embedding is that of the null class.

    Raises:
        UserError: naming the tensors that are missing or do not fit.
    """
    settings, renamed = translate(tensors, heads, head_width)
    channels, outputs = settings["in_channels"], settings["out_channels"]
    if outputs not in (channels, 2 * channels):
        raise UserError(
            f"the network in {origin} has {outputs} output channels for {channels} input channels; a noise predictor has as "
            "many, or twice as many with a learned variance"
        )
    levels = len(settings["block_out_channels"])
    if image_size % 2 ** (levels - 1):
        raise UserError(
            f"images of {image_size} pixels cannot be halved {levels - 1} times, as the network in {origin} does"
        )
    settings["sample_size"] = image_size
    unet = build_unet(settings, origin)
    fill(unet, renamed)
    shape = (channels, image_size, image_size)
    return ImportedUNet(unet, shape, null_class=null_class, time_scale=time_scale).eval()


def translate(
    tensors: Mapping[str, Tensor], heads: int, head_width: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings of the ``UNet2DModel`` that is the same function, and its state dictionary.

    Args:
        tensors: the state dictionary.
        heads: attention heads of every attention layer.
        head_width: channels of each head, for networks whose wider layers have more heads; then ``heads`` is not heeded.

    Raises:
        UserError: naming the tensors that belong to no part of the U-Net, or the part that is missing.
    """
    return _Translation(tensors, heads, head_width).result()


class _Translation:
    """One pass over the blocks in the order in which the network runs through them."""

    def __init__(self, tensors: Mapping[str, Tensor], heads: int, width_of_heads: int | None) -> None:
        self.left = dict(tensors)
        self.heads = heads
        self.width_of_heads = width_of_heads
        self.renamed: dict[str, Tensor] = {}
        self.head_widths: set[int] = set()

    def result(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        first = self._need("input_blocks.0.0.weight", dimensions=4)
        scale_shift = self._scale_shift()
        classes = len(self._need("label_emb.weight")) if "label_emb.weight" in self.left else None
        outputs = len(self._need("out.2.weight"))
        channels, layers, attention = self._down()
        self._middle()
        self._up(len(channels), layers, attention)
        for theirs, ours in OUTER_NAMES.items():
            self._move(theirs, ours)
        self._nothing_left()
        settings = {
            "in_channels": first.shape[1],
            "out_channels": outputs,
            "block_out_channels": tuple(channels),
            "layers_per_block": layers,
            "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            "attention_head_dim": self._head_width(),
            "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
            "num_class_embeds": classes,
            "norm_num_groups": 32,
            "attn_norm_num_groups": 32,
        }
        return settings, self.renamed

    def _down(self) -> tuple[list[int], int, list[bool]]:
        """Residual blocks, each perhaps with attention, until a downsampling begins the next level."""
        channels: list[int] = []
        counts: list[int] = [0]
        attention: list[list[bool]] = [[]]
        width = 0
        for number in range(1, self._count("input_blocks")):
            block, level = f"input_blocks.{number}", len(counts) - 1
            if f"{block}.0.op.weight" in self.left:
                self._move(f"{block}.0.op", f"down_blocks.{level}.downsamplers.0.conv")
                channels.append(width)
                counts.append(0)
                attention.append([])
                continue
            width = len(self._need(f"{block}.0.out_layers.3.weight"))
            self._residual(f"{block}.0", f"down_blocks.{level}.resnets.{counts[level]}")
            attention[level].append(self._attention(f"{block}.1", f"down_blocks.{level}.attentions.{counts[level]}"))
            counts[level] += 1
        channels.append(width)
        if len(set(counts)) > 1 or counts[0] == 0 or any(len(set(here)) > 1 for here in attention):
            raise UserError(
                f"the levels of the checkpoint have {', '.join(map(str, counts))} residual blocks, or attention after "
                "some of them only; a U-Net of diffusers has the same in all blocks of a level"
            )
        return channels, counts[0], [here[0] for here in attention]

    def _middle(self) -> None:
        self._residual("middle_block.0", "mid_block.resnets.0")
        if not self._attention("middle_block.1", "mid_block.attentions.0"):
            self._need("middle_block.1.qkv.weight")
        self._residual("middle_block.2", "mid_block.resnets.1")

    def _up(self, levels: int, layers: int, attention: list[bool]) -> None:
        """One residual block more than on the way down; the last of a level also enlarges, but for the top level."""
        for position in range(levels):
            for layer in range(layers + 1):
                block, ours = f"output_blocks.{position * (layers + 1) + layer}", f"up_blocks.{position}"
                self._residual(f"{block}.0", f"{ours}.resnets.{layer}")
                attended = self._attention(f"{block}.1", f"{ours}.attentions.{layer}")
                if attended != attention[levels - 1 - position]:
                    raise UserError(
                        f"the checkpoint has attention on one way only at '{block}'; it cannot be translated"
                    )
                if layer == layers and position < levels - 1:
                    enlarging = f"{block}.{2 if attended else 1}.conv"
                    self._need(f"{enlarging}.weight")
                    self._move(enlarging, f"{ours}.upsamplers.0.conv")

    def _residual(self, theirs: str, ours: str) -> None:
        self._need(f"{theirs}.in_layers.0.weight")
        for old, new in RESIDUAL_NAMES.items():
            self._move(f"{theirs}.{old}", f"{ours}.{new}")

    def _attention(self, theirs: str, ours: str) -> bool:
        """Move an attention layer, if there is one.

        Query, key and value of a head lie together there, [heads, 3, width]; here all heads of each lie together.
        """
        if f"{theirs}.qkv.weight" not in self.left:
            return False
        weight, bias = self._need(f"{theirs}.qkv.weight", dimensions=2), self._need(f"{theirs}.qkv.bias")
        width = weight.shape[1]
        heads = self.heads if self.width_of_heads is None else -(-width // self.width_of_heads)
        for name, size in (
            ("qkv.weight", 3 * width * width),
            ("qkv.bias", 3 * width),
            ("proj_out.weight", width * width),
        ):
            found = self._need(f"{theirs}.{name}")
            if found.numel() != size or not size:
                shape = list(found.shape)
                raise UserError(f"'{theirs}.{name}' of the checkpoint has shape {shape}, which no attention layer has")
        if heads < 1 or width % heads or weight.shape[0] != 3 * width:
            raise UserError(
                f"'{theirs}.qkv' of the checkpoint, {width} channels wide, is not made of {heads} heads; give the "
                "number of heads that it was trained with"
            )
        del self.left[f"{theirs}.qkv.weight"], self.left[f"{theirs}.qkv.bias"]
        self.head_widths.add(width // heads)
        weights = weight.reshape(heads, 3, width // heads, width).transpose(0, 1).reshape(3, width, width)
        biases = bias.reshape(heads, 3, width // heads).transpose(0, 1).reshape(3, width)
        for name, part, shift in zip(("to_q", "to_k", "to_v"), weights, biases, strict=True):
            self.renamed[f"{ours}.{name}.weight"] = part.contiguous()
            self.renamed[f"{ours}.{name}.bias"] = shift.contiguous()
        self._move(f"{theirs}.norm", f"{ours}.group_norm")
        self._move(f"{theirs}.proj_out", f"{ours}.to_out.0")
        self.renamed[f"{ours}.to_out.0.weight"] = self.renamed[f"{ours}.to_out.0.weight"].reshape(width, width)
        return True

    def _move(self, theirs: str, ours: str) -> None:
        """Rename weight and bias where they are; the final check against the network finds what is missing."""
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" in self.left:
                self.renamed[f"{ours}.{kind}"] = self.left.pop(f"{theirs}.{kind}")

    def _need(self, name: str, dimensions: int = 1) -> Tensor:
        """A tensor of so many dimensions or more."""
        if name not in self.left:
            raise UserError(f"the checkpoint lacks '{name}'; it is not a U-Net of improved-diffusion")
        tensor = self.left[name]
        if tensor.ndim < dimensions:
            shape = list(tensor.shape)
            raise UserError(f"'{name}' has shape {shape}, which no tensor of that name in improved-diffusion has")
        return tensor

    def _count(self, blocks: str) -> int:
        numbers = [int(match[1]) for name in self.left if (match := re.match(rf"{blocks}\.(\d+)\.", name))]
        return max(numbers) + 1

    def _scale_shift(self) -> bool:
        embedded = self._need("input_blocks.1.0.emb_layers.1.weight")
        return len(embedded) == 2 * len(self._need("input_blocks.1.0.out_layers.3.weight"))

    def _head_width(self) -> int:
        if len(self.head_widths) > 1:
            widths = ", ".join(map(str, sorted(self.head_widths)))
            raise UserError(
                f"the attention layers of the checkpoint have heads of different widths ({widths}); a U-Net of "
                "diffusers has one width throughout"
            )
        return next(iter(self.head_widths))

    def _nothing_left(self) -> None:
        if self.left:
            names = sorted(self.left)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise UserError(
                f"the checkpoint holds tensors that a U-Net of improved-diffusion does not have: "
                f"{', '.join(names[:5])}{more}"
            )
