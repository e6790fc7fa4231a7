"""Corruptions: which images, how much, frozen, reproducible in every subset, and never told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.built_in_data import load_split

from difrob.data import ImageSet
from difrob.data.corruption import Corruption, corrupt
from difrob.data.points import PointSet, in_diffusion_range
from difrob.data.toy import oblique_plane, ring
from difrob.errors import UserError
from difrob.specs import DataSpec

DIGITS = load_split(DataSpec(train_size=200), "train")


def test_noise_has_its_strength_on_the_touched_images_only() -> None:
    spoiled = corrupt(DIGITS, Corruption(sigma=0.2, share=0.5, clip=False))
    assert isinstance(spoiled.data, PointSet)
    change = (in_diffusion_range(spoiled.data) - in_diffusion_range(DIGITS)).numpy() / 2  # [0,1] intensity
    assert np.abs(change[~spoiled.touched]).max() == 0
    touched = change[spoiled.touched]
    assert touched.std() == pytest.approx(0.2, rel=0.03) and touched.mean() == pytest.approx(0, abs=0.01)
    assert spoiled.record["rms_change"] == pytest.approx(0.2, rel=0.03)
    assert not spoiled.record["clipped"]


def test_clipped_images_are_bytes_and_say_so() -> None:
    free = corrupt(DIGITS, Corruption(clip=False))
    clipped = corrupt(DIGITS, Corruption())
    assert isinstance(clipped.data, ImageSet) and np.array_equal(clipped.touched, free.touched)
    expected = in_diffusion_range(free.data).clamp(-1, 1)
    assert (in_diffusion_range(clipped.data) - expected).abs().max() <= 1.001 / 255  # half a level of [-1,1]
    assert np.array_equal(clipped.data.images[~clipped.touched], DIGITS.images[~clipped.touched])
    # Half of the digits' pixels are black, where clipping takes half of the noise.
    assert clipped.record["clipped"] and 0.1 < clipped.record["rms_change"] < 0.17


@settings(max_examples=25, deadline=None)
@given(
    share=st.floats(0, 1),
    more=st.floats(0, 1),
    seed=st.integers(0, 9),
    kind=st.sampled_from(["gaussian", "patches", "outliers"]),
)
def test_images_are_spoiled_alike_in_every_subset_and_larger_share(
    share: float, more: float, seed: int, kind: str
) -> None:
    share, more = sorted((share, more))
    other = load_split(DataSpec(), "validation")
    small = corrupt(DIGITS, Corruption(kind, share, seed=seed), other)  # type: ignore[arg-type]
    large = corrupt(DIGITS, Corruption(kind, more, seed=seed), other)  # type: ignore[arg-type]
    rows = np.array([5, 190, 17, 60])
    subset = corrupt(DIGITS.take(rows), Corruption(kind, share, seed=seed), other)  # type: ignore[arg-type]
    assert isinstance(small.data, ImageSet) and isinstance(large.data, ImageSet) and isinstance(subset.data, ImageSet)
    assert np.array_equal(subset.data.images, small.data.images[rows])
    assert np.array_equal(subset.touched, small.touched[rows])
    assert (large.touched >= small.touched).all()
    assert np.array_equal(large.data.images[small.touched], small.data.images[small.touched])
    assert abs(small.touched.mean() - share) < 0.16  # 4.5 standard deviations at most


def test_the_ends_of_the_share_are_exact() -> None:
    nothing, everything = (corrupt(DIGITS, Corruption(share=share)) for share in (0.0, 1.0))
    assert isinstance(nothing.data, ImageSet)
    assert np.array_equal(nothing.data.images, DIGITS.images) and nothing.record["rms_change"] == 0
    assert everything.touched.all() and everything.record["touched"] == 200
    assert not corrupt(DIGITS, Corruption(share=1.0, sigma=0.0)).record["rms_change"]


def test_patches_are_blank_squares_everywhere_in_the_image() -> None:
    white = ImageSet(
        np.full((300, 6, 9, 3), 255, np.uint8), np.zeros(300, np.int64), 1, "white", "train", np.arange(300)
    )
    spoiled = corrupt(white, Corruption("patches", 1.0, patch=4, fill=0.2))
    assert isinstance(spoiled.data, ImageSet)
    blank = (spoiled.data.images == 51).all(axis=3)
    assert ((spoiled.data.images == 255).all(axis=3) | blank).all() and (blank.sum(axis=(1, 2)) == 16).all()
    corners = {(int(rows.min()), int(columns.min())) for rows, columns in (np.nonzero(image) for image in blank)}
    assert corners == {(top, left) for top in range(3) for left in range(6)}
    for image in blank:
        rows, columns = np.nonzero(image)
        assert np.ptp(rows) == np.ptp(columns) == 3


def test_outliers_are_images_of_the_other_set_under_the_old_label() -> None:
    other = load_split(DataSpec(), "validation")
    spoiled = corrupt(DIGITS, Corruption("outliers", 0.4), other)
    assert isinstance(spoiled.data, ImageSet)
    pool = {image.tobytes() for image in other.images}
    inside = np.array([image.tobytes() in pool for image in spoiled.data.images])
    assert inside[spoiled.touched].all()
    assert len(np.unique(spoiled.data.images[spoiled.touched], axis=0)) > 50
    assert np.array_equal(spoiled.data.images[~spoiled.touched], DIGITS.images[~spoiled.touched])
    assert np.array_equal(spoiled.data.labels, DIGITS.labels)
    assert spoiled.record["outliers"] == "digits/validation"


def test_the_set_itself_tells_nothing() -> None:
    spoiled = corrupt(DIGITS, Corruption())
    assert isinstance(spoiled.data, ImageSet)
    assert (spoiled.data.name, spoiled.data.split, spoiled.data.num_classes) == ("digits", "train", 10)
    assert np.array_equal(spoiled.data.indices, DIGITS.indices) and np.array_equal(spoiled.data.labels, DIGITS.labels)


def test_the_record_is_json_and_names_the_stored_values() -> None:
    first, again, other = (corrupt(DIGITS, Corruption(seed=seed)) for seed in (0, 0, 1))
    assert json.loads(json.dumps(first.record)) == first.record
    assert first.record == again.record and first.record["digest"] != other.record["digest"]
    assert first.record["touched"] == int(first.touched.sum()) and first.record["sigma"] == 0.2
    assert "patch" not in first.record


def test_points_are_spoiled_in_their_own_unit() -> None:
    plane = oblique_plane().draw(2000, 0)
    spoiled = corrupt(plane, Corruption(sigma=0.2))
    assert isinstance(spoiled.data, PointSet) and spoiled.data.shape == (3, 1, 1)
    normal = spoiled.data.u.reshape(-1, 3) @ np.full(3, 3**-0.5, np.float32)
    assert normal[spoiled.touched].std() == pytest.approx(0.2, rel=0.05)
    assert np.abs(normal[~spoiled.touched]).max() < 1e-6
    assert spoiled.record["rms_change"] == pytest.approx(0.2, rel=0.03)
    off = PointSet(plane.u + 1, plane.labels, 3, "lifted", "train", plane.indices)
    mixed = corrupt(plane, Corruption("outliers", 0.1), off)
    assert isinstance(mixed.data, PointSet)
    assert (mixed.data.u.reshape(-1, 3).sum(axis=1) > 2).mean() == pytest.approx(0.1, abs=0.03)


def test_what_does_not_fit_is_refused_with_the_mend() -> None:
    plane = oblique_plane().draw(20, 0)
    with pytest.raises(UserError, match="patch of 9 pixels does not fit images of 8x8 pixels; give at most 8"):
        corrupt(DIGITS, Corruption("patches", patch=9))
    with pytest.raises(UserError, match="no pixels to blank"):
        corrupt(plane, Corruption("patches"))
    with pytest.raises(UserError, match="second data set"):
        corrupt(DIGITS, Corruption("outliers"))
    for other in (plane, ring().draw(5, 0)):
        with pytest.raises(UserError, match="same kind and shape"):
            corrupt(DIGITS, Corruption("outliers"), other)
    for bad in ({"share": 1.1}, {"sigma": -0.1}, {"sigma": float("nan")}, {"patch": 0}, {"fill": 2.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Corruption(**bad)  # type: ignore[arg-type]
