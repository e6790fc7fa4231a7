"""Intervals against scipy.stats, exact enumeration of their coverage, and their edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from difrob.metrics.accuracy import mean_measure, share_measure
from difrob.metrics.intervals import (
    clopper_pearson,
    clopper_pearson_lower,
    mean_interval,
    median_interval,
    newcombe,
    newcombe_paired,
    separation_interval,
    wilson,
)

COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts=COUNTS, level=st.sampled_from([0.5, 0.9, 0.95, 0.998]))
def test_two_sided_intervals_are_those_of_scipy(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    test = stats.binomtest(k, n)
    for ours, method in ((wilson(k, n, level), "wilson"), (clopper_pearson(k, n, level), "exact")):
        theirs = test.proportion_ci(level, method=method)
        assert float(ours.low) == pytest.approx(theirs.low, abs=1e-9)
        assert float(ours.high) == pytest.approx(theirs.high, abs=1e-9)
        assert 0 <= ours.low <= k / n <= ours.high <= 1


@given(counts=COUNTS, alpha=st.sampled_from([0.001, 0.01, 0.05, 0.3]))
def test_one_sided_bound_is_that_of_scipy(counts: tuple[int, int], alpha: float) -> None:
    k, n = counts
    theirs = stats.binomtest(k, n, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    assert float(clopper_pearson_lower(k, n, alpha)) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
def test_the_lower_bound_is_too_high_at_most_with_probability_alpha(n: int, alpha: float) -> None:
    """By enumerating all outcomes: P(bound > p) <= alpha at every p, and nearly alpha just below a bound."""
    k = np.arange(n + 1)
    bounds = clopper_pearson_lower(k, n, alpha)
    assert (np.diff(bounds) > 0).all()
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 501), np.maximum(bounds[1:] - 1e-9, 1e-12)])
    error = np.array([stats.binom.pmf(k[bounds > one], n, one).sum() for one in p])
    assert (error <= alpha + 1e-9).all()
    # The bound is sharp: just below the bound of k successes, k or more happen with probability alpha.
    assert error[501:] == pytest.approx(np.full(n, alpha), abs=1e-6)


def test_two_sided_clopper_pearson_covers_at_least_its_level() -> None:
    n, level = 25, 0.95
    k = np.arange(n + 1)
    low, high = clopper_pearson(k, n, level)
    for p in np.linspace(0.001, 0.999, 333):
        assert stats.binom.pmf(k[(low <= p) & (p <= high)], n, p).sum() >= level - 1e-12


def test_ends_are_exact() -> None:
    assert wilson(0, 10).low == 0 and wilson(10, 10).high == 1
    assert clopper_pearson(0, 10).low == 0 and clopper_pearson(10, 10).high == 1
    assert clopper_pearson_lower(0, 10, 0.05) == 0
    assert float(clopper_pearson_lower(1000, 1000, 0.001)) == pytest.approx(0.001 ** (1 / 1000), rel=1e-15)


def test_intervals_work_on_arrays() -> None:
    k = np.array([[0, 3], [5, 9]])
    low, high = wilson(k, 9)
    assert low.shape == high.shape == (2, 2)
    assert low[1, 0] == wilson(5, 9).low


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0), (float("nan"), 5)])
def test_impossible_counts_are_refused(k: float, n: int) -> None:
    for interval in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match="successes"):
            interval(k, n)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level)
    with pytest.raises(ValueError, match="alpha"):
        clopper_pearson_lower(1, 2, level)


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50).filter(lambda v: np.std(v) > 1e-6))
def test_mean_interval_is_students_t(values: list[float]) -> None:
    ours = mean_interval(values, 0.95)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (ours.mean, ours.low, ours.high) == pytest.approx((np.mean(values), low, high), rel=1e-9, abs=1e-9)


def test_one_value_says_nothing_about_its_spread() -> None:
    assert mean_interval([0.25]) == (0.25, -np.inf, np.inf)
    measure = mean_measure([0.25], "radius", unit="[0,1] intensity")
    assert (measure.value, measure.low, measure.high, measure.interval) == (0.25, None, None, "")
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


def test_measures_name_their_interval() -> None:
    flags = np.array([True] * 8 + [False] * 2)
    share = share_measure(flags, "unattacked")
    assert (share.value, share.n, share.unit, share.interval) == (0.8, 10, "share", "Wilson 95 %")
    assert (share.low, share.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert share_measure(flags, "certified", exact=True).interval == "Clopper-Pearson 95 %"
    assert isinstance(share.low, float) and isinstance(share.value, float)


@pytest.mark.parametrize("n", [6, 7, 20, 21, 101])
def test_the_interval_of_a_median_covers_it_exactly_as_often_as_the_coins_say(n: int) -> None:
    """With values 1..n the ends are ranks; the chance that both lie on one side of the median is a sum of coin tosses."""
    median, low, high = median_interval(np.random.default_rng(n).permutation(np.arange(1, n + 1)))
    assert median == (n + 1) / 2 and low + high == n + 1
    coverage = stats.binom.cdf(high - 1, n, 0.5) - stats.binom.cdf(low - 1, n, 0.5)
    tighter = stats.binom.cdf(high - 2, n, 0.5) - stats.binom.cdf(low, n, 0.5)
    assert coverage >= 0.95 > tighter


def test_medians_at_their_edges() -> None:
    assert median_interval([3.0, 1.0]) == (2.0, -np.inf, np.inf)
    assert median_interval([np.inf] * 8) == (np.inf, np.inf, np.inf)
    for wrong in ([], [1.0, np.nan]):
        with pytest.raises(ValueError, match="a median needs"):
            median_interval(wrong)


@given(x=st.lists(st.integers(0, 6), min_size=2, max_size=12), y=st.lists(st.integers(0, 6), min_size=2, max_size=12))
def test_separation_counts_pairs(x: list[int], y: list[int]) -> None:
    area, low, high = separation_interval(x, y)
    pairs = [(a < b) + 0.5 * (a == b) for a in x for b in y]
    assert area == pytest.approx(np.mean(pairs), abs=1e-12)
    assert 0 <= low <= area <= high <= 1
    turned = separation_interval(y, x)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((1 - area, 1 - high, 1 - low), abs=1e-9)


def test_the_interval_of_a_separation_is_delongs_and_covers() -> None:
    x, y = [1.0, 2.0, 3.0], [2.0, 4.0]
    # P(x_i < y) = 1, 3/4, 1/2 and P(x < y_j) = 1/2, 1; their variances over 3 and over 2.
    error = np.sqrt(0.0625 / 3 + 0.125 / 2)
    area, low, high = separation_interval(x, y, 0.5)
    assert (area, low, high) == pytest.approx((0.75, 0.75 - 0.6744898 * error, 0.75 + 0.6744898 * error))
    random = np.random.default_rng(0)
    truth = float(stats.norm.cdf(0.8 / np.sqrt(2)))
    found = [separation_interval(random.normal(0, 1, 80), random.normal(0.8, 1, 60)) for _ in range(300)]
    assert 275 <= sum(low <= truth <= high for _, low, high in found) <= 298


def test_complete_separation_leaves_an_exact_bound() -> None:
    area, low, high = separation_interval(np.zeros(30), np.ones(12))
    exact = stats.binomtest(12, 12).proportion_ci(0.95, method="exact")
    assert (area, low, high) == pytest.approx((1, exact.low, 1))
    with pytest.raises(ValueError, match="at least two values"):
        separation_interval([1.0], [2.0, 3.0])
    with pytest.raises(ValueError, match="no NaN"):
        separation_interval([1.0, np.nan], [2.0, 3.0])


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """The first examples of table II in Newcombe 1998, method 10."""
    for counts, low, high in (((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090)):
        assert newcombe(*counts) == pytest.approx((low, high), abs=5e-5)
    assert newcombe(10, 10, 0, 20) == pytest.approx((0.6791, 1.0), abs=5e-5)


@given(st.tuples(st.integers(1, 200), st.integers(1, 200), st.floats(0, 1), st.floats(0, 1)))
def test_a_difference_lies_in_its_interval_and_turns_with_its_sign(drawn: tuple[int, int, float, float]) -> None:
    n, m, share, other = drawn
    k, j = round(share * n), round(other * m)
    low, high = newcombe(k, n, j, m)
    assert -1 <= low <= k / n - j / m <= high <= 1
    assert newcombe(j, m, k, n) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((1, 1, 7, 12), -0.507, -0.026),  # Bentur et al. 2009, as worked out by Fagerland, Lydersen & Laake 2014
        ((14, 5, 0, 22), 0.011, 0.226),  # Altman, Machin, Bryant & Gardner 2000, table 6.2
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998
    ],
)
def test_the_interval_of_a_paired_difference_is_the_published_one(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    assert newcombe_paired(*counts) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    "shares",
    [
        (0.5, 0.02, 0.02, 0.46), (0.6, 0.1, 0.02, 0.28), (0.3, 0.2, 0.1, 0.4), (0.25, 0.25, 0.25, 0.25), (0.1, 0.5, 0.1, 0.3),
        (0.85, 0.05, 0.05, 0.05),
    ],
)  # fmt: skip
def test_the_paired_interval_covers_and_is_shorter_where_the_two_agree(shares: tuple[float, ...]) -> None:
    """By enumerating all tables of 40 items."""
    n = 40
    steps = np.arange(n + 1)
    cells = np.stack([grid.ravel() for grid in np.meshgrid(steps, steps, steps, indexing="ij")], axis=1)
    cells = cells[cells.sum(axis=1) <= n]
    a, b, c, d = tables = np.column_stack([cells, n - cells.sum(axis=1)]).T
    chance = stats.multinomial.pmf(tables.T, n, shares)
    low, high = newcombe_paired(a, b, c, d)
    truth = shares[1] - shares[2]
    covered = chance[(low <= truth) & (truth <= high)].sum()
    assert covered >= 0.943
    independent = newcombe(a + b, n, a + c, n)
    width, other = (chance * (high - low)).sum(), (chance * (independent.high - independent.low)).sum()
    correlated = shares[0] * shares[3] - shares[1] * shares[2]
    assert width < 0.75 * other if correlated > 0.1 else width < 1.25 * other


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any))
def test_a_paired_difference_lies_in_its_interval_and_turns_with_its_sign(counts: list[int]) -> None:
    a, b, c, d = counts
    low, high = newcombe_paired(a, b, c, d)
    assert -1 <= low <= (b - c) / sum(counts) + 1e-12 and (b - c) / sum(counts) - 1e-12 <= high <= 1
    assert newcombe_paired(a, c, b, d) == pytest.approx((-high, -low), abs=1e-12)
    assert newcombe_paired(d, c, b, a) == pytest.approx((-high, -low), abs=1e-12)  # failures instead of successes


def test_paired_counts_that_cannot_be_are_refused() -> None:
    for counts in ((0, 0, 0, 0), (3, -1, 2, 2)):
        with pytest.raises(ValueError, match="four counts"):
            newcombe_paired(*counts)
