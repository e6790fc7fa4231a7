"""The digits data set: sizes, balance, disjointness, subsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.built_in_data import load_split

from difrob.errors import UserError
from difrob.specs import DataSpec


def test_splits_have_their_sizes_and_never_overlap() -> None:
    splits = {name: load_split(DataSpec(), name) for name in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 1000, "validation": 197, "test": 600}
    rows = np.concatenate([split.indices for split in splits.values()])
    assert np.array_equal(np.sort(rows), np.arange(1797))
    for split in splits.values():
        assert split.shape == (1, 8, 8) and split.num_classes == 10
        share = np.bincount(split.labels) / len(split)
        assert abs(share - 0.1).max() < 0.006
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64


def test_pixels_are_the_scans_on_the_scale_of_bytes() -> None:
    from sklearn.datasets import load_digits

    raw = load_digits()
    test = load_split(DataSpec(), "test")
    assert np.array_equal(test.labels, raw.target[test.indices])
    assert np.abs(test.images[..., 0] / 255 * 16 - raw.images[test.indices]).max() < 0.032  # half a byte on 0..16
    assert set(np.unique(test.images)) == {round(255 * level / 16) for level in range(17)}


def test_the_split_is_the_same_for_ever() -> None:
    assert load_split(DataSpec(), "test").indices[:8].tolist() == [0, 2, 6, 9, 13, 17, 19, 20]
    subset = load_split(DataSpec(train_size=10, subset_seed=3), "train").indices
    assert subset.tolist() == [1634, 297, 1667, 1614, 713, 295, 1032, 1458, 1271, 1547]


@settings(max_examples=20, deadline=None)
@given(small=st.integers(10, 1000), large=st.integers(10, 1000), seed=st.integers(0, 5))
def test_subsets_are_balanced_and_nested(small: int, large: int, seed: int) -> None:
    small, large = sorted((small, large))
    inner = load_split(DataSpec(train_size=small, subset_seed=seed), "train")
    outer = load_split(DataSpec(train_size=large, subset_seed=seed), "train")
    assert len(inner) == small
    assert np.array_equal(outer.indices[:small], inner.indices)
    assert set(inner.indices) <= set(load_split(DataSpec(), "train").indices)
    counts = np.bincount(inner.labels, minlength=10)
    if small <= 970:  # the rarest class has 97 training images
        assert counts.max() - counts.min() <= 1


def test_subset_seed_and_scope() -> None:
    one, other = (load_split(DataSpec(train_size=50, subset_seed=seed), "train") for seed in (0, 1))
    assert set(one.indices) != set(other.indices)
    assert len(load_split(DataSpec(train_size=50), "train", apply_subset=False)) == 1000
    assert len(load_split(DataSpec(train_size=50), "test")) == 600


def test_bad_requests_are_refused_with_the_mend() -> None:
    with pytest.raises(UserError, match="1001 is more than the 1000 training images.*lower it"):
        load_split(DataSpec(train_size=1001), "train")
    with pytest.raises(UserError, match="unknown split 'tset'"):
        load_split(DataSpec(), "tset")  # type: ignore[arg-type]


def test_images_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_split(DataSpec(), "train").images[0, 0, 0, 0] = 1
