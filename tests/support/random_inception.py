"""Weights for the Inception network that were never trained, but let signals through: features differ between images."""

from __future__ import annotations

import torch
from torch import Tensor

from difrob.nets.inception import Inception


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """What a published file of weights holds, float32 by name, without counters."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Inception().state_dict().items()}
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith(".conv.weight"):
            state[name] = torch.randn(shape, generator=random) * (2 / shape[1:].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = 0.5 + torch.rand(shape, generator=random)
        else:
            state[name] = 0.1 * torch.randn(shape, generator=random)
    return state
