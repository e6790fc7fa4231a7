"""Which images repeat one that was there before, in a set that grows to millions?

Equal pixels are found by digests of 128 bits. Near copies are found in two steps. Coordinates along orthonormal directions
never lie further apart than the pixels do, so a pair whose coordinates are too far apart is no near copy: no pair is lost.
The few pairs that are left are compared pixel by pixel. Directions in which training images vary most leave few of them; any
others would give the same answers, more slowly.

For N images of d numbers each and k directions: N k multiplications for each new image, N (4 k + 200) bytes of memory and
N d bytes of disk. A million images of 32x32x3 with 64 directions take 0.26 GB for the coordinates, about 0.2 GB for the
digests, and 3.1 GB of disk; all of them together cost 3e13 multiplications.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from difrob.data.pixel_store import PixelStore
from difrob.metrics.distances import Points, pixel_points, squared_blocks

DIRECTIONS = 64
DIRECTION_IMAGES = 1024
DIGEST_BYTES = 16
AT_ONCE = 512
COMPARED_AT_ONCE = 256
GRID_BITS = 20

KEPT, EXACT, NEAR, REFUSED = range(4)


@dataclass(frozen=True)
class Projection:
    """Coordinates along orthonormal directions.

    Attributes:
        mean: point from which they are counted, float64 [d] in [0,1] intensity.
        directions: orthonormal columns, float64 [d, k].
    """

    mean: np.ndarray
    directions: np.ndarray

    def __call__(self, flat: np.ndarray) -> np.ndarray:
        """Coordinates in [0,1] intensity, float64 [n, k], of images uint8 [n, d]."""
        coordinates: np.ndarray = (flat / 255.0 - self.mean) @ self.directions
        return coordinates


def principal_projection(images: np.ndarray, directions: int = DIRECTIONS) -> Projection:
    """The directions in which images vary most; where they vary in too few, fixed random ones besides.

    Args:
        images: uint8 [N >= 1, ...]; at most :data:`DIRECTION_IMAGES` of them, evenly spread, are looked at.
        directions: how many at most; never more than numbers in an image.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), DIRECTION_IMAGES)).round().astype(np.int64))
    flat = images[chosen].reshape(len(chosen), -1) / 255.0
    mean = flat.mean(axis=0)
    centred = flat - mean
    d = flat.shape[1]
    k = min(directions, d)
    # The Gram matrix of the images has the same eigenvalues as their covariance, and is small for images of any size.
    values, vectors = np.linalg.eigh(centred @ centred.T)
    strong = np.flatnonzero(values > 1e-9 * max(float(values[-1]), 1e-300))[::-1][:k]
    principal = centred.T @ vectors[:, strong] / np.sqrt(values[strong])
    others = np.random.default_rng(0).standard_normal((d, k - principal.shape[1]))
    orthonormal, _ = np.linalg.qr(np.concatenate([principal, others], axis=1))
    return Projection(mean, orthonormal)


@dataclass(frozen=True)
class Verdicts:
    """What became of images that were offered.

    Attributes:
        kind: for each :data:`KEPT`, :data:`EXACT`, :data:`NEAR` or :data:`REFUSED`, int64 [n].
        row: the kept image that it repeats, the earliest that is found; -1 where there is none. int64 [n].
    """

    kind: np.ndarray
    row: np.ndarray


