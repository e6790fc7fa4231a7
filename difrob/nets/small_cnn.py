"""The small classifier for 8x8 to 28x28 images: SiLU convolutions without batch normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from difrob.nets.classifier_base import Classifier


class SmallCNN(Classifier):
    """SiLU convolutions, one hidden layer of features and a linear head, without batch normalisation.

    The first convolution keeps the image size and each further one halves it. Without batch statistics, one image's
    logits do not depend on the others of its batch, in training as in evaluation.

    Args:
        channels: output channels of the convolutions.
        features: width of the penultimate layer.
        image_shape: (C, H, W).
        num_classes: number of classes K.
    """

    def __init__(
        self, *, channels: tuple[int, ...], features: int, image_shape: tuple[int, int, int], num_classes: int
    ) -> None:
        super().__init__(image_shape, num_classes)
        incoming, height, width = image_shape
        layers: list[nn.Module] = []
        for position, outgoing in enumerate(channels):
            stride = 1 if position == 0 else 2
            layers += [nn.Conv2d(incoming, outgoing, 3, stride=stride, padding=1), nn.SiLU()]
            height, width = -(-height // stride), -(-width // stride)
            incoming = outgoing
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(incoming * height * width, features), nn.SiLU())
        self.head = nn.Linear(features, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Weights that keep the size of the activations through SiLU (He et al. 2015); the head starts undecided.

        With torch's own smaller weights the signal fades from layer to layer, and the first fifty or so steps of
        adversarial training are lost on a plateau.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.start_undecided()

    def features(self, x: Tensor) -> Tensor:
        """Output of the hidden layer, [B, features]."""
        hidden: Tensor = self.hidden(self.convolutions(self.standardised(x)))
        return hidden
