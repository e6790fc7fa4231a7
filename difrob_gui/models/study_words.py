"""How the Studies page writes seeds, cells and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from difrob import words
from difrob.errors import UserError
from difrob.runs import RunState

if TYPE_CHECKING:
    from difrob.studies.declaration import Decision, Study
    from difrob.studies.report import Cell, Report
    from difrob.studies.verdicts import Verdict

# Word of a verdict -> icon and colour; the word always stands beside them.
LOOKS = {
    "supported": ("check-circle", "good"),
    "contradicted": ("error", "bad"),
    "undecided": ("help", "warning"),
    "not enough data": ("clock", "text_muted"),
}
_EXPECTED = {"positive": "above zero", "negative": "below zero", "either": "anything but zero"}
_ORDER = (
    RunState.FINISHED,
    RunState.RUNNING,
    RunState.FAILED,
    RunState.INTERRUPTED,
    RunState.CANCELLED,
    RunState.QUEUED,
)
MOST_SEEDS = 1000


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0, 1, 2`` or ``0-4`` as numbers.

    Raises:
        UserError: for anything else, or for a seed that is given twice.
    """
    seeds: list[int] = []
    try:
        for part in (part.strip() for part in text.split(",")):
            first, dash, last = part.partition("-")
            if part:
                seeds += range(int(first), min(int(last), int(first) + MOST_SEEDS) + 1) if dash else [int(part)]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0 or len(seeds) > MOST_SEEDS:
        raise UserError(f"seeds “{text.strip()}” are no list of different whole numbers like 0, 1, 2 or 0-4")
    return tuple(seeds)


def seeds_text(seeds: Iterable[int]) -> str:
    """``0, 1, 2``; many in a row as ``0-9``."""
    numbers = list(seeds)
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def states_text(states: Iterable[RunState | None]) -> str:
    """``4 finished, 1 running, 7 queued``; None is a run that was never queued."""
    counts = Counter(states)
    known = [*_ORDER, *(state for state in counts if state is not None and state not in _ORDER)]
    parts = [f"{counts[state]} {state.value}" for state in known if counts[state]]
    return ", ".join(parts + ([f"{counts[None]} not begun"] if counts[None] else []))


def standing_text(states: list[RunState | None]) -> str:
    """The same in short for a table: ``4 of 12 runs``, and how many of them failed."""
    finished = states.count(RunState.FINISHED)
    failed = sum(state in (RunState.FAILED, RunState.INTERRUPTED) for state in states)
    return f"{finished} of {words.plural(len(states), 'run')}{f', {failed} failed' if failed else ''}"


def about_text(study: Study) -> str:
    """How long a study takes, as it says itself."""
    return "" if study.minutes is None else f"{words.duration(60 * study.minutes)} on 2 cores"


def changes_text(study: Study, arm: str) -> str:
    """In what an arm differs from what the stages say."""
    changes = study.arms[arm].changes
    return "; ".join(f"{path} = {value}" for path, value in changes.items()) or "as the stages say"


def cell_text(cell: Cell | None) -> str:
    """``54.2 % [50.1, 58.3], 3 seeds``."""
    if cell is None or cell.mean is None:
        return "–"
    return f"{words.number(cell.mean, cell.unit)}{_between(cell.low, cell.high, cell.unit)}, {_seeds(len(cell.values))}"


def cell_hint(cell: Cell | None) -> str:
    """Every seed's number."""
    if cell is None or not cell.values:
        return "No run has measured this yet."
    values = (f"seed {seed}: {words.number(value, cell.unit)}" for seed, value in cell.values.items())
    return "\n".join([*values, "In brackets: 95 % interval of the mean (Student t)."])


def decision_text(study: Study, decision: Decision) -> str:
    """What is decided and by which rule, before anything has run."""
    kind = "Contrast" if decision.test == "contrast" else "Trend"
    mark = "primary" if decision.primary else "exploratory"
    return f"{kind} of {decision.outcome}, expected {_EXPECTED[decision.expected]}, alpha {decision.alpha:g}, {mark}"


def verdict_text(study: Study, report: Report, place: int) -> str:
    """``+3.1 points [+1.0, +5.2], p = 0.012, 5 seeds``."""
    verdict: Verdict = report.verdicts[place]
    decision = study.decisions[place]
    is_share = decision.test == "contrast" and any(
        words.is_per_cent(cell.unit) for (_, outcome), cell in report.cells.items() if outcome == decision.outcome
    )
    parts = []
    if verdict.estimate is not None:
        factor, unit = (
            (100.0, " points") if is_share else (1.0, "" if decision.test == "contrast" else " rank correlation")
        )
        span = ""
        if verdict.low is not None and verdict.high is not None:
            span = f" [{factor * verdict.low:+.3g}, {factor * verdict.high:+.3g}]"
        parts.append(f"{factor * verdict.estimate:+.3g}{unit}{span}")
    if verdict.p_adjusted is not None:
        parts.append(f"p = {verdict.p_adjusted:.2g}" if verdict.p_adjusted >= 0.0001 else "p < 0.0001")
    parts.append(_seeds(verdict.seeds))
    return ", ".join(parts)


def _between(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    factor, form = (100.0, ".1f") if words.is_per_cent(unit) else (1.0, ".3g")
    return f" [{factor * low:{form}}, {factor * high:{form}}]"


def _seeds(count: int) -> str:
    return words.plural(count, "seed")