class SeenImages:
    """The images of a set that were kept so far, in their order. A context manager.

    Answers depend on the order of the images alone: neither on how they are cut into batches nor on the device.

    Args:
        image_shape: (H, W, C).
        capacity: how many images are kept at most.
        exact: whether equal pixels count as a repetition.
        near_distance: root mean square difference in [0,1] intensity below which two images are near copies; None where
            near copies do not count.
        projection: directions that sort out; needed with a ``near_distance``.
        device: where coordinates are compared; where it has no float64 (MPS), on the CPU.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        capacity: int,
        *,
        exact: bool,
        near_distance: float | None = None,
        projection: Projection | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._shape = image_shape
        self._numbers = int(np.prod(image_shape))
        self._exact = exact
        self._count = 0
        self._row_of: dict[bytes, int] = {}
        self._projection: Projection | None = None
        if near_distance is None:
            return
        if projection is None:
            raise ValueError("near copies are found with the help of directions")
        k = projection.directions.shape[1]
        self._projection = projection
        self._device = device
        # Two images of [0,1] intensities are at most sqrt(d) apart, so the coordinates fit into GRID_BITS bits.
        self._unit = 2.0 ** (int(np.ceil(np.log2(np.sqrt(self._numbers)))) - GRID_BITS)
        self._most_squares = near_distance**2 * self._numbers * 255.0**2
        # Rounding to the grid moves either end by half a unit in each coordinate; one more unit covers float64's own error.
        self._reach = near_distance * np.sqrt(self._numbers) / self._unit + np.sqrt(k) + 1
        home = pixel_points(np.zeros((1, 1), dtype=np.uint8), device).values.device
        self._coordinates = torch.empty((capacity, k), dtype=torch.int32, device=home)
        self._pixels = PixelStore(self._numbers)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Let go of the disk."""
        if self._projection is not None:
            self._pixels.close()

    @property
    def digests(self) -> np.ndarray:
        """The digests of the kept images in their order, uint8 [n, 16]; to be given to :meth:`restore`."""
        return np.frombuffer(b"".join(self._row_of), dtype=np.uint8).reshape(-1, DIGEST_BYTES)

    def restore(self, digests: np.ndarray) -> None:
        """Take over kept images of which only equal pixels have to be found."""
        if self._projection is not None or self._count:
            raise ValueError("digests alone do not restore near copies, nor do they go behind other images")
        self._row_of = {row.tobytes(): number for number, row in enumerate(digests)}
        self._count = len(digests)

    def add(self, images: np.ndarray) -> None:
        """Keep images, uint8 [n, H, W, C], that were found to repeat nothing before."""
        for part in _parts(len(images)):
            flat = images[part].reshape(-1, self._numbers)
            for place, key in enumerate(_digests(flat) if self._exact else ()):
                self._row_of[key] = self._count + place
            self._append(flat, None)

    def offer(self, images: np.ndarray, refused: np.ndarray | None = None) -> Verdicts:
        """Keep each image that repeats none kept before it, and is not refused for another reason.

        Args:
            images: uint8 [n, H, W, C].
            refused: images that are not kept in any case, bool [n]; they are no reason to drop later ones.
        """
        refused = np.zeros(len(images), dtype=bool) if refused is None else refused
        kinds, rows = (np.empty(len(images), dtype=np.int64) for _ in range(2))
        for part in _parts(len(images)):
            kinds[part], rows[part] = self._offer(images[part].reshape(-1, self._numbers), refused[part])
        return Verdicts(kinds, rows)

    def earlier(self, image: np.ndarray, before: int) -> tuple[int, np.ndarray] | None:
        """The first of the ``before`` earliest kept images that this one repeats: its row and pixels; None for none."""
        flat = image.reshape(1, self._numbers)
        row = self._row_of.get(_digests(flat)[0], before) if self._exact else before
        if row < before:
            return row, image
        if self._projection is None:
            return None
        row = int(self._near_rows(flat, self._on_grid(flat), before)[0])
        return None if row < 0 else (row, self._pixels.rows(np.array([row]))[0].reshape(self._shape))

    def _offer(self, flat: np.ndarray, refused: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for few images: kinds and rows."""
        n = len(flat)
        kinds, rows = np.full(n, KEPT, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        keys = _digests(flat) if self._exact else []
        points = self._on_grid(flat) if self._projection is not None else None
        if points is not None:
            near_before = np.full(n, -1, dtype=np.int64)
            fresh = np.array(
                [place for place in range(n) if not self._exact or keys[place] not in self._row_of], dtype=int
            )
            near_before[fresh] = self._near_rows(flat[fresh], points.take(fresh), self._count)
            near_beside = self._near_beside(flat)
        new_rows = np.full(n, -1, dtype=np.int64)
        total = self._count
        for place in range(n):
            row = self._row_of.get(keys[place], -1) if self._exact else -1
            kind = EXACT
            if row < 0 and points is not None:
                kind, row = NEAR, int(near_before[place])
                if row < 0:
                    beside = np.flatnonzero(near_beside[place, :place] & (new_rows[:place] >= 0))
                    row = int(new_rows[beside[0]]) if len(beside) else -1
            if row >= 0:
                kinds[place], rows[place] = kind, row
            elif refused[place]:
                kinds[place] = REFUSED
            else:
                new_rows[place] = total
                if self._exact:
                    self._row_of[keys[place]] = total
                total += 1
        kept = kinds == KEPT
        self._append(flat[kept], None if points is None else points.take(np.flatnonzero(kept)))
        return kinds, rows

    def _append(self, flat: np.ndarray, points: Points | None) -> None:
        if self._projection is not None:
            points = self._on_grid(flat) if points is None else points
            self._coordinates[self._count : self._count + len(flat)] = points.values
            self._pixels.append(flat)
        self._count += len(flat)

    def _on_grid(self, flat: np.ndarray) -> Points:
        assert self._projection is not None
        values = np.rint(self._projection(flat) / self._unit).astype(np.int32)
        return Points(torch.from_numpy(values).to(self._coordinates.device), self._unit)

    def _near_rows(self, flat: np.ndarray, points: Points, before: int) -> np.ndarray:
        """The first of the ``before`` earliest kept images that each image is a near copy of, int64 [n]; -1 for none."""
        rows = np.full(len(flat), -1, dtype=np.int64)
        kept = Points(self._coordinates[:before], self._unit)
        for these, those, squares in squared_blocks(points, kept):
            places, others = (part.cpu().numpy() for part in torch.nonzero(squares <= self._reach**2, as_tuple=True))
            for place in np.unique(places):
                image = these.start + int(place)
                if rows[image] < 0:  # blocks come in the order of the rows
                    rows[image] = self._first_near(flat[image], those.start + others[places == place])
        return rows

    def _first_near(self, flat: np.ndarray, rows: np.ndarray) -> int:
        for first in range(0, len(rows), COMPARED_AT_ONCE):
            some = rows[first : first + COMPARED_AT_ONCE]
            squares = np.square(self._pixels.rows(some).astype(np.int64) - flat).sum(axis=1)
            if (near := np.flatnonzero(squares < self._most_squares)).size:
                return int(some[near[0]])
        return -1

    def _near_beside(self, flat: np.ndarray) -> np.ndarray:
        points = pixel_points(flat, self._device)
        near = np.zeros((len(flat), len(flat)), dtype=bool)
        for these, those, squares in squared_blocks(points, points):
            near[these, those] = (squares < self._most_squares).cpu().numpy()
        return near


def _digests(flat: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(row, digest_size=DIGEST_BYTES).digest() for row in np.ascontiguousarray(flat)]


def _parts(count: int) -> list[slice]:
    return [slice(first, first + AT_ONCE) for first in range(0, count, AT_ONCE)]
