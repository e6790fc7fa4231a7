"""Repeated images are found as by comparing every pair, whatever the batches; directions lose no pair."""

from __future__ import annotations

from contextlib import closing
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difrob.data.pixel_store import PixelStore
from difrob.metrics import seen_images
from difrob.metrics.seen_images import EXACT, KEPT, NEAR, REFUSED, SeenImages, principal_projection

SHAPE = (6, 5, 3)


def clustered(seed: int, count: int = 300) -> np.ndarray:
    """Images around few centres, with jitter of all sizes, some of them equal."""
    source = np.random.default_rng(seed)
    centres = source.integers(0, 256, (12, *SHAPE)).astype(float)
    jitter = source.normal(size=(count, *SHAPE)) * source.choice([0.0, 2.0, 10.0, 14.0, 40.0], (count, 1, 1, 1))
    return np.clip(np.rint(centres[source.integers(0, 12, count)] + jitter), 0, 255).astype(np.uint8)


def by_comparing_all(images: np.ndarray, distance: float | None, refused: np.ndarray) -> tuple[list[int], list[int]]:
    kept: list[int] = []
    kinds, rows = [], []
    for place, image in enumerate(images):
        differences = [np.sqrt(np.square((image.astype(float) - images[k]) / 255).mean()) for k in kept]
        equal = [row for row, k in enumerate(kept) if np.array_equal(image, images[k])]
        near = [row for row, value in enumerate(differences) if distance is not None and value < distance]
        if equal:
            kinds.append(EXACT), rows.append(equal[0])
        elif near:
            kinds.append(NEAR), rows.append(near[0])
        else:
            kinds.append(REFUSED if refused[place] else KEPT), rows.append(-1)
            if not refused[place]:
                kept.append(place)
    return kinds, rows


def refused_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).random(count) < 0.2


@cache
def expected_of(distance: float | None) -> tuple[list[int], list[int]]:
    return by_comparing_all(clustered(0, 160), distance, refused_of(160))


@pytest.mark.parametrize("distance", [None, 0.02, 0.06, 0.3])
@pytest.mark.parametrize("batch", [1, 7, 160])
@pytest.mark.parametrize("directions", [2, 64])
def test_as_by_comparing_all(
    distance: float | None, batch: int, directions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_images, "AT_ONCE", 64)
    monkeypatch.setattr(seen_images, "COMPARED_AT_ONCE", 3)
    images, refused = clustered(0, 160), refused_of(160)
    expected = expected_of(distance)
    assert {EXACT, KEPT, REFUSED} <= set(expected[0]) and (distance is None or NEAR in expected[0])
    projection = principal_projection(clustered(1, 50), directions)
    with closing(SeenImages(SHAPE, 160, exact=True, near_distance=distance, projection=projection)) as seen:
        parts = [slice(first, first + batch) for first in range(0, len(images), batch)]
        found = [seen.offer(images[part], refused[part]) for part in parts]
        assert np.concatenate([part.kind for part in found]).tolist() == expected[0]
        assert np.concatenate([part.row for part in found]).tolist() == expected[1]
        assert len(seen) == expected[0].count(KEPT)


@given(seed=st.integers(0, 10_000), near=st.booleans())
@settings(max_examples=20, deadline=None)
def test_going_on_with_what_was_kept(seed: int, near: bool) -> None:
    images = clustered(seed, 80)
    projection = principal_projection(images)
    arguments = {"exact": True, "near_distance": 0.05 if near else None, "projection": projection}
    with closing(SeenImages(SHAPE, 80, **arguments)) as whole, closing(SeenImages(SHAPE, 80, **arguments)) as resumed:
        first = whole.offer(images[:50])
        if near:
            resumed.add(images[:50][first.kind == KEPT])
        else:
            resumed.restore(whole.digests)
        one, other = whole.offer(images[50:]), resumed.offer(images[50:])
        assert np.array_equal(one.kind, other.kind) and np.array_equal(one.row, other.row)
        kept = images[np.concatenate([first.kind, one.kind]) == KEPT]
        for image, kind, row in zip(images[50:], one.kind, one.row, strict=True):
            if kind in (EXACT, NEAR):
                assert (found := resumed.earlier(image, row + 1)) is not None
                assert found[0] == row and np.array_equal(found[1], kept[row])
                assert resumed.earlier(image, row) is None


def test_directions_are_orthonormal_and_lengthen_nothing() -> None:
    constant = np.full((5, *SHAPE), 7, dtype=np.uint8)
    for training, most in ((clustered(2), 64), (clustered(2, 3), 64), (constant, 64), (clustered(2), 200)):
        projection = principal_projection(training, most)
        d = int(np.prod(SHAPE))
        assert projection.directions.shape == (d, min(most, d))
        gram = projection.directions.T @ projection.directions
        assert np.abs(gram - np.eye(len(gram))).max() < 1e-12
    one, other = (clustered(seed, 100).reshape(100, -1) for seed in (5, 6))
    short = np.linalg.norm(projection(one) - projection(other), axis=1)
    assert (short <= np.linalg.norm(one / 255.0 - other / 255.0, axis=1) + 1e-12).all()
    # The first direction is the one in which the images vary most.
    spread = projection(clustered(2).reshape(300, -1)).var(axis=0)
    assert spread[0] == pytest.approx(spread.max()) and np.argsort(-spread[:5]).tolist() == [0, 1, 2, 3, 4]


def test_few_pairs_are_compared_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (400, *SHAPE), dtype=np.uint8)
    compared: list[int] = []
    rows = PixelStore.rows
    monkeypatch.setattr(PixelStore, "rows", lambda self, index: compared.append(len(index)) or rows(self, index))
    projection = principal_projection(images)
    with closing(SeenImages(SHAPE, 400, exact=True, near_distance=0.05, projection=projection)) as seen:
        seen.offer(images[:200])
        seen.offer(images[200:])
        assert len(seen) == 400 and sum(compared) == 0
        assert (seen.offer(images[:10]).kind == EXACT).all()
        assert (seen.offer(images[:10] ^ 1).kind == NEAR).all() and sum(compared) == 10


def test_rows_of_bytes_come_back() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (50, 9), dtype=np.uint8)
    with closing(PixelStore(9)) as store:
        store.append(rows[:20])
        assert np.array_equal(store.rows(np.array([19, 0, 19])), rows[[19, 0, 19]])
        store.append(rows[20:])
        assert len(store) == 50 and np.array_equal(store.rows(np.arange(50)), rows)
        with pytest.raises(IndexError, match="no row 50"):
            store.rows(np.array([50]))
        with pytest.raises(ValueError, match="not bytes"):
            store.append(rows[:, :3])
