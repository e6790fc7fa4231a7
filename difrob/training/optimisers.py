"""The optimiser of a classifier: which parameters it decays, how gradients are clipped, and noticing a diverged loss.

Under SGD all parameters decay but those of normalisation layers, as in the released code of Wang et al. 2023. Under AdamW only
the weights of linear layers and convolutions decay, as transformers are trained: biases, normalisation, class tokens and
position embeddings are spared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from difrob.specs import TrainClassifierSpec
from difrob.training.divergence import LastFinite

NORMALISATION = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
)
WEIGHED = (nn.Linear, nn.modules.conv._ConvNd)


def build_optimiser(
    spec: TrainClassifierSpec, modules: Sequence[nn.Module], device: torch.device, *, momentum: float
) -> torch.optim.Optimizer:
    """The optimiser that a specification asks for, before its first step.

    Args:
        spec: says which, with which rate, decay and betas.
        modules: what is trained, on the device.
        device: where; on CPU and CUDA the whole step is one fused kernel.
        momentum: of the first step; SGD alone has one, and it is Nesterov's unless it is 0.
    """
    fused = device.type in ("cpu", "cuda")
    if spec.optimiser == "adamw":
        groups = [group for module in modules for group in weight_groups(module, spec.weight_decay)]
        first, second = spec.betas
        return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(first, second), fused=fused)
    groups = [group for module in modules for group in decay_groups(module, spec.weight_decay)]
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=momentum, nesterov=momentum > 0, fused=fused)


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: weight decay on everything but the parameters of normalisation layers."""
    undecayed = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, NORMALISATION)
        for parameter in module.parameters(recurse=False)
    }
    return _groups(network, undecayed, weight_decay)


def weight_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: weight decay on the weights of linear layers and convolutions, and on nothing else.

    Matrices and kernels decay. Biases, normalisation, class tokens, position embeddings and all other parameters do not.
    """
    decayed = {id(module.weight) for module in network.modules() if isinstance(module, WEIGHED)}
    return _groups(network, {id(parameter) for parameter in network.parameters()} - decayed, weight_decay)


def _groups(network: nn.Module, undecayed: set[int], weight_decay: float) -> list[dict[str, Any]]:
    """At most two groups, in the order of the network, without empty ones."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) not in undecayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in undecayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Give momenta and averages the memory layout of their parameters.

    Stored tensors are contiguous, whatever the layout of the weights; a fused step needs one layout for both.
    """
    for parameter, quantities in optimiser.state.items():
        for name, values in quantities.items():
            if isinstance(values, Tensor) and values.dim() and values.shape == parameter.shape:
                quantities[name] = torch.empty_like(parameter).copy_(values)


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
