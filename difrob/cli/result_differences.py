"""By how much a share differs between two runs, with the interval of the difference."""

from __future__ import annotations

import math

from difrob.runs import Measure, RunSummary

COUNTED = ("Wilson 95 %", "Clopper-Pearson 95 %")  # intervals of measures that are k of n
INTERVAL = "Newcombe 95 %, as if of independent images"
NOTE = (
    "difference: the second run minus the first, with Newcombe's 95 % interval as if of independent images, which is too "
    "wide where both were measured on the same ones; it says nothing of how other seeds would have come out"
)


def result_differences(first: RunSummary, second: RunSummary) -> dict[str, Measure]:
    """Second minus first, for each result that is a share of counted items in both runs, by name."""
    found = {}
    for name, measure in first.results.items():
        other = second.results.get(name)
        difference = None if other is None else share_difference(measure, other)
        if difference is not None:
            found[name] = difference
    return found


def share_difference(first: Measure, second: Measure) -> Measure | None:
    """``second - first`` in [-1, 1] with Newcombe's interval; None unless both are k of n items."""
    from difrob.metrics.intervals import newcombe

    ours, theirs = _counts(first), _counts(second)
    if ours is None or theirs is None:
        return None
    low, high = newcombe(*theirs, *ours)
    return Measure(
        value=theirs[0] / theirs[1] - ours[0] / ours[1], low=float(low), high=float(high),
        n=min(ours[1], theirs[1]), interval=INTERVAL, unit="share difference",
    )  # fmt: skip


def _counts(measure: Measure) -> tuple[int, int] | None:
    """How many of how many items a share counts; None for a measure that counts none, e.g. a mean of probabilities."""
    if measure.unit != "share" or measure.interval not in COUNTED or not measure.n or not math.isfinite(measure.value):
        return None
    count = round(measure.value * measure.n)
    is_whole = abs(measure.value * measure.n - count) < 1e-4 and 0 <= count <= measure.n
    return (count, measure.n) if is_whole else None
