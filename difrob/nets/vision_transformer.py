"""A plain vision transformer (Dosovitskiy et al. 2021): patches, a class token, pre-norm blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.errors import UserError
from difrob.nets.classifier_base import Classifier

MLP_RATIO = 4
INITIAL_STD = 0.02


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron with GELU, each after layer normalisation and with a path around it.

    Args:
        width: numbers per token.
        heads: attention heads; must divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, eps=1e-6)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=1e-6)
        self.perceptron = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T, width] to the same."""
        count, length, width = tokens.shape
        packed = self.queries_keys_values(self.norm_1(tokens)).reshape(
            count, length, 3, self.heads, width // self.heads
        )
        queries, keys, values = packed.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.attended(mixed.transpose(1, 2).reshape(count, length, width))
        out: Tensor = tokens + self.perceptron(self.norm_2(tokens))
        return out


class VisionTransformer(Classifier):
    """A vision transformer of any size; base (width 768, 12 blocks, 12 heads) with 2x2 patches is B/2 for 32x32 images.

    It draws no random numbers in training (no dropout, no dropped paths), so an attack sees the network that is trained.

    Args:
        patch: side of a patch in pixels; must divide height and width.
        width: numbers per token; a multiple of ``heads``.
        blocks: transformer blocks.
        heads: attention heads per block.
        image_shape: (C, H, W).
        num_classes: number of classes K.

    Raises:
        UserError: for a patch that does not divide the image.
    """

    def __init__(
        self, *, patch: int, width: int, blocks: int, heads: int, image_shape: tuple[int, int, int], num_classes: int
    ) -> None:
        super().__init__(image_shape, num_classes)
        colours, height, image_width = image_shape
        if height % patch or image_width % patch:
            raise UserError(
                f"network.patch = {patch} does not divide images of {height}x{image_width} pixels; choose one that does"
            )
        if width % heads:
            raise ValueError(f"width = {width} must be a multiple of heads = {heads}")
        self.patches = nn.Conv2d(colours, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, (height // patch) * (image_width // patch) + 1, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.positions, std=INITIAL_STD)
        nn.init.trunc_normal_(self.class_token, std=INITIAL_STD)

    def features(self, x: Tensor) -> Tensor:
        """The class token after the last block, normalised, [B, width]."""
        patches = self.patches(self.standardised(x)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1) + self.positions
        normalised: Tensor = self.norm(self.blocks(tokens)[:, 0])
        return normalised
