"""The running statistics of batch normalisation: how fast they follow, and putting them back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from difrob.ranks.shares import Ranks

BatchNorm = nn.modules.batchnorm._BatchNorm


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    """The batch normalisation layers of a network; none means that images of a batch do not see each other."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


class RunningStatistics:
    """The running statistics of a network in training.

    Args:
        network: the network.
        momentum: share of a batch that enters them, in (0, 1].

    Attributes:
        exist: whether the network has any.
    """

    def __init__(self, network: nn.Module, momentum: float) -> None:
        self._layers = batch_norms(network)
        self._momentum = momentum
        statistics = [tensor for layer in self._layers for tensor in layer.buffers(recurse=False)]
        self._live = [
            [t for t in statistics if t.is_floating_point()],
            [t for t in statistics if not t.is_floating_point()],
        ]
        self._kept = [[tensor.clone() for tensor in tensors] for tensors in self._live]
        self.exist = bool(self._layers)

    def begin(self, step: int) -> None:
        """Prepare a step: the first one replaces the initial statistics, which belong to no image (Wang et al. 2023)."""
        for layer in self._layers:
            layer.momentum = 1.0 if step == 0 else self._momentum
        self._copy(self._kept, self._live)

    def put_back(self) -> None:
        """Undo what has happened since the step began; for a step that is begun anew after it ran out of memory."""
        self._copy(self._live, self._kept)

    def average_over(self, ranks: Ranks) -> None:
        """Take the mean of what the ranks have, each of which has seen another share of the batch."""
        ranks.average(self._live[0])

    @staticmethod
    def _copy(to: list[list[Tensor]], source: list[list[Tensor]]) -> None:
        for targets, values in zip(to, source, strict=True):
            if targets:
                torch._foreach_copy_(targets, values)
