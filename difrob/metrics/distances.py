"""Distances between two sets of points, block by block: exact, and the same for any block size and on any device.

|a|^2 + |b|^2 - 2 a.b is fast, but in floating point it leaves rounding noise where two points coincide, and that noise
depends on how the product is cut. So coordinates are first put on a grid so coarse that every product and every sum is a
whole number below 2^53: float64 then makes no error at all. Bytes lie on such a grid already; features are rounded to 20
bits or more of their largest coordinate, which is no coarser than the float32 noise of the networks they come from.

A block of distances takes at most 128 MiB, so that 50,000 x 50,000 of them pass through less than 1 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ROWS = 2048
COLUMNS = 8192
EXACT_BITS = 53
SMALLEST_EXPONENT = -500  # the square of a unit is a number, too


def nothing() -> None:
    """What happens between two blocks when nobody has anything to ask."""


@dataclass(frozen=True)
class Points:
    """Points on a grid.

    Attributes:
        values: whole numbers, uint8 or int32 [n, d]; coordinates are ``values * unit``.
        unit: grid step. Points can be compared when they have the same.
    """

    values: Tensor
    unit: float

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray | slice) -> Points:
        """The points at these rows, in their order."""
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self.values.device)
        return Points(self.values[index], self.unit)


def pixel_points(images: np.ndarray, device: torch.device | str = "cpu") -> Points:
    """Images as points with coordinates in [0,1] intensity; their distances are exact.

    Args:
        images: uint8 [n, ...].
        device: where distances are computed; where it has no float64 (MPS), on the CPU.
    """
    flat = torch.from_numpy(np.array(images).reshape(len(images), -1))
    return Points(flat.to(_with_float64(device)), 1 / 255)


def grid_points(*sets: np.ndarray, device: torch.device | str = "cpu") -> list[Points]:
    """Sets of features on one common grid, whose step is a power of two.

    The grid is centred on the first set's mean. With d features and a largest coordinate M, the error of a coordinate is
    below M sqrt(d) 2^-24.

    Args:
        sets: finite numbers [n, d] with the same d; the first has at least one row.
        device: where distances are computed; where it has no float64 (MPS), on the CPU.

    Raises:
        ValueError: for numbers that are not finite.
    """
    features = sets[0].shape[1]
    centre = sets[0].mean(axis=0, dtype=np.float64)
    # A NaN would hide from max(): it is larger than nothing.
    peaks = [float(np.abs(part[rows] - centre).max(initial=0.0)) for part in sets for rows in _pieces(len(part))]
    if not np.isfinite(peaks).all():
        raise ValueError("points must have finite coordinates")
    # |a - b|^2 <= 4 d 2^(2 bits) must not exceed 2^53.
    bits = (EXACT_BITS - 2 - (features - 1).bit_length()) // 2
    unit = 2.0 ** max(int(np.frexp(max(peaks, default=0.0))[1]) - bits, SMALLEST_EXPONENT)
    on_grid = []
    for part in sets:
        values = np.empty(part.shape, dtype=np.int32)
        for rows in _pieces(len(part)):
            values[rows] = np.rint((part[rows] - centre) / unit)
        on_grid.append(Points(torch.from_numpy(values).to(_with_float64(device)), unit))
    return on_grid


def squared_blocks(
    rows: Points,
    columns: Points,
    *,
    between: Callable[[], None] = nothing,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances in squared units, block by block: (rows, columns, float64 [r, c] that may be overwritten).

    Args:
        rows, columns: points of the same unit.
        between: called before each block.
        block: most rows and columns at once.
    """
    if rows.unit != columns.unit:
        raise ValueError("points on different grids cannot be compared")
    height, width = block
    for top in range(0, len(rows), height):
        these = slice(top, min(top + height, len(rows)))
        a = rows.values[these].double()
        a_norms = a.square().sum(dim=1, keepdim=True)
        for left in range(0, len(columns), width):
            between()
            those = slice(left, min(left + width, len(columns)))
            b = columns.values[those].double()
            squares = a @ b.T
            squares.mul_(-2).add_(a_norms).add_(b.square().sum(dim=1))
            yield these, those, squares


