"""Digits under corruptions, in the layout in which CIFAR-10-C is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.built_in_data import load_split

from difrob.specs import DataSpec

SEVERITIES = 5


def corrupted_digits(count: int, *, split: str = "test", seed: int = 0) -> dict[str, np.ndarray]:
    """``labels`` [5 count], and images uint8 [5 count,8,8,1] for each of three corruptions: mild ones first."""
    clean = load_split(DataSpec(), split).take(np.arange(count))  # type: ignore[arg-type]
    source = np.random.default_rng(seed)
    noisy, dark, speckled = [], [], []
    for severity in range(1, SEVERITIES + 1):
        levels = clean.images.astype(np.float64)
        noise = source.normal(size=levels.shape)
        noisy.append(levels + 25 * severity * noise)
        dark.append(levels * (1 - 0.18 * severity))
        speckled.append(levels * (1 + 0.2 * severity * noise))
    arrays = {"gaussian_noise": noisy, "brightness": dark, "speckle_noise": speckled}
    images = {name: np.concatenate(parts).round().clip(0, 255).astype(np.uint8) for name, parts in arrays.items()}
    return {"labels": np.tile(clean.labels, SEVERITIES).astype(np.uint8), **images}


def write_corrupted(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """One ``.npy`` file for each array."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder
