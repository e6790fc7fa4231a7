"""An array that grows at its end at constant cost per value."""

from __future__ import annotations

import numpy as np


class GrowingArray:
    """Float64 values that are only ever appended (or overwritten near the end by the pyramid).

    A view taken earlier stays valid and unchanged in length while the array grows, so another thread may write it to a file.
    """

    def __init__(self, values: np.ndarray | None = None) -> None:
        self._store = np.empty(64)
        self._length = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._length

    @property
    def view(self) -> np.ndarray:
        """The values so far, without copying."""
        return self._store[: self._length]

    def extend(self, values: np.ndarray) -> None:
        """Append values."""
        self.replace_from(self._length, values)

    def replace_from(self, start: int, values: np.ndarray) -> None:
        """Cut the array at ``start`` and append values there."""
        length = start + len(values)
        if length > len(self._store):
            store = np.empty(max(length + length // 2, 2 * len(self._store)))
            store[:start] = self._store[:start]
            self._store = store
        self._store[start:length] = values
        self._length = length
