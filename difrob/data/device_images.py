"""The images of a set, a batch at a time, on the device.

A small set lies on the device as bytes, and a batch costs one look-up there. A large one stays where it is, usually a
memory map; a batch is collected on the host, in pinned memory where there is a GPU. Both give the same numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from difrob.data.augmentation import Augmentation, augment
from difrob.data.images import ImageSet

RESIDENT_BYTES = 4 << 30
RESIDENT_SHARE = 0.25  # of a GPU's free memory
_COPY_ROWS = 8192
_BUFFERS = 2


class DeviceImages:
    """Batches of an image set on a device.

    Args:
        images: the set.
        device: where batches are wanted.
        resident: whether the whole set is put on the device; None for what fits (see :data:`RESIDENT_BYTES`).

    Attributes:
        images: the set.
        resident: whether the whole set lies on the device.
    """

    def __init__(self, images: ImageSet, device: torch.device | str, *, resident: bool | None = None) -> None:
        self.images = images
        self.device = torch.device(device)
        self.resident = images.images.nbytes <= resident_limit(self.device) if resident is None else resident
        self._labels = torch.from_numpy(np.array(images.labels)).to(self.device)
        self._levels = self._on_device() if self.resident else None
        self._pinned: list[tuple[Tensor, torch.cuda.Event]] = []
        self._turn = 0

    def __len__(self) -> int:
        return len(self.images)

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0, step: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The images at these rows, varied if asked for, and their labels.

        Args:
            rows: int64 [B], in any order, repetitions allowed.
            augmentation: how to vary them.
            seed, step: fix what the augmentation draws.

        Returns:
            float32 [B,C,H,W] in [0,1] and int64 [B] on the device.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()}..{rows.max()} of a set of {len(self)} images")
        places = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        if self.device.type == "cuda":  # from pinned memory the GPU fetches it without the host waiting for queued work
            places = places.pin_memory()
        places = places.to(self.device, non_blocking=True)
        levels = self._levels.index_select(0, places) if self._levels is not None else self._collected(rows)
        if augmentation:
            levels = augment(levels, augmentation, seed, step)
        return levels.to(torch.float32).div_(255), self._labels.index_select(0, places)

    def _on_device(self) -> Tensor:
        """uint8 [N,C,H,W], copied piece by piece so that a mapped file is never in memory twice."""
        count, height, width, channels = self.images.images.shape
        levels = torch.empty((count, channels, height, width), dtype=torch.uint8, device=self.device)
        for first in range(0, count, _COPY_ROWS):
            part = torch.from_numpy(np.array(self.images.images[first : first + _COPY_ROWS]))
            levels[first : first + _COPY_ROWS] = part.to(self.device).permute(0, 3, 1, 2)
        return levels

    def _collected(self, rows: np.ndarray) -> Tensor:
        """uint8 [B,C,H,W] of these rows, collected on the host."""
        if self.device.type != "cuda":
            part = torch.from_numpy(np.take(self.images.images, rows, axis=0)).to(self.device)
            return part.permute(0, 3, 1, 2).contiguous()
        buffer, copied = self._next_buffer(len(rows))
        copied.synchronize()  # what the buffer held before has arrived
        np.take(self.images.images, rows, axis=0, out=buffer.numpy(), mode="clip")  # "raise" would go through a copy
        part = buffer.to(self.device, non_blocking=True)
        copied.record(torch.cuda.current_stream(self.device))
        return part.permute(0, 3, 1, 2).contiguous()

    def _next_buffer(self, count: int) -> tuple[Tensor, torch.cuda.Event]:
        """Pinned buffers in turn, so that one is filled while the other is on its way."""
        if not self._pinned or len(self._pinned[0][0]) != count:
            shape = (count, *self.images.images.shape[1:])
            self._pinned = [
                (torch.empty(shape, dtype=torch.uint8, pin_memory=True), torch.cuda.Event()) for _ in range(_BUFFERS)
            ]
        self._turn = (self._turn + 1) % _BUFFERS
        return self._pinned[self._turn]


def resident_limit(device: torch.device) -> int:
    """Up to how many bytes a set is put on the device as a whole."""
    if device.type != "cuda":
        return RESIDENT_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return min(RESIDENT_BYTES, int(RESIDENT_SHARE * free))
