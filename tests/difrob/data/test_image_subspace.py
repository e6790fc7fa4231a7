"""Real images on an affine subspace: the support is exactly theirs, and parts of the images share it."""

from __future__ import annotations

import numpy as np
import pytest
from support.built_in_data import load_split

from difrob.data.digits import digits
from difrob.data.image_subspace import ImageSubspace
from difrob.data.points import in_diffusion_range
from difrob.data.toy_names import SUBSPACE_DIMENSION, digits_subspace, toy_splits, toy_truth
from difrob.errors import UserError
from difrob.runs.datasets import BUILT_IN
from difrob.specs import DataSpec

NAME = "toy-digits-subspace"


def flat(split: str) -> np.ndarray:
    return (digits()[split].images.reshape(-1, 64) / 127.5 - 1).astype(np.float64)


def test_points_are_projections_on_the_principal_components() -> None:
    """Against components from the covariance, and the best linear fit: what it leaves out are the other eigenvalues."""
    truth, original = digits_subspace(), flat("train")
    values, vectors = np.linalg.eigh(np.cov(original, rowvar=False))
    leading = vectors[:, -SUBSPACE_DIMENSION:]
    centre = original.mean(axis=0)
    for split, points in (("train", truth.training), ("validation", truth.validation)):
        expected = centre + (flat(split) - centre) @ leading @ leading.T
        np.testing.assert_allclose(points.u.reshape(-1, 64), expected, atol=2e-6)
    left_out = np.square(truth.training.u.reshape(-1, 64) - original).sum(axis=1).mean()
    assert left_out == pytest.approx(values[:-SUBSPACE_DIMENSION].sum() * 999 / 1000, rel=1e-5)
    assert 0.84 < 1 - left_out / np.square(original - centre).sum(axis=1).mean() < 0.86


def test_true_points_lie_on_the_support() -> None:
    truth = digits_subspace()
    support = truth.support
    assert support.basis.shape == (SUBSPACE_DIMENSION, 64) and truth.dimension == 64
    np.testing.assert_allclose(support.basis @ support.basis.T, np.eye(SUBSPACE_DIMENSION), atol=1e-12)
    for points in (truth.training, truth.validation):
        values = points.u.reshape(len(points), 64).astype(np.float64)
        assert np.abs(values - support.project(values)).max() < 1e-6
        assert np.linalg.matrix_rank(values - support.origin, tol=1e-3) == SUBSPACE_DIMENSION
    noisy = truth.training.u.reshape(-1, 64) + 1.0
    np.testing.assert_allclose(support.project(support.project(noisy)), support.project(noisy), atol=1e-12)


def test_it_is_a_data_set_by_name() -> None:
    truth = toy_truth(NAME)
    assert isinstance(truth, ImageSubspace) and truth.name == f"digits-pca{SUBSPACE_DIMENSION}"
    record = BUILT_IN[NAME]
    assert (record.image_shape, record.num_classes) == (truth.image_shape, truth.num_classes) == ((1, 8, 8), 10)
    assert record.is_points and not record.is_drawn and BUILT_IN["toy-ring"].is_drawn
    assert f"first {SUBSPACE_DIMENSION} principal components" in record.title
    training, validation = toy_splits(DataSpec(dataset=NAME), truth)
    for split, points in (("train", training), ("validation", validation)):
        images = digits()[split]
        assert record.splits[split].per_class == np.bincount(points.labels).tolist()
        assert np.array_equal(points.labels, images.labels) and np.array_equal(points.indices, images.indices)
        assert points.split == split


def test_parts_are_balanced_and_share_the_subspace() -> None:
    truth = digits_subspace()
    part, validation = toy_splits(DataSpec(dataset=NAME, train_size=50), truth)
    assert np.bincount(part.labels).tolist() == [5] * 10 and len(validation) == 197
    assert np.array_equal(part.indices, load_split(DataSpec(train_size=50), "train").indices)
    other, _ = toy_splits(DataSpec(dataset=NAME, train_size=50, subset_seed=1), truth)
    assert not np.array_equal(part.indices, other.indices)
    whole = {int(index): row for index, row in zip(truth.training.indices, truth.training.u, strict=True)}
    assert all(np.array_equal(whole[int(index)], row) for index, row in zip(part.indices, part.u, strict=True))
    with pytest.raises(UserError, match="train_size = 1001 is more than the 1000 images of 'digits-pca16'"):
        toy_splits(DataSpec(dataset=NAME, train_size=1001), truth)


def test_too_few_images_span_no_subspace() -> None:
    few, validation = load_split(DataSpec(train_size=20), "train"), load_split(DataSpec(), "validation")
    with pytest.raises(
        UserError, match="the 20 images of 'digits' span 19; give a dimension of 1 to 19, or more images"
    ):
        ImageSubspace.of(few, validation, 20)
    with pytest.raises(UserError, match="a subspace of 0 dimensions"):
        ImageSubspace.of(few, validation, 0)
    all_of_it = ImageSubspace.of(few, few, 19)
    np.testing.assert_allclose(all_of_it.training.u, in_diffusion_range(few).numpy(), atol=1e-6)
