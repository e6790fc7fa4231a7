"""Putting a network in the mode that an attack needs, and every module back into the mode it was in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each module has its own former mode again.

    A single ``network.train()`` at the end would wake submodules that somebody had frozen.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch normalisation inside the block normalises as before but leaves its running statistics alone.

    The attack inside TRADES sees the network in training mode; its K extra passes must not count as training data
    (Gowal et al. 2021, as used by Wang et al. 2023).
    """
    layers = [
        (module, module.track_running_stats)
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    for module, _ in layers:
        # In evaluation mode the running statistics are what normalises, so they must stay in use.
        module.track_running_stats = module.track_running_stats and not module.training
    try:
        yield
    finally:
        for module, tracked in layers:
            module.track_running_stats = tracked
