"""Several processes that train one network: which of them this one is, and the little that they tell each other.

Each holds the whole network and takes its share of every batch; gradients are added up, and as all then take the same step,
weights are never sent. They are added up once per step, after the backward passes: a step of adversarial training is a dozen
passes long, so sending while computing would gain next to nothing, and this way a process that runs out of memory can cut
its own share smaller without the others having to know.

    ranks = Ranks.here()
    ...
    images = images[ranks.share(len(images))]
    ...
    ranks.add_up([parameter.grad for parameter in parameters])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

BUCKET_BYTES = 64 << 20


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run.

    Attributes:
        rank: its number, from 0; number 0 leads: it alone records, and it alone is asked to stop.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Those that this process has joined, or itself alone."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this is the process that records."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The rows of ``count`` that are for this process: every so-many-th, for the order of a batch has a meaning."""
        return slice(self.rank, count, self.world)

    def largest_share(self, count: int) -> int:
        """How many rows the largest share of ``count`` has."""
        return -(-count // self.world)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in place; shapes and order must be the same in all of them.

        All of them get the same bits. On a GPU nothing is waited for.
        """
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
            distributed.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.detach().copy_(part.view(tensor.shape))

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each floating-point tensor by its mean over the processes, in place."""
        if self.world > 1 and tensors:
            self.add_up(tensors)
            torch._foreach_div_(list(tensors), self.world)

    def told(self, number: int) -> int:
        """The number that the leading process has put in; all wait until it has."""
        if self.world == 1:
            return number
        message = torch.tensor([number])
        distributed.broadcast(message, src=0)
        return int(message.item())

    def smallest(self, number: int) -> int:
        """The smallest of the numbers that the processes have put in; all wait for each other."""
        if self.world == 1:
            return number
        message = torch.tensor([number])
        distributed.all_reduce(message, distributed.ReduceOp.MIN)
        return int(message.item())

    def differ(self, tensors: Sequence[Tensor]) -> bool:
        """Whether the processes hold other bits in these tensors; a check, which waits for the device."""
        if self.world == 1:
            return False
        sums = torch.stack([_bits(tensor).sum() for tensor in tensors]).cpu()
        lowest, highest = sums.clone(), sums
        distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        return not torch.equal(lowest, highest)


ALONE = Ranks()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type, as many as :data:`BUCKET_BYTES` hold: few messages, and no second copy of all gradients."""
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if bucket and (tensor.dtype != bucket[0].dtype or held + size > BUCKET_BYTES):
            yield bucket
            bucket, held = [], 0
        bucket.append(tensor)
        held += size
    if bucket:
        yield bucket


def _bits(tensor: Tensor) -> Tensor:
    """The bits of a tensor as int64 numbers, whose sums wrap around and do not depend on their order."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().view(-1).view(whole).long()