def nearest_two(
    rows: Points,
    columns: Points,
    *,
    between: Callable[[], None] = nothing,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest column of each row, the first of several, and the squared distances to the nearest two.

    Returns:
        int64 [n], and float64 [n, 2] in squared units; the second is infinite where there is only one column.
    """
    found = torch.full((len(rows), 2), torch.inf, dtype=torch.float64)
    index = torch.full((len(rows),), -1, dtype=torch.int64)
    for these, those, squares in squared_blocks(rows, columns, between=between, block=block):
        first, place = squares.min(dim=1)
        squares.scatter_(1, place[:, None], torch.inf)
        two = torch.stack([first, squares.amin(dim=1)], dim=1).cpu()
        nearer = two[:, 0] < found[these, 0]  # strictly: among equals the earlier block keeps the place
        index[these] = torch.where(nearer, place.cpu() + those.start, index[these])
        found[these] = torch.cat([found[these], two], dim=1).sort(dim=1).values[:, :2]
    return index.numpy(), found.numpy()


def nearest_earlier(
    points: Points,
    rows: slice,
    *,
    between: Callable[[], None] = nothing,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest among the points that stand before each of these rows, the first of several.

    Returns:
        int64 [n], -1 for the very first point; its squared distance float64 [n] in squared units, infinite there.
    """
    some = points.take(rows)
    found = torch.full((len(some),), torch.inf, dtype=torch.float64)
    index = torch.full((len(some),), -1, dtype=torch.int64)
    before = points.take(slice(0, max(rows.start + len(some) - 1, 0)))
    for these, those, squares in squared_blocks(some, before, between=between, block=block):
        own = torch.arange(these.start, these.stop, device=squares.device) + rows.start
        others = torch.arange(those.start, those.stop, device=squares.device)
        squares.masked_fill_(others >= own[:, None], torch.inf)
        first, place = (part.cpu() for part in squares.min(dim=1))
        index[these] = torch.where(first < found[these], place + those.start, index[these])
        found[these] = torch.minimum(found[these], first)
    return index.numpy(), found.numpy()


def neighbour_radii(
    points: Points,
    k: int,
    rows: slice | None = None,
    *,
    between: Callable[[], None] = nothing,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> np.ndarray:
    """Squared distance from each of these rows to its k-th nearest other point, float64 [n] in squared units.

    Args:
        points: more than k points.
        k: at least 1; a point is not its own neighbour, but an equal one is.
        rows: which points; None for all.

    Raises:
        ValueError: for k points or fewer.
    """
    if not 1 <= k < len(points):
        raise ValueError(f"{len(points)} points have no {k} neighbours each")
    rows = slice(0, len(points)) if rows is None else rows
    some = points.take(rows)
    found = torch.full((len(some), k), torch.inf, dtype=torch.float64, device=points.values.device)
    for these, those, squares in squared_blocks(some, points, between=between, block=block):
        own = torch.arange(these.start, these.stop, device=squares.device) + rows.start
        others = torch.arange(those.start, those.stop, device=squares.device)
        squares.masked_fill_(others == own[:, None], torch.inf)
        least = squares.topk(min(k, squares.shape[1]), dim=1, largest=False).values
        found[these] = torch.cat([found[these], least], dim=1).topk(k, dim=1, largest=False).values
    return found.amax(dim=1).cpu().numpy()


def _pieces(count: int) -> list[slice]:
    return [slice(first, first + COLUMNS) for first in range(0, count, COLUMNS)]


def _with_float64(device: torch.device | str) -> torch.device:
    wanted = torch.device(device)
    return torch.device("cpu") if wanted.type == "mps" else wanted
