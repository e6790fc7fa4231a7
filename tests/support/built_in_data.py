"""Built-in data for tests that have no run and no workspace."""

from __future__ import annotations

from support.memory_recorder import MemoryRecorder

import difrob.data
from difrob.data import ImageSet, Split
from difrob.specs import DataSpec


def load_split(data: DataSpec, split: Split, apply_subset: bool = True) -> ImageSet:
    """Like :func:`difrob.data.load_split`, for the built-in data sets."""
    return difrob.data.load_split(MemoryRecorder(), data, split, apply_subset)
