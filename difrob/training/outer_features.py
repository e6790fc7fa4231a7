"""The penultimate features of the passes that an objective learns from, kept for a term that is added to it.

seen = OuterFeatures(network, network)
with seen.kept():
    terms = trades_loss(seen, images, labels, ...)
    features = seen.of(terms.adversarial)  # with their graph, and without another pass
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from difrob.nets.classifiers import Classifier


class OuterFeatures(nn.Module):
    """A classifier as an objective sees it, whose outer passes leave their features behind.

    An outer pass has a graph and begins at a constant. Those of an attack begin at a point that needs a gradient, and the
    prediction that an attack leaves has no graph; of neither is anything kept. Nothing is computed twice, and running
    statistics see what they would see without this module.

    Args:
        seen: [0,1] images to logits, the classifier or what calls it.
        classifier: the network whose ``head`` is given the features.
    """

    def __init__(self, seen: nn.Module, classifier: Classifier) -> None:
        super().__init__()
        self.seen = seen
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._newest: Tensor | None = None
        self._keeps = False
        classifier.head.register_forward_pre_hook(self._note)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, C, H, W], those of ``seen``."""
        logits: Tensor = self.seen(x)
        features, self._newest = self._newest, None
        if features is not None and torch.is_grad_enabled() and not x.requires_grad:
            self._kept.append((x, features))
        return logits

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Features are kept inside the block, and let go at its end, whatever ends it: graphs hold much memory."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False
            self._newest = None
            self._kept.clear()

    def of(self, x: Tensor) -> Tensor | None:
        """The features [B, d] of an outer pass over this very tensor, with their graph; None where there was none."""
        return next((features for images, features in self._kept if images is x), None)

    def _note(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._keeps:
            self._newest = inputs[0]
