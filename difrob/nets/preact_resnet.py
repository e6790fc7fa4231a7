"""PreAct-ResNet-18 with SiLU (He et al. 2016b), the small network of the literature on adversarial training."""

from __future__ import annotations

from torch import Tensor, nn

from difrob.nets.classifier_base import Classifier
from difrob.nets.residual_blocks import ResidualStages

WIDTHS = (64, 128, 256, 512)


class PreActResNet18(Classifier):
    """Four stages of two pre-activation blocks: 11.2 million parameters, 512 features.

    The paths around the blocks are 1x1 convolutions, as published. The released code of Wang et al. 2023 has 3x3 ones on the
    input before its activation, 12.5 million parameters in all; weights of the two cannot be exchanged.

    Args:
        image_shape: (C, H, W), of any size.
        num_classes: number of classes K.
    """

    def __init__(self, *, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__(image_shape, num_classes)
        self.stages = ResidualStages(colours=image_shape[0], first=WIDTHS[0], widths=WIDTHS, blocks=2)
        self.head = nn.Linear(WIDTHS[-1], num_classes)
        self.start_undecided()

    def features(self, x: Tensor) -> Tensor:
        """The mean over the pixels of the last stage, [B, 512]."""
        pooled: Tensor = self.stages(self.standardised(x))
        return pooled
