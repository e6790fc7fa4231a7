"""Going on in smaller pieces when a device runs out of memory.

A step of training is the same sum whether its images go through the network at once or in turn, and samples do not depend
on their batch. So the answer to a full device is half as many images at once, decided once, said in the log, kept in the
checkpoint: a resumed run must cut its batches in the same places to be the same to the last digit.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from difrob.ranks.shares import Ranks

Result = TypeVar("Result")


def out_of_memory(error: BaseException) -> str:
    """What ran out: ``"gpu"``, ``"cpu"``, or "" for another error."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in text:
        return "gpu"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return "cpu"
    return ""


class MicroBatches:
    """How many images go through the network at once.

    Args:
        size: images at once, at least 1.
        may_shrink: whether to halve the size when memory runs out; else the error is raised as it came.
        tell: called with (new size, sentence) at each halving.
    """

    def __init__(self, size: int, *, may_shrink: bool, tell: Callable[[int, str], None]) -> None:
        self.size = size
        self._may_shrink = may_shrink
        self._tell = tell

    def slices(self, count: int) -> Iterator[slice]:
        """Consecutive pieces of ``count`` images, each of at most the present size, as equal as can be."""
        parts = -(-count // self.size)
        for part in range(parts):
            yield slice(part * count // parts, (part + 1) * count // parts)

    def interleaved(self, count: int) -> Iterator[slice]:
        """The same number of pieces, each of every so-many-th image, for a batch whose order has a meaning: batch
        normalisation should see in each piece what it would see in the whole."""
        parts = -(-count // self.size)
        for part in range(parts):
            yield slice(part, count, parts)

    def attempt(self, work: Callable[[], Result]) -> Result:
        """Do ``work``, which cuts by :meth:`slices`, as often as it takes; it must be fit to be begun anew."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not self._may_shrink or self.size == 1 or not (what := out_of_memory(error)):
                    raise
                why = f"{'GPU' if what == 'gpu' else 'main'} memory ran out with {self.size} images at once"
            # Out here the traceback, and with it every tensor of the attempt, is gone.
            self.size = -(-self.size // 2)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._tell(self.size, f"{why}; from here on {self.size} at once")

    def agree(self, ranks: Ranks) -> None:
        """Cut as finely as the rank whose memory holds least, so that a resumed run, of which one size is known, does too."""
        smallest = ranks.smallest(self.size)
        if smallest < self.size:
            self.size = smallest
            self._tell(smallest, f"another device of this run ran out of memory; from here on {smallest} at once")
