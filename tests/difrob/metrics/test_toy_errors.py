"""Errors of toy samples against closed forms and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from support.built_in_data import load_split

from difrob.data.image_subspace import ImageSubspace
from difrob.data.toy import gaussian, oblique_plane, ring
from difrob.errors import UserError
from difrob.metrics.toy_errors import (
    centre_distance_measure,
    mode_errors,
    off_support_measure,
    principal_angles,
    projection_psnr,
    stray_measure,
)
from difrob.specs import DataSpec

NORMAL = np.ones(3) / np.sqrt(3)


def lifted(count: int, height: float, seed: int = 0) -> np.ndarray:
    """Points of the plane with noise of this standard deviation along the normal."""
    points = oblique_plane().draw(count, seed).u.reshape(count, 3).astype(np.float64)
    return points + height * np.random.default_rng(seed).normal(size=(count, 1)) * NORMAL


def test_off_plane_distance_is_the_normal_component() -> None:
    points, support = lifted(4000, 0.2), oblique_plane().support
    measure = off_support_measure(points.reshape(-1, 3, 1, 1), support)
    assert measure.value == pytest.approx(np.sqrt(np.square(points @ NORMAL).mean()), rel=1e-9)
    assert measure.low is not None and measure.high is not None and measure.low < 0.2 < measure.high
    assert measure.high - measure.low < 0.02 and measure.n == 4000
    assert off_support_measure(lifted(50, 0.0), support).value < 1e-6
    assert off_support_measure(lifted(1, 0.2), support).low is None


def test_psnr_is_that_of_the_mean_square() -> None:
    points, support = lifted(3000, 0.2), oblique_plane().support
    measure = projection_psnr(points, support)
    mean_square = np.square(points @ NORMAL).mean() / 3
    assert measure.value == pytest.approx(10 * np.log10(4 / mean_square), abs=1e-6)
    assert measure.low is not None and measure.high is not None and measure.low < measure.value < measure.high
    flat = projection_psnr(np.zeros((5, 3)), oblique_plane().support)
    assert flat.value > 200 and np.isposinf(projection_psnr(np.zeros((5, 2)), gaussian().support).value)


@given(degrees=st.floats(0, 90))
def test_angles_are_those_of_a_turned_plane(degrees: float) -> None:
    support, turn = oblique_plane().support, np.radians(degrees)
    first, second = support.basis
    tilted = np.stack([first, np.cos(turn) * second + np.sin(turn) * NORMAL])
    points = np.array([[3, 0], [-3, 0], [0, 1], [0, -1.0]]) @ tilted
    assert principal_angles(points, support).tolist() == pytest.approx([degrees, 0], abs=1e-4)


def test_angles_need_enough_samples() -> None:
    with pytest.raises(ValueError, match="2 samples have no 2 principal components"):
        principal_angles(lifted(2, 0.1), oblique_plane().support)


def test_true_samples_have_the_true_errors() -> None:
    mixture = ring()
    points = mixture.draw(6000, 0).u
    centre = centre_distance_measure(points, mixture)
    assert centre.low is not None and centre.high is not None and centre.low < 0.05 * 2**0.5 < centre.high
    stray = stray_measure(points, mixture)
    expected = chi2.sf(9, 2)
    assert stray.low is not None and stray.high is not None and stray.low < expected < stray.high
    assert f"{expected:.2%}" in stray.sentence
    found = mode_errors(points, mixture)
    assert len(found) == 8
    inside = 0
    for mode in found:
        assert mode.share.value == pytest.approx(1 / 8, abs=0.02)
        np.testing.assert_allclose(mode.spreads, 0.05, rtol=0.1)
        inside += int(((mode.low < 0.05) & (mode.high > 0.05)).sum())
    assert inside >= 13  # of 16 intervals of 95 %


def test_shares_and_spreads_of_wrong_samples_are_seen() -> None:
    mixture = oblique_plane()
    points = mixture.draw(3000, 0)
    flat = points.u.reshape(-1, 3).astype(np.float64)
    kept = flat[(points.labels != 1) | (np.arange(3000) % 4 == 0)]
    shares = [mode.share.value for mode in mode_errors(kept, mixture)]
    assert shares == pytest.approx([0.444, 0.111, 0.444], abs=0.03)
    wide = mixture.means[points.labels] + 2 * (flat - mixture.means[points.labels])
    for mode in mode_errors(wide, mixture):
        np.testing.assert_allclose(mode.spreads, 0.1, rtol=0.08)
    middle = np.zeros((100, 3))
    assert stray_measure(middle, mixture).value == 1
    assert centre_distance_measure(middle, mixture).value == pytest.approx(1)
    empty = mode_errors(mixture.means[:1], mixture)[1]
    assert empty.share.value == 0 and np.isnan(empty.spreads).all()


def test_modes_of_a_gaussian_are_measured_along_its_axes() -> None:
    mode = mode_errors(gaussian((1.0, 0.3)).draw(8000, 3).u, gaussian((1.0, 0.3)))[0]
    np.testing.assert_allclose(mode.spreads, [1.0, 0.3], rtol=0.03)
    assert mode.share.value == 1
    # The exact interval of a normal standard deviation.
    np.testing.assert_allclose(mode.low, mode.spreads * np.sqrt(7999 / chi2.ppf(0.975, 7999)), rtol=1e-9)
    np.testing.assert_allclose(mode.high, mode.spreads * np.sqrt(7999 / chi2.ppf(0.025, 7999)), rtol=1e-9)


def test_noise_off_the_support_does_not_move_samples_between_modes() -> None:
    plain, noisy = (mode_errors(lifted(900, height), oblique_plane()) for height in (0.0, 0.3))
    assert [mode.share.value for mode in plain] == [mode.share.value for mode in noisy]


def test_subspaces_of_images_are_measured_too() -> None:
    digits = ImageSubspace.of(load_split(DataSpec(), "train"), load_split(DataSpec(), "validation"), 5)
    images, support = digits.training.u[:400], digits.support
    assert off_support_measure(images, support).value < 1e-5
    assert principal_angles(digits.training.u, support).max() < 0.01
    noisy = images + 0.3 * np.random.default_rng(0).normal(size=images.shape)
    assert off_support_measure(noisy, support).value == pytest.approx(0.3 * np.sqrt(64 - 5), rel=0.02)


def test_diverged_samples_are_named() -> None:
    points = lifted(10, 0.1)
    points[3, 1] = np.inf
    with pytest.raises(UserError, match="1 of 10 samples are not finite"):
        off_support_measure(points, oblique_plane().support)
    with pytest.raises(ValueError, match="at least one sample"):
        centre_distance_measure(np.zeros((0, 3)), oblique_plane())
