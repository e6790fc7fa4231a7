"""Exponential averages of weights: the copy of the network that is evaluated, sampled from and kept.

Two rules are in use. Diffusion models state a half-life in images (Karras et al. 2022), adversarial training a decay per
step (Gowal et al. 2020, Wang et al. 2023); both start faster, so that the random initial weights are soon forgotten.

    average = HalfLifeAverage(network, halflife_images=20_000, rampup_ratio=0.05)
    ...
    optimiser.step()
    average.update(network, images=batch_size)
    evaluate(average.module)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from difrob.nets.storage import load_weights

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """A detached copy of a network in evaluation mode that follows the trained one.

    Parameters are averaged. Buffers (statistics of normalisation layers) are copied by value at every update, never
    shared: the released code of Wang et al. shares them, and evaluates the average with live statistics in mid-epoch.

    Attributes:
        module: the averaged network.
        updates: how many updates it has taken.
    """

    def __init__(self, network: Network) -> None:
        self.module: Network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and the buffers."""
        return dict(self.module.state_dict())

    def counters(self) -> dict[str, int]:
        """What else a checkpoint must hold for the average to go on exactly, as plain JSON data."""
        return {"updates": self.updates}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, int]) -> None:
        """Go on from :meth:`state_dict` and :meth:`counters`. UserError when the tensors do not fit."""
        load_weights(self.module, tensors)
        self.updates = int(counters["updates"])

    @torch.no_grad()
    def _follow(self, network: Network, decay: float) -> None:
        """average <- decay * average + (1 - decay) * network, all parameters in one fused call."""
        averaged: list[Tensor] = list(self.module.parameters())
        current = [parameter.detach() for parameter in network.parameters()]
        if decay == 0:
            torch._foreach_copy_(averaged, current)
        else:
            torch._foreach_lerp_(averaged, current, 1 - decay)
        for kept, live in _by_dtype(self.module, network):
            torch._foreach_copy_(kept, live)
        self.updates += 1


def _by_dtype(average: nn.Module, network: nn.Module) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Pairs of their buffers, those of one type together: so many small copies in one call need all of one type."""
    groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for kept, live in zip(average.buffers(), network.buffers(), strict=True):
        pair = groups.setdefault(kept.dtype, ([], []))
        pair[0].append(kept)
        pair[1].append(live)
    yield from groups.values()


class HalfLifeAverage(WeightAverage[Network]):
    """Half-life in images with ramp-up (Karras et al. 2022, appendix F.2; NVlabs/edm training_loop.py).

    The half-life is min(halflife_images, rampup_ratio * images seen so far), so that early on the average spans a fixed
    share of the training so far; decay = 0.5^(batch / half-life).

    Args:
        network: the trained network; its present weights are the start.
        halflife_images: half-life in images, positive.
        rampup_ratio: positive; EDM uses 0.05.
    """

    def __init__(self, network: Network, halflife_images: float, rampup_ratio: float) -> None:
        super().__init__(network)
        self.halflife_images = halflife_images
        self.rampup_ratio = rampup_ratio
        self.images_seen = 0

    def decay(self, images: int) -> float:
        """Weight that the average keeps when the next update brings ``images`` images; 0 for the first."""
        halflife = min(self.halflife_images, self.images_seen * self.rampup_ratio)
        return 0.5 ** (images / halflife) if halflife > 0 else 0.0

    def update(self, network: Network, images: int) -> None:
        """Follow the network after a step on ``images`` images."""
        self._follow(network, self.decay(images))
        self.images_seen += images

    def counters(self) -> dict[str, int]:
        return {**super().counters(), "images_seen": self.images_seen}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, int]) -> None:
        super().restore(tensors, counters)
        self.images_seen = int(counters["images_seen"])


class WarmedUpAverage(WeightAverage[Network]):
    """Decay per step after a warm-up (Gowal et al. 2020, section 4.4; Wang et al. 2023, released watrain.py).

    During the first ``warmup_steps`` updates the average equals the network; afterwards the m-th update (m = 0, 1, ...)
    uses the decay min(decay, (1 + m) / (10 + m)).

    Args:
        network: the trained network; its present weights are the start.
        decay: largest decay, in [0, 1); Wang et al. use 0.995.
        warmup_steps: updates before averaging begins.
    """

    def __init__(self, network: Network, decay: float, warmup_steps: int = 0) -> None:
        super().__init__(network)
        self.largest_decay = decay
        self.warmup_steps = warmup_steps

    def decay(self) -> float:
        """Weight that the average keeps at the next update."""
        if self.updates < self.warmup_steps:
            return 0.0
        m = self.updates - self.warmup_steps
        return min(self.largest_decay, (1 + m) / (10 + m))

    def update(self, network: Network) -> None:
        """Follow the network after an optimiser step."""
        self._follow(network, self.decay())
