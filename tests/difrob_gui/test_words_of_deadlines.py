"""Grades, countdowns, stuck runs and ends in words, without any widget."""

from __future__ import annotations

import pytest

from difrob.runs import RunState
from difrob.runs.causes import Cause, advice
from difrob.worker.messages import GRADE_LIMITS
from difrob_gui import stuck
from difrob_gui.grades import GRADES, countdown
from difrob_gui.standing import RECOVER, RunStanding, advice_for, explain

NOON = 1_700_000_000.0


def test_every_grade_names_its_limit_and_what_follows() -> None:
    assert list(GRADES) == list(GRADE_LIMITS)
    for name, limit in GRADE_LIMITS.items():
        grade = GRADES[name]
        if limit:
            assert f"{limit:g} s, then {grade.harder}" in grade.text
            assert grade.harder in GRADES
        assert grade.text in grade.tip and grade.help.endswith(".")
    assert [grade.harder for grade in GRADES.values()] == ["", "abort", "kill", ""]


@pytest.mark.parametrize(
    ("grade", "left", "expected"),
    [
        ("stop", 59.2, "60 s, then abort"),
        ("stop", 0.3, "1 s, then abort"),
        ("stop", 0.0, "abort now"),
        ("stop", -5.0, "abort now"),
        ("abort", 2.0, "2 s, then kill"),
        ("kill", None, "its process is being ended"),
        ("pause", None, "at the next safe point"),
        ("", None, ""),
        ("", 7.0, "7 s, then the next grade"),
        ("of the future", None, ""),
    ],
)
def test_countdown(grade: str, left: float | None, expected: str) -> None:
    assert countdown(grade, None if left is None else NOON + left, NOON) == expected


@pytest.mark.parametrize("state", list(RunState))
def test_only_a_run_at_work_can_be_stuck(state: RunState) -> None:
    at_work = state in (RunState.STARTING, RunState.RUNNING, RunState.PAUSING)
    assert stuck.is_stuck(state, NOON) == at_work
    assert not stuck.is_stuck(state, None)


def test_stuck_in_words() -> None:
    since = stuck.clock(NOON, NOON)
    assert stuck.in_short(NOON, None, NOON) == f"since {since} · never stopped"
    assert stuck.in_short(NOON, NOON, NOON) == f"since {since} · stop {since}"
    full = stuck.in_full(NOON - 60, NOON + 120, NOON)
    assert "1 min ago" in full and full.endswith("in 2 min.")
    assert stuck.in_full(NOON - 60, NOON - 1, NOON).endswith("It is about to be stopped.")
    assert stuck.in_full(NOON - 60, None, NOON).endswith("leave it alone.")
    assert len(stuck.clock(NOON - 3 * 86400, NOON)) > len(since), "another day is named"


def standing(state: RunState, **more: object) -> RunStanding:
    return RunStanding("r", "certify", "r", state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause])
def test_every_cause_is_explained_with_its_advice_and_a_button(cause: Cause) -> None:
    told = explain(standing(RunState.FAILED, reason="so it was.", cause=cause.value, has_checkpoint=True), NOON)
    assert told is not None and told.text == "So it was." and told.advice == advice(cause)
    assert told.buttons
    assert ("Resume" in told.buttons) != (cause in (Cause.BAD_INPUT, Cause.NOT_FINITE))


def test_a_missing_checkpoint_is_named_where_it_matters_and_is_known() -> None:
    assert "Without a checkpoint" in advice_for("memory", False)
    assert advice_for("memory", None) == advice_for("memory", True) == advice("memory")
    assert advice_for("not_finite", False) == advice("not_finite")
    assert advice_for("", False) == "" == advice_for("of the future", False)


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.RUNNING, RunState.QUEUED, RunState.CANCELLED])
def test_where_all_is_as_it_should_be_nothing_is_said(state: RunState) -> None:
    assert explain(standing(state), NOON) is None


def test_damage_comes_before_everything_else() -> None:
    told = explain(standing(RunState.FAILED, damaged=True, cause="error"), NOON)
    assert told is not None and (told.title, told.advice) == ("Damaged", RECOVER)
    assert told.text == "Its file cannot be read."
