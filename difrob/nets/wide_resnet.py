"""Wide residual networks (Zagoruyko & Komodakis 2016) with SiLU, as Gowal et al. 2020 and Wang et al. 2023 train them."""

from __future__ import annotations

from torch import Tensor, nn

from difrob.nets.classifier_base import Classifier
from difrob.nets.residual_blocks import ResidualStages

FIRST = 16


class WideResNet(Classifier):
    """Three stages of (depth - 4) / 6 pre-activation blocks with 16, 32 and 64 times ``widen`` channels.

    28-10 has 36.5 million parameters, 70-16 267 million, 94-16 366 million.

    Args:
        depth: number of layers d, 6 n + 4.
        widen: widening factor w.
        image_shape: (C, H, W), of any size.
        num_classes: number of classes K.
    """

    def __init__(self, *, depth: int, widen: int, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__(image_shape, num_classes)
        if depth < 10 or (depth - 4) % 6 or widen < 1:
            raise ValueError(f"depth = {depth} must be 6 n + 4 with n >= 1, and widen = {widen} at least 1")
        widths = (16 * widen, 32 * widen, 64 * widen)
        self.stages = ResidualStages(colours=image_shape[0], first=FIRST, widths=widths, blocks=(depth - 4) // 6)
        self.head = nn.Linear(widths[-1], num_classes)
        self.start_undecided()

    def features(self, x: Tensor) -> Tensor:
        """The mean over the pixels of the last stage, [B, 64 widen]."""
        pooled: Tensor = self.stages(self.standardised(x))
        return pooled
