"""Deciding: contrasts and trends over seeds, with intervals, p-values and a verdict in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from difrob.studies.declaration import Contrast, Study, Trend

PERMUTATIONS = 20_000

Values = dict[tuple[str, int], float]  # outcome by (arm, seed)


@dataclass(frozen=True)
class Verdict:
    """What came of a decision.

    Attributes:
        estimate: mean of the contrast, or mean rank correlation, over the seeds.
        low, high: 95 % interval of the mean (Student's t over seeds); None below two seeds.
        p: of the expected direction (two-sided where none was expected); None below two seeds.
        p_adjusted: Holm's correction over the study's primary decisions; equal to ``p`` for others.
        seeds: how many seeds had all the arms that it needs.
        word: ``supported``, ``contradicted``, ``undecided`` or ``not enough data``.
    """

    name: str
    primary: bool
    expected: str
    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    seeds: int
    word: str


def decide(study: Study, outcomes: dict[str, Values]) -> list[Verdict]:
    """All decisions of a study, from the outcomes that there are. No value is ever filled in for a missing one."""
    tested = [
        _test_contrast(study, decision, outcomes)
        if isinstance(decision, Contrast)
        else _test_trend(study, decision, outcomes)
        for decision in study.decisions
    ]
    primary = [
        place for place, decision in enumerate(study.decisions) if decision.primary and tested[place].p is not None
    ]
    adjusted = dict(zip(primary, _holm([tested[place].p or 0.0 for place in primary]), strict=True))
    verdicts = []
    for place, (decision, test) in enumerate(zip(study.decisions, tested, strict=True)):
        estimate, low, high = mean_with_interval(test.rows)
        p = adjusted.get(place, test.p)
        word = _word(decision, p, test.opposite)
        verdicts.append(
            Verdict(
                decision.name, decision.primary, decision.expected, estimate, low, high, test.p, p, len(test.rows), word
            )
        )
    return verdicts


def _word(decision: Contrast | Trend, p: float | None, opposite: float | None) -> str:
    if p is None or opposite is None:
        return "not enough data"
    if p < decision.alpha:
        return "supported"
    return "contradicted" if decision.expected != "either" and opposite < decision.alpha else "undecided"


@dataclass(frozen=True)
class _Test:
    """One number per seed, the p-value of the expected direction, and that of the opposite one."""

    rows: list[float]
    p: float | None
    opposite: float | None


def _test_contrast(study: Study, decision: Contrast, outcomes: dict[str, Values]) -> _Test:
    values = outcomes.get(decision.outcome, {})
    weights = {arm: weight for arm, weight in decision.weights.items() if weight}
    complete = [seed for seed in study.seeds if all((arm, seed) in values for arm in weights)]
    rows = [sum(weight * values[arm, seed] for arm, weight in weights.items()) for seed in complete]
    return _Test(rows, *t_test(rows, decision.expected))


def _test_trend(study: Study, decision: Trend, outcomes: dict[str, Values]) -> _Test:
    values = outcomes.get(decision.outcome, {})
    if decision.along == "level":
        along = {(arm, seed): float(a.level or 0.0) for arm, a in study.arms.items() for seed in study.seeds}
    else:
        along = outcomes.get(decision.along, {})
    complete = [s for s in study.seeds if all((arm, s) in values and (arm, s) in along for arm in study.arms)]
    pairs = [([along[arm, s] for arm in study.arms], [values[arm, s] for arm in study.arms]) for s in complete]
    rows = [spearman(np.array(x), np.array(y)) for x, y in pairs]
    return _Test(rows, *permutation_test(pairs, decision.expected))


def mean_with_interval(rows: list[float]) -> tuple[float | None, float | None, float | None]:
    """Mean and 95 % interval of Student's t; (None, None, None) without rows, no interval with one."""
    if not rows:
        return None, None, None
    mean = float(np.mean(rows))
    if len(rows) < 2:
        return mean, None, None
    half = special.stdtrit(len(rows) - 1, 0.975) * np.std(rows, ddof=1) / math.sqrt(len(rows))
    return mean, mean - float(half), mean + float(half)


def t_test(rows: list[float], expected: str) -> tuple[float | None, float | None]:
    """p of the expected direction, and of the opposite one, by Student's t against zero; None below two rows."""
    if len(rows) < 2:
        return None, None
    mean, spread = float(np.mean(rows)), float(np.std(rows, ddof=1)) / math.sqrt(len(rows))
    standard = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    above = float(special.stdtr(len(rows) - 1, -standard))
    return _directed(above, 1 - above, expected)


def permutation_test(pairs: list[tuple[list[float], list[float]]], expected: str) -> tuple[float | None, float | None]:
    """The same for the mean rank correlation, by permuting the arms within each seed; None below two seeds."""
    if len(pairs) < 2:
        return None, None
    xs = [_ranks(np.array(x, dtype=float)) for x, _ in pairs]
    ys = [_ranks(np.array(y, dtype=float)) for _, y in pairs]
    observed = np.mean([_correlation(x, y) for x, y in zip(xs, ys, strict=True)])
    source = np.random.default_rng(0)  # a fixed seed: the same data give the same p-value
    drawn = np.zeros(PERMUTATIONS)
    for x, y in zip(xs, ys, strict=True):
        shuffled = source.permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1)
        centred = x - x.mean()
        norms = np.linalg.norm(centred) * np.linalg.norm(y - y.mean())
        drawn += (shuffled @ centred / norms if norms else 0.0) / len(xs)
    above = (1 + np.count_nonzero(drawn >= observed - 1e-12)) / (PERMUTATIONS + 1)
    below = (1 + np.count_nonzero(drawn <= observed + 1e-12)) / (PERMUTATIONS + 1)
    return _directed(float(above), float(below), expected)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation with mean ranks for ties; 0 where either does not vary."""
    return _correlation(_ranks(x), _ranks(y))


def _directed(above: float, below: float, expected: str) -> tuple[float, float]:
    if expected == "either":
        return min(1.0, 2 * min(above, below)), 1.0
    return (above, below) if expected == "positive" else (below, above)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    a, b = x - x.mean(), y - y.mean()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0


def _holm(ps: list[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979), in the order given."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for place, number in enumerate(sorted(range(len(ps)), key=lambda number: ps[number])):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[number]))
        adjusted[number] = highest
    return adjusted
