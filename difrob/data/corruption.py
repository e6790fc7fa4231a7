"""Spoiling a training set, once and for all, before a model learns from it.

Which images are touched, and how, depends on (seed, image index) only: the same image is spoiled in the same way in every
subset, and a larger share spoils the images of a smaller one and more. The result keeps name, labels and indices and no
flag says what was touched: methods that claim to need no knowledge of the corruption get none. What happened is returned
beside the set, for the record of the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from difrob.data.images import ImageSet
from difrob.data.points import PointSet, in_diffusion_range
from difrob.errors import UserError
from difrob.inputs.misfits import missing_patch, refuse
from difrob.randomness import normal_per_sample, uniform_per_sample

CorruptionKind = Literal["gaussian", "outliers", "patches"]


@dataclass(frozen=True)
class Corruption:
    """How a training set is spoiled.

    Attributes:
        kind: ``"gaussian"`` adds noise; ``"outliers"`` puts an image of another data set in the place of an image, under
            its label; ``"patches"`` blanks a square.
        share: share of the images that are touched, in [0,1]. Each is touched with this probability.
        sigma: standard deviation of the noise: in [0,1] intensity for images, in the points' own unit for points.
        patch: side of the square in pixels, at least 1.
        fill: intensity in [0,1] that a blanked square gets.
        clip: keep images in [0,1] and store them as bytes, like real files; otherwise they become a :class:`PointSet`.
            Points are never clipped.
        seed: fixes the choice of the images and their noise.
    """

    kind: CorruptionKind = "gaussian"
    share: float = 0.9
    sigma: float = 0.2
    patch: int = 3
    fill: float = 0.0
    clip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share = {self.share} must lie in [0, 1]")
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"sigma = {self.sigma} must be a finite number, at least 0")
        if self.patch < 1 or not 0 <= self.fill <= 1:
            raise ValueError(f"patch = {self.patch} must be at least 1 pixel, fill = {self.fill} must lie in [0, 1]")


class Corrupted(NamedTuple):
    """A spoiled training set and what was done to it.

    Attributes:
        data: the set that training sees; an :class:`ImageSet` if it was one and clipping was asked for.
        touched: bool [N]. For evaluation only.
        record: plain JSON data: settings, how many were touched, by how much, and a digest of the stored values.
    """

    data: ImageSet | PointSet
    touched: np.ndarray
    record: dict[str, Any]


def corrupt(
    data: ImageSet | PointSet, corruption: Corruption, outliers: ImageSet | PointSet | None = None
) -> Corrupted:
    """Apply a corruption to a training set.

    Args:
        data: the clean set.
        corruption: what to do to it.
        outliers: where outliers are taken from, with replacement; images for images, points for points.

    Raises:
        UserError: for outliers that are missing or of another kind or shape, and for a patch larger than the image.
    """
    _check_fit(data, corruption, outliers)
    numbers = uniform_per_sample(corruption.seed, ("corruption", corruption.kind, "touched"), data.indices, (1,))
    touched = numbers.numpy()[:, 0] < corruption.share

    clean = in_diffusion_range(data).numpy()
    spoiled = clean.copy()
    spoiled[touched] = _spoil(clean[touched], data, data.indices[touched], corruption, outliers)
    result = _stored(spoiled, touched, data, corruption)

    changes = in_diffusion_range(result).numpy()[touched].astype(np.float64) - clean[touched]
    unit_length = 2 if isinstance(data, ImageSet) else 1  # the diffusion range is twice as wide as [0,1]
    rms_change = float(np.sqrt(np.square(changes).mean())) / unit_length if changes.size else 0.0
    record: dict[str, Any] = {
        "kind": corruption.kind,
        "share": corruption.share,
        "seed": corruption.seed,
        "images": len(data),
        "touched": int(touched.sum()),
        "rms_change": rms_change,
        "unit": "[0,1] intensity" if isinstance(data, ImageSet) else "unit of the points",
        "clipped": isinstance(result, ImageSet),
        "digest": hashlib.blake2b(
            np.ascontiguousarray(result.images if isinstance(result, ImageSet) else result.u).tobytes(), digest_size=16
        ).hexdigest(),
        **_settings_of_kind(corruption, outliers),
    }
    return Corrupted(result, touched, record)


def _check_fit(data: ImageSet | PointSet, corruption: Corruption, outliers: ImageSet | PointSet | None) -> None:
    if corruption.kind == "patches":
        refuse(missing_patch(data.name, data.shape, corruption.patch))
    if corruption.kind == "outliers":
        if outliers is None or len(outliers) == 0:
            raise UserError("outliers need a second data set to be taken from; name one")
        if type(outliers) is not type(data) or outliers.shape != data.shape:
            raise UserError(
                f"outliers from '{outliers.name}' {outliers.shape} cannot stand among '{data.name}' {data.shape}; take "
                "a data set of the same kind and shape"
            )


def _spoil(
    clean: np.ndarray,
    data: ImageSet | PointSet,
    indices: np.ndarray,
    corruption: Corruption,
    outliers: ImageSet | PointSet | None,
) -> np.ndarray:
    """The spoiled values of the touched images, float32 [n,C,H,W] in the diffusion range, not clipped."""
    seed, stream = corruption.seed, ("corruption", corruption.kind, "values")
    if corruption.kind == "gaussian":
        sigma = corruption.sigma * (2 if isinstance(data, ImageSet) else 1)
        noise: np.ndarray = normal_per_sample(seed, stream, indices, data.shape).numpy()
        return clean + np.float32(sigma) * noise
    if outliers is not None and corruption.kind == "outliers":
        places = uniform_per_sample(seed, stream, indices, (1,)).double().numpy()[:, 0]
        return in_diffusion_range(outliers).numpy()[(places * len(outliers)).astype(np.int64)]
    spoiled = clean.copy()
    _, height, width = data.shape
    free = np.array([height, width]) - corruption.patch + 1
    corners = (uniform_per_sample(seed, stream, indices, (2,)).double().numpy() * free).astype(np.int64)
    for image, (top, left) in zip(spoiled, corners, strict=True):
        image[:, top : top + corruption.patch, left : left + corruption.patch] = 2 * corruption.fill - 1
    return spoiled


def _stored(
    spoiled: np.ndarray, touched: np.ndarray, data: ImageSet | PointSet, corruption: Corruption
) -> ImageSet | PointSet:
    if isinstance(data, ImageSet) and corruption.clip:
        images = data.images.copy()
        levels = np.rint((spoiled[touched].clip(-1, 1) + 1) * 127.5).astype(np.uint8)
        images[touched] = levels.transpose(0, 2, 3, 1)
        return ImageSet(images, data.labels, data.num_classes, data.name, data.split, data.indices)
    return PointSet(spoiled, data.labels, data.num_classes, data.name, data.split, data.indices)


def _settings_of_kind(corruption: Corruption, outliers: ImageSet | PointSet | None) -> dict[str, Any]:
    if corruption.kind == "gaussian":
        return {"sigma": corruption.sigma}
    if corruption.kind == "patches":
        return {"patch": corruption.patch, "fill": corruption.fill}
    source = f"{outliers.name}/{outliers.split}" if outliers is not None else ""
    return {"outliers": source}
