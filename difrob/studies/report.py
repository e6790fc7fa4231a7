"""The table and the decisions of a study, always worked out anew from the files of its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from difrob.runs import Measure, RunState, RunSummary, Workspace
from difrob.studies.study_records import StudyRecord
from difrob.studies.verdicts import Values, Verdict, decide, mean_with_interval


@dataclass(frozen=True)
class Cell:
    """One outcome of one arm over the seeds.

    Attributes:
        values: outcome by seed, as far as the runs have finished.
        mean, low, high: mean over the seeds and its 95 % interval (Student's t; None below two seeds).
        unit: of the outcome.
    """

    values: dict[int, float]
    mean: float | None
    low: float | None
    high: float | None
    unit: str


@dataclass(frozen=True)
class Report:
    """How a study stands.

    Attributes:
        states: number of runs by state; runs that do not exist (yet) count as queued.
        unfinished: run ids that are not finished, with why.
        cells: by (arm, outcome).
        verdicts: one per decision.
    """

    states: dict[str, int]
    unfinished: dict[str, str]
    cells: dict[tuple[str, str], Cell]
    verdicts: list[Verdict]

    @property
    def is_complete(self) -> bool:
        """Whether every run has finished."""
        return not self.unfinished


def report_on(workspace: Workspace, record: StudyRecord) -> Report:
    """Read the results of all runs of a study and decide."""
    summaries = {s.run_id: s for s in workspace.summaries() if s.run_id in record.plan.entries}
    measured: dict[str, dict[tuple[str, int], Measure]] = {name: {} for name in record.study.outcomes}
    for name, outcome in record.study.outcomes.items():
        for (arm, seed, stage), run_id in record.plan.cells.items():
            summary = summaries.get(run_id)
            if stage != outcome.stage or summary is None or summary.state is not RunState.FINISHED:
                continue
            result = outcome.by_arm.get(arm, outcome.result)
            if result in summary.results:
                measured[name][arm, seed] = summary.results[result]
    values: dict[str, Values] = {
        name: {place: measure.value for place, measure in found.items()} for name, found in measured.items()
    }
    cells = {
        (arm, name): _cell({seed: m for (of, seed), m in measured[name].items() if of == arm})
        for arm in record.study.arms
        for name in record.study.outcomes
    }
    states = Counter(_state(summaries.get(run_id)) for run_id in record.plan.entries)
    unfinished = {
        run_id: _why(summaries.get(run_id))
        for run_id in record.plan.entries
        if _state(summaries.get(run_id)) != RunState.FINISHED
    }
    return Report(dict(states), unfinished, cells, decide(record.study, values))


def _cell(measures: dict[int, Measure]) -> Cell:
    values = {seed: measures[seed].value for seed in sorted(measures)}
    unit = next(iter(measures.values())).unit if measures else ""
    return Cell(values, *mean_with_interval(list(values.values())), unit)


def _state(summary: RunSummary | None) -> str:
    return RunState.QUEUED.value if summary is None else summary.state.value


def _why(summary: RunSummary | None) -> str:
    return "not begun" if summary is None else f"{summary.state.value}{': ' if summary.reason else ''}{summary.reason}"
