"""The 1,797 real 8x8 scans of handwritten digits that ship with scikit-learn (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from difrob.data.images import ImageSet
from difrob.data.splitting import stratified_parts

SIZES = {"train": 1000, "validation": 197, "test": 600}

# One split for everybody and for ever: results of different runs, seeds and machines are about the same test images.
SPLIT_SEED = 20_240_601


@lru_cache(maxsize=1)
def digits() -> dict[str, ImageSet]:
    """The three splits, 1000 / 197 / 600 images [8,8,1], stratified by class and disjoint.

    The scans have 17 grey levels 0..16; level v is stored as round(255 v / 16).
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = raw.target.astype(np.int64)
    parts = stratified_parts(labels, SIZES, SPLIT_SEED)
    return {
        split: ImageSet(images[rows], labels[rows], 10, "digits", split, rows.copy()) for split, rows in parts.items()
    }
