"""The kernel distance against its definition and the closed form for Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from difrob.errors import UserError
from difrob.metrics.kernel import kernel_measure, squared_discrepancy


def test_it_is_its_definition() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((7, 3)), random.standard_normal((5, 3)) + 0.5

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    within_a = np.mean([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j])
    within_b = np.mean([k(b[i], b[j]) for i in range(5) for j in range(5) if i != j])
    between = np.mean([k(x, y) for x in a for y in b])
    assert squared_discrepancy(a, b) == pytest.approx(within_a + within_b - 2 * between, rel=1e-12)
    assert squared_discrepancy(a.astype(np.float32), b) == pytest.approx(squared_discrepancy(a, b), rel=1e-5)


def moments_of_the_kernel(mean_a: float, var_a: float, mean_b: float, var_b: float) -> float:
    """E (x y + 1)^3 for independent normal x and y: 1 + 3 E x E y + 3 E x^2 E y^2 + E x^3 E y^3."""

    def raw(mean: float, var: float) -> tuple[float, float, float]:
        return mean, mean**2 + var, mean**3 + 3 * mean * var

    products = [x * y for x, y in zip(raw(mean_a, var_a), raw(mean_b, var_b), strict=True)]
    return 1 + 3 * products[0] + 3 * products[1] + products[2]


def test_the_interval_covers_the_closed_form_for_gaussians() -> None:
    truth = (
        moments_of_the_kernel(0.3, 1.2, 0.3, 1.2)
        + moments_of_the_kernel(0, 1, 0, 1)
        - 2 * moments_of_the_kernel(0.3, 1.2, 0, 1)
    )
    random = np.random.default_rng(1)
    covered, values = 0, []
    for repetition in range(150):
        a = random.normal(0.3, np.sqrt(1.2), (400, 1))
        b = random.normal(0, 1, (300, 1))
        measure = kernel_measure(a, b, 30, repetition)
        assert measure.low is not None and measure.high is not None and measure.n == 10
        covered += measure.low <= truth <= measure.high
        values.append(measure.value)
    assert 130 <= covered <= 150
    # Unbiased, however small the subsets.
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(150))


def test_equal_distributions_may_give_negative_numbers() -> None:
    random = np.random.default_rng(2)
    measures = [kernel_measure(*random.standard_normal((2, 60, 4)), 20, seed) for seed in range(40)]
    assert any(measure.value < 0 for measure in measures)
    assert sum(measure.low <= 0 <= measure.high for measure in measures) >= 33


def test_every_image_is_used_once_and_the_seed_decides_who_meets_whom() -> None:
    random = np.random.default_rng(3)
    a, b = random.standard_normal((2, 64, 3))
    described = kernel_measure(a, b[:50], 20, 0, generated="64 images")
    assert "subsets: 2 disjoint, of at least 32 generated and 25 reference images each" in described.sentence
    assert described == kernel_measure(a, b[:50], 20, 0, generated="64 images")
    assert kernel_measure(a, b, 20, 0).value != kernel_measure(a, b, 20, 1).value


def test_too_few_images_are_refused_with_the_size_that_fits() -> None:
    with pytest.raises(UserError, match="kernel_subset = 20 leaves no two .* 39 reference images; lower it to 19"):
        kernel_measure(np.zeros((50, 2)), np.zeros((39, 2)), 20, 0)
    with pytest.raises(ValueError, match="at least two rows"):
        squared_discrepancy(np.zeros((1, 2)), np.zeros((5, 2)))
