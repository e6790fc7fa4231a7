"""The statistics of decisions against scipy.stats and by enumeration."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from difrob.studies.declaration import Study, parse_study
from difrob.studies.verdicts import _holm, decide, mean_with_interval, permutation_test, spearman, t_test

NUMBERS = st.floats(-10, 10, allow_subnormal=False).map(lambda value: round(value, 3))


def study_of(decisions: list[dict[str, Any]], seeds: int = 4) -> Study:
    arms = {name: {"title": name, "level": level} for level, name in enumerate("abc")}
    stages = {"s": {"kind": "train_classifier"}}
    outcomes = {name: {"stage": "s", "result": name} for name in ("y", "x")}
    return parse_study({"name": "n", "title": "t", "claim": "c", "seeds": list(range(seeds)), "stages": stages,
                        "arms": arms, "outcomes": outcomes, "decisions": decisions}, "here")  # fmt: skip


@given(st.lists(NUMBERS, min_size=2, max_size=8))
def test_t_test_and_interval_agree_with_scipy(rows: list[float]) -> None:
    if np.std(rows, ddof=1) < 1e-9:
        return
    for expected, alternative in (("positive", "greater"), ("negative", "less"), ("either", "two-sided")):
        p, _ = t_test(rows, expected)
        assert p == pytest.approx(stats.ttest_1samp(rows, 0, alternative=alternative).pvalue, abs=1e-9)
    _, low, high = mean_with_interval(rows)
    reference = stats.t.interval(0.95, len(rows) - 1, np.mean(rows), stats.sem(rows))
    assert (low, high) == pytest.approx(reference, rel=1e-6, abs=1e-9)


def test_rows_without_spread_or_too_few() -> None:
    assert t_test([1.0, 1.0, 1.0], "positive") == (0.0, 1.0)
    assert t_test([0.0, 0.0], "positive") == (0.5, 0.5) and t_test([-1.0, -1.0], "positive") == (1.0, 0.0)
    assert t_test([3.0], "positive") == (None, None)
    assert mean_with_interval([]) == (None, None, None) and mean_with_interval([2.0]) == (2.0, None, None)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=9))
def test_rank_correlation_agrees_with_scipy_also_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert spearman(x, y) == 0
    else:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_the_permutation_test_agrees_with_enumeration() -> None:
    pairs = [([0.0, 1.0, 2.0], [1.0, 3.0, 2.0]), ([0.0, 1.0, 2.0], [5.0, 6.0, 9.0])]
    observed = np.mean([spearman(np.array(x), np.array(y)) for x, y in pairs])
    drawn = [
        np.mean([spearman(np.array(pairs[k][0]), np.array(order)) for k, order in enumerate(orders)])
        for orders in product(*(permutations(y) for _, y in pairs))
    ]
    exact = np.mean([value >= observed - 1e-9 for value in drawn])
    p, opposite = permutation_test(pairs, "positive")
    assert p == pytest.approx(exact, abs=0.01) and opposite is not None and opposite > 0.5
    assert permutation_test(pairs[:1], "positive") == (None, None)


def test_holm_by_hand() -> None:
    assert _holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert _holm([]) == [] and _holm([0.9, 0.8]) == [1.0, 1.0]


CONTRAST = {"test": "contrast", "name": "d", "outcome": "y", "weights": {"a": -1, "b": 1}}


@pytest.mark.parametrize(
    ("difference", "expected", "word"),
    [(2.0, "positive", "supported"), (-2.0, "positive", "contradicted"), (0.0, "positive", "undecided"),
     (-2.0, "negative", "supported"), (2.0, "either", "supported"), (0.0, "either", "undecided")],
)  # fmt: skip
def test_words(difference: float, expected: str, word: str) -> None:
    noise = [0.1, -0.1, 0.05, -0.05]
    values = {("a", s): 1.0 for s in range(4)} | {("b", s): 1.0 + difference + noise[s] for s in range(4)}
    verdict = decide(study_of([{**CONTRAST, "expected": expected}]), {"y": values})[0]
    assert verdict.word == word and verdict.seeds == 4 and verdict.estimate == pytest.approx(difference)
    assert verdict.low is not None and verdict.high is not None and verdict.low < difference < verdict.high


def test_only_seeds_with_all_arms_count_and_nothing_is_filled_in() -> None:
    values = {("a", 0): 1.0, ("b", 0): 2.0, ("a", 1): 1.0, ("b", 2): 2.0, ("c", 1): 5.0}
    verdict = decide(study_of([{**CONTRAST, "expected": "positive"}]), {"y": values})[0]
    assert (verdict.seeds, verdict.p, verdict.word, verdict.estimate) == (1, None, "not enough data", 1.0)
    empty = decide(study_of([{**CONTRAST, "expected": "positive"}]), {})[0]
    assert (empty.seeds, empty.estimate, empty.word) == (0, None, "not enough data")


def test_primary_decisions_share_their_error() -> None:
    decisions = [
        {**CONTRAST, "expected": "positive", "primary": True},
        {**CONTRAST, "name": "e", "expected": "negative", "primary": True},
        {**CONTRAST, "name": "f", "expected": "positive"},
    ]
    values = {("a", s): 0.0 for s in range(4)} | {("b", s): [0.5, 1.0, 1.5, 0.8][s] for s in range(4)}
    first, second, third = decide(study_of(decisions), {"y": values})
    assert first.p is not None and first.p_adjusted == pytest.approx(2 * first.p)
    assert third.p_adjusted == third.p == first.p and second.p_adjusted == pytest.approx(second.p)


def test_a_trend_along_levels_and_along_another_outcome() -> None:
    values = {(arm, s): level + 0.01 * s for level, arm in enumerate("abc") for s in range(4)}
    falling = {key: -value for key, value in values.items()}
    decisions = [
        {"test": "trend", "name": "up", "outcome": "y", "expected": "positive"},
        {"test": "trend", "name": "down", "outcome": "y", "along": "x", "expected": "positive"},
    ]
    up, down = decide(study_of(decisions), {"y": values, "x": falling})
    assert up.estimate == pytest.approx(1) and up.word == "supported"
    assert down.estimate == pytest.approx(-1) and down.word == "contradicted"
