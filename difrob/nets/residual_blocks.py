"""What the two residual networks are made of: pre-activation blocks with SiLU (He et al. 2016b; Gowal et al. 2020)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

# How much of a batch enters the running statistics (Wang et al. 2023, released watrain.py; torch's own default is 0.1).
BATCH_NORM_MOMENTUM = 0.01


class SamePadded(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) pixels, padded as TensorFlow pads (``SAME``).

    With stride 2 an even image gets its odd pixel at the bottom and on the right: padding (0, 1, 0, 1) for a 3x3 kernel. The
    networks of Gowal et al. 2020 were trained so, and the symmetric padding of torch would sample other pixels.
    """

    def __init__(self, incoming: int, outgoing: int, kernel: int, stride: int = 1) -> None:
        # Where nothing is asymmetric, the convolution pads by itself, without a padded copy of its input.
        super().__init__(
            incoming, outgoing, kernel, stride=stride, padding=kernel // 2 if stride == 1 else 0, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, incoming, H, W] to [B, outgoing, ceil(H / stride), ceil(W / stride)]."""
        if self.stride[0] > 1 and self.kernel_size[0] > 1:
            top, bottom = self._padding(x.shape[2])
            left, right = self._padding(x.shape[3])
            x = functional.pad(x, (left, right, top, bottom))
        return super().forward(x)

    def _padding(self, size: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and SiLU, and a path around them.

    Where size or width change, the path is a 1x1 convolution of the activated input.

    Args:
        incoming, outgoing: channels.
        stride: of the first convolution.
    """

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__()
        self.norm_1 = nn.BatchNorm2d(incoming, momentum=BATCH_NORM_MOMENTUM)
        self.conv_1 = SamePadded(incoming, outgoing, 3, stride)
        self.norm_2 = nn.BatchNorm2d(outgoing, momentum=BATCH_NORM_MOMENTUM)
        self.conv_2 = SamePadded(outgoing, outgoing, 3)
        changes = stride != 1 or incoming != outgoing
        self.shortcut = SamePadded(incoming, outgoing, 1, stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, incoming, H, W] to [B, outgoing, ceil(H / stride), ceil(W / stride)]."""
        activated = functional.silu(self.norm_1(x))
        around: Tensor = x if self.shortcut is None else self.shortcut(activated)
        inner = functional.silu(self.norm_2(self.conv_1(activated)))
        out: Tensor = self.conv_2(inner) + around
        return out


class ResidualStages(nn.Module):
    """A first convolution, stages of blocks, and a last normalisation; images in, the mean over the pixels out.

    Args:
        colours: channels of the images.
        first: channels of the first convolution.
        widths: channels of each stage; every stage after the first halves the image.
        blocks: blocks per stage.
    """

    def __init__(self, *, colours: int, first: int, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.first = SamePadded(colours, first, 3)
        layers, incoming = [], first
        for stage, outgoing in enumerate(widths):
            for number in range(blocks):
                layers.append(PreActivationBlock(incoming, outgoing, 2 if stage > 0 and number == 0 else 1))
                incoming = outgoing
        self.blocks = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(incoming, momentum=BATCH_NORM_MOMENTUM)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, last width]."""
        activated: Tensor = functional.silu(self.norm(self.blocks(self.first(x))))
        return activated.mean(dim=(2, 3))
