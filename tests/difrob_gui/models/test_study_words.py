"""Seeds, cells and verdicts in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.errors import UserError
from difrob.runs import RunState
from difrob.studies.declaration import parse_study
from difrob.studies.report import Cell, Report
from difrob.studies.verdicts import Verdict, decide
from difrob_gui.models.study_words import (
    LOOKS,
    cell_hint,
    cell_text,
    decision_text,
    parse_seeds,
    seeds_text,
    standing_text,
    states_text,
    verdict_text,
)

STUDY = parse_study(
    {
        "name": "s", "title": "S", "claim": "C", "stages": {"a": {"kind": "evaluate"}},
        "arms": {"x": {"title": "X", "level": 1.0}, "y": {"title": "Y", "level": 2.0}},
        "outcomes": {"acc": {"stage": "a", "result": "clean_accuracy"}},
        "decisions": [
            {"test": "contrast", "name": "y beats x", "outcome": "acc", "weights": {"y": 1, "x": -1},
             "expected": "positive", "primary": True},
            {"test": "trend", "name": "rises", "outcome": "acc", "expected": "either"},
        ],
    },
    "here",
)  # fmt: skip


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30, unique=True))
def test_seeds_come_back_from_their_text(seeds: list[int]) -> None:
    assert parse_seeds(seeds_text(seeds)) == tuple(seeds)


@pytest.mark.parametrize(("text", "seeds"), [("0", (0,)), ("0-4", (0, 1, 2, 3, 4)), (" 3, 1-2 ,", (3, 1, 2))])
def test_ways_to_write_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", " , ", "a", "1,1", "-1", "0-2,1", "3-1", "0-999999999", "1.5", "1-"])
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(UserError, match="no list of different whole numbers"):
        parse_seeds(text)


def test_states() -> None:
    states = [RunState.FINISHED, RunState.FINISHED, RunState.FAILED, RunState.PAUSED, None]
    assert states_text(states) == "2 finished, 1 failed, 1 paused, 1 not begun"
    assert standing_text(states) == "2 of 5 runs, 1 failed" and standing_text([None]) == "0 of 1 run"


def test_cells() -> None:
    assert cell_text(None) == "–" and "No run" in cell_hint(None)
    assert cell_text(Cell({0: 0.5}, 0.5, None, None, "share")) == "50.0 %, 1 seed"
    cell = Cell({0: 0.5, 1: 0.6}, 0.55, 0.51, 0.59, "share")
    assert cell_text(cell) == "55.0 % [51.0, 59.0], 2 seeds" and "seed 1: 60.0 %" in cell_hint(cell)
    assert (
        cell_text(Cell({0: 0.1, 1: 0.2}, 0.15, -0.01, 0.31, "share difference")) == "15.0 points [-1.0, 31.0], 2 seeds"
    )
    assert cell_text(Cell({0: 1.0, 1: 2.0}, 1.5, 1.25, 1.75, "ratio")) == "1.5 [1.25, 1.75], 2 seeds"


def test_verdicts() -> None:
    values = {("x", s): 0.5 + 0.001 * s for s in range(5)} | {("y", s): 0.6 + 0.002 * s for s in range(5)}
    verdicts = decide(STUDY, {"acc": values})
    for unit in ("share", "share difference"):
        cells = {(arm, "acc"): Cell({}, None, None, None, unit) for arm in ("x", "y")}
        report = Report({}, {}, cells, verdicts)
        assert verdicts[0].word == "supported"
        text = verdict_text(STUDY, report, 0)
        assert text == "+10.1 points [+9.85, +10.3], p < 0.0001, 3 seeds"
    assert "+1 rank correlation" in verdict_text(STUDY, report, 1)
    nothing = Report(
        {}, {}, cells, [Verdict("n", True, "positive", None, None, None, None, None, 0, "not enough data")] * 2
    )
    assert verdict_text(STUDY, nothing, 0) == "0 seeds"
    assert {verdict.word for verdict in [*verdicts, *nothing.verdicts]} <= LOOKS.keys()


def test_rules_before_anything_has_run() -> None:
    assert decision_text(STUDY, STUDY.decisions[0]) == "Contrast of acc, expected above zero, alpha 0.05, primary"
    assert decision_text(STUDY, STUDY.decisions[1]).startswith("Trend of acc, expected anything but zero")
