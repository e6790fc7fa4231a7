"""Which numbers of an image a distance between sets is measured in, chosen by name.

A distance between sets means something only together with its features. So every extractor has a digest of all that its
features depend on (the weights, or the images that its components come from), and both stand with every number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from difrob.data import as_float
from difrob.errors import UserError
from difrob.memory import MicroBatches
from difrob.metrics.distances import nothing
from difrob.nets.classifiers import Classifier

CHUNK = 4096

# A direction of the pixels has variance when it has more than rounding leaves to one that has none.
LEAST_VARIANCE = 1e-12


class Extractor(Protocol):
    """Turns images into features.

    Attributes:
        name: what it is called in specifications, e.g. ``"pca"``.
        digest: 12 hexadecimal digits of all that the features depend on.
        features: how many features d an image has.
        origin: where the features come from, e.g. ``"run 2026...-abc, best weights"``; "" where the name says it.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def features(self) -> int: ...

    @property
    def origin(self) -> str: ...

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n,H,W,C] -> float32 or float64 [n, d]."""
        ...


def label_of(extractor: Extractor) -> str:
    """How tables and descriptions name an extractor, e.g. ``pca of 600 test images (5d0c...), 32 features``."""
    origin = f" of {extractor.origin}" if extractor.origin else ""
    return f"{extractor.name}{origin} ({extractor.digest}), {extractor.features} features"


@dataclass(frozen=True)
class Pixels:
    """The pixels themselves, in [0,1].

    Attributes:
        image_shape: (H, W, C).
    """

    image_shape: tuple[int, int, int]
    name: str = "pixels"
    origin: str = ""

    @property
    def features(self) -> int:
        """All pixels of all channels."""
        return int(np.prod(self.image_shape))

    @property
    def digest(self) -> str:
        """Depends on the shape only."""
        return digest_of(self.name, *map(str, self.image_shape))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n,H,W,C] -> float64 [n, H W C]."""
        return _flat(images)


@dataclass(frozen=True)
class PrincipalComponents:
    """The leading principal components of a reference set's pixels.

    Attributes:
        centre: mean pixel values in [0,1], [pixels].
        basis: orthonormal columns, [pixels, d].
        variances: of the reference along the columns, largest first, [d].
        digest: of the reference images and the number of components.
        origin: which reference, e.g. ``"600 test images"``.
    """

    centre: np.ndarray
    basis: np.ndarray
    variances: np.ndarray
    digest: str
    origin: str = ""
    name: str = "pca"

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        components: int | None = None,
        *,
        kept_variance: float = 1.0,
        origin: str = "",
        between: Callable[[], None] = nothing,
    ) -> PrincipalComponents:
        """Components of uint8 images [N >= 2, ...].

        Args:
            images: the reference images.
            components: how many; None for as many as ``kept_variance`` asks for, and at least one.
            kept_variance: share of the variance that is enough, in (0, 1].
            origin: how the images are called.
            between: called between pieces of the work.

        Raises:
            UserError: when the images vary in fewer directions than there are to be components.
            ValueError: for a single image.
        """
        if len(images) < 2:
            raise ValueError("principal components need at least two images")
        centre, covariance = moments(images, _flat, between)
        values, vectors = np.linalg.eigh(covariance)
        variances, directions = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        rank = min(int((variances > LEAST_VARIANCE * max(variances[0], LEAST_VARIANCE)).sum()), len(images) - 1)
        if components is None:
            shares = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
            components = min(int(np.searchsorted(shares, kept_variance)) + 1, max(rank, 1))
        elif components > rank:
            raise UserError(
                f"components = {components}, but the {len(images)} reference images vary in {rank} directions only; "
                f"lower it to {rank}, or choose more reference images"
            )
        digest = digest_of("pca", str(components), str(images.shape), np.ascontiguousarray(images).tobytes())
        return cls(centre, directions[:, :components], variances[:components], digest, origin)

    @property
    def features(self) -> int:
        """The number of components."""
        return int(self.basis.shape[1])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n,H,W,C] -> coordinates, float64 [n, d]."""
        return (_flat(images) - self.centre) @ self.basis


class ClassifierFeatures:
    """The activations in front of a classifier's head.

    Args:
        classifier: in evaluation mode, on its device.
        origin: which run, and which of its weights.
        pieces: how many images go through it at once.
    """

    name = "classifier"

    def __init__(self, classifier: Classifier, origin: str, pieces: MicroBatches) -> None:
        self.origin = origin
        self.features = int(classifier.head.in_features)
        self._classifier = classifier
        self._pieces = pieces
        state = sorted(classifier.state_dict().items())
        self.digest = digest_of(*(part for name, tensor in state for part in (name, tensor.cpu().numpy().tobytes())))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n,H,W,C] -> float32 [n, d]."""
        device = next(self._classifier.parameters()).device

        def in_pieces() -> np.ndarray:
            with torch.inference_mode():
                slices = self._pieces.slices(len(images))
                return np.concatenate(
                    [self._classifier.features(as_float(images[part], device)).cpu().numpy() for part in slices]
                )

        return self._pieces.attempt(in_pieces)


def extract(
    extractor: Extractor,
    images: np.ndarray,
    size: int,
    between: Callable[[], None] = nothing,
    tell: Callable[[int], None] | None = None,
) -> np.ndarray:
    """The features of all images, ``size`` at once.

    Args:
        extractor: what turns images into features.
        images: uint8 [n >= 1, H, W, C].
        size: images at once.
        between: called before each piece.
        tell: called after each piece with the number of images that are done.

    Returns:
        float32 or float64 [n, d], as the extractor gives them.

    Raises:
        UserError: for features that are not finite.
    """
    features = np.empty((0, extractor.features))
    for first in range(0, len(images), size):
        between()
        found = extractor(images[first : first + size])
        if not np.isfinite(found).all():
            raise UserError(f"the features '{label_of(extractor)}' are not finite; choose another extractor")
        if first == 0:
            features = np.empty((len(images), extractor.features), found.dtype)
        features[first : first + len(found)] = found
        if tell is not None:
            tell(first + len(found))
    return features


def moments(
    values: np.ndarray, convert: Callable[[np.ndarray], np.ndarray], between: Callable[[], None] = nothing
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and unbiased covariance [d, d] in float64, of ``convert(values)`` in pieces.

    Args:
        values: [n >= 2, ...].
        convert: a piece of them -> [m, d].
        between: called before each piece.
    """
    pieces = [slice(first, first + CHUNK) for first in range(0, len(values), CHUNK)]
    total: np.ndarray | float = 0.0
    for piece in pieces:
        between()
        total = total + convert(values[piece]).sum(axis=0, dtype=np.float64)
    mean = np.asarray(total) / len(values)
    scatter = np.zeros((len(mean), len(mean)))
    for piece in pieces:
        between()
        centred = convert(values[piece]).astype(np.float64) - mean
        scatter += centred.T @ centred
    return mean, scatter / (len(values) - 1)


def digest_of(*parts: str | bytes) -> str:
    """12 hexadecimal digits that name these parts and their borders."""
    sink = hashlib.blake2b(digest_size=6, person=b"difrob")
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sink.update(len(data).to_bytes(8, "little") + data)
    return sink.hexdigest()


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255
