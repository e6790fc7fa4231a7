"""The order in which training images are visited, as a function of the step alone."""

from __future__ import annotations

import numpy as np

from difrob.randomness import numpy_generator


class EpochOrder:
    """Endless passes over ``size`` images, each in a fresh random order, cut into batches without regard to pass ends.

    Position p of the endless sequence is place ``p mod size`` of the permutation of pass ``p // size``, which depends on
    (seed, stream, pass) only. So the batch of a step is known without having drawn the earlier ones, and a resumed run
    sees the images that an uninterrupted one would have seen.
    """

    def __init__(self, size: int, batch_size: int, seed: int, stream: str = "order") -> None:
        if size < 1 or batch_size < 1:
            raise ValueError("size and batch size must be positive")
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.stream = stream
        self._kept: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> np.ndarray:
        """Rows of the batch of this step, int64 [batch_size]."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        passes, places = np.divmod(positions, self.size)
        rows = np.empty(self.batch_size, dtype=np.int64)
        for number in np.unique(passes):
            here = passes == number
            rows[here] = self._permutation(int(number))[places[here]]
        return rows

    def _permutation(self, number: int) -> np.ndarray:
        if number not in self._kept:
            self._kept = {k: v for k, v in self._kept.items() if k == number - 1}  # the current and the previous pass
            self._kept[number] = numpy_generator(self.seed, self.stream, number).permutation(self.size)
        return self._kept[number]
