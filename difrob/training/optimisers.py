"""Which parameters are decayed, how gradients are clipped, and noticing a diverged loss without waiting for the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from difrob.training.divergence import LastFinite

NORMALISATION = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: weight decay on everything but the parameters of normalisation layers."""
    undecayed = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, NORMALISATION)
        for parameter in module.parameters(recurse=False)
    }
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) not in undecayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in undecayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def clip_gradients(parameters: Iterable[Tensor], largest_norm: float | None) -> Tensor:
    """Scale the gradients down to ``largest_norm`` if they exceed it; the norm they had, [], stays on the device."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    if largest_norm is not None:
        torch._foreach_mul_(gradients, (largest_norm / (norm + 1e-6)).clamp(max=1))
    return norm


class LossWatch:
    """Remembers losses and gradient norms on the device and, when asked, refuses to go on with one that is not finite.

    They are read together, at the steps at which the host waits for the device anyway.
    """

    def __init__(self) -> None:
        self._unread: list[tuple[int, float, Tensor]] = []
        self._last = LastFinite()

    def add(self, step: int, learning_rate: float, loss: Tensor, gradient_norm: Tensor) -> None:
        """Note loss and gradient norm of a step without reading them."""
        self._unread.append((step, learning_rate, torch.stack([loss.detach(), gradient_norm.detach()])))

    def check(self) -> None:
        """Read what was noted since the last call.

        Raises:
            NotFinite: naming the first step that went wrong.
        """
        if not self._unread:
            return
        values = torch.stack([pair for _, _, pair in self._unread]).tolist()
        for (step, learning_rate, _), (loss, gradient_norm) in zip(self._unread, values, strict=True):
            self._last.check(step, learning_rate, loss, gradient_norm)
        self._unread = []
