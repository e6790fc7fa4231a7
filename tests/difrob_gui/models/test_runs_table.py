"""The table of runs: two sources in one list, sorting, filtering, ticks; fast with ten thousand runs."""

from __future__ import annotations

import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from support.fake_supervisor import make_entry
from support.fake_workspace import make_summary

from difrob.runs import Progress, RunState
from difrob.runs.causes import advice
from difrob.worker.messages import LiveProgress
from difrob_gui.models.runs_table import AGE, COLUMNS, KIND, PROGRESS, RESULT, RUN, STATE, RunsTableModel
from difrob_gui.standing import RECOVER
from difrob_gui.widgets.runs_panel import run_cell

ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


def shown(model: RunsTableModel) -> list[str]:
    return [model.run_id_at(row) for row in range(model.rowCount())]


@pytest.fixture
def model(qapp: object) -> RunsTableModel:
    model = RunsTableModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, model)
    model.set_runs(
        [
            make_summary("c", name="Charlie", created=300.0, result=0.4),
            make_summary("a", name="alpha", created=100.0, result=0.6, kind="certify"),
            make_summary("b", name="Bravo", created=200.0, state=RunState.FAILED, reason="out of memory"),
        ],
        {"q": make_entry("q", name="queued one", created=400.0)},
        {},
        True,
    )
    return model


def test_newest_first_with_runs_that_have_no_file_yet(model: RunsTableModel) -> None:
    assert shown(model) == ["q", "c", "b", "a"]
    row = model.row("q")
    assert row is not None and row.state is RunState.QUEUED and not row.has_file


@pytest.mark.parametrize(
    ("column", "order", "expected"),
    [
        (RUN, ASCENDING, ["a", "b", "c", "q"]),
        (RUN, DESCENDING, ["q", "c", "b", "a"]),
        (RESULT, DESCENDING, ["a", "c", "q", "b"]),
        (RESULT, ASCENDING, ["c", "a", "q", "b"]),
        (STATE, ASCENDING, ["q", "b", "c", "a"]),
        (AGE, DESCENDING, ["a", "b", "c", "q"]),
        (KIND, ASCENDING, ["a", "c", "b", "q"]),
        (PROGRESS, ASCENDING, ["q", "c", "b", "a"]),
    ],
)
def test_sorting(model: RunsTableModel, column: int, order: Qt.SortOrder, expected: list[str]) -> None:
    model.sort(column, order)
    assert shown(model) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BRAVO", ["b"]),
        ("certification", ["a"]),
        ("kind:classifier", ["c", "b"]),
        ("kind:classifier brav", ["b"]),
        ("state:failed", ["b"]),
        ("state:queued", ["q"]),
        ("nothing like it", []),
        ("", ["q", "c", "b", "a"]),
    ],
)
def test_filter(model: RunsTableModel, text: str, expected: list[str]) -> None:
    model.set_filter(text)
    assert shown(model) == expected
    assert model.total == 4


def test_the_supervisor_is_right_about_the_state_while_it_is_linked(model: RunsTableModel) -> None:
    summaries = [make_summary("x", RunState.RUNNING)]
    entries = {"x": make_entry("x", RunState.PAUSED)}
    model.set_runs(summaries, entries, {}, True)
    assert model.row("x").state is RunState.PAUSED
    model.set_runs(summaries, entries, {}, False)
    assert model.row("x").state is RunState.RUNNING


def test_live_progress_and_newest_numbers(model: RunsTableModel) -> None:
    entry = make_entry("x", RunState.RUNNING)
    summaries = [make_summary("x", RunState.RUNNING)]
    live = LiveProgress(
        run_id="x", done=25, total=100, seconds_left=90.0,
        headline={"loss": 1.25, "validation/robust_accuracy": 0.5},
    )  # fmt: skip
    model.set_runs(summaries, {"x": entry}, {}, True)
    changed: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last: changed.append((first.row(), last.column())))
    model.update_live({"x"}, {"x": live})
    assert changed == [(0, len(COLUMNS) - 1)]
    row = model.row("x")
    assert row.progress == Progress(25, 100, "steps", 90.0)
    assert model.index(0, RESULT).data() == "50.0 %"
    assert "robust accuracy" in model.index(0, RESULT).data(Qt.ItemDataRole.ToolTipRole)
    assert "25 of 100 steps" in model.index(0, STATE).data(Qt.ItemDataRole.ToolTipRole)
    assert "about 2 min left" in model.index(0, STATE).data(Qt.ItemDataRole.ToolTipRole)


def test_result_with_interval_attack_and_count(model: RunsTableModel) -> None:
    index = model.index(model.place_of("c"), RESULT)
    assert index.data() == "40.0 % [38.0, 42.0]"
    tip = index.data(Qt.ItemDataRole.ToolTipRole)
    assert "PGD-40" in tip and "Wilson 95 %" in tip and "n = 600" in tip


def test_ticks_survive_sorting_and_leave_with_their_run(model: RunsTableModel) -> None:
    told: list[list[str]] = []
    model.checked_changed.connect(told.append)
    model.set_checked_ids(["c", "a", "unknown"])
    assert told == [["a", "c"]], "oldest first"
    model.sort(RUN, ASCENDING)
    assert model.index(0, RUN).data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked
    assert model.index(1, RUN).data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Unchecked
    assert model.setData(model.index(1, RUN), Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    assert model.checked_ids() == ["a", "b", "c"]
    model.set_runs([make_summary("a", kind="certify", created=100.0)], {}, {}, True)
    assert model.checked_ids() == ["a"]
    assert told[-1] == ["a"]
    assert shown(model) == ["a"]


def test_unchanged_rows_are_kept_as_objects(model: RunsTableModel) -> None:
    summaries = [make_summary(f"r{number}", created=float(number)) for number in range(5)]
    model.set_runs(summaries, {}, {}, True)
    before = [model.row(f"r{number}") for number in range(5)]
    summaries[2] = make_summary("r2", RunState.RUNNING, created=2.0)
    changed: list[int] = []
    model.dataChanged.connect(lambda first, _last: changed.append(first.row()))
    model.set_runs(list(summaries), {}, {}, True)
    after = [model.row(f"r{number}") for number in range(5)]
    assert [a is b for a, b in zip(before, after, strict=True)] == [True, True, False, True, True]
    assert changed == [2]


def test_what_a_waiting_run_waits_for_is_said_by_name(model: RunsTableModel) -> None:
    model.set_runs(
        [
            make_summary("p", name="parent", state=RunState.RUNNING),
            make_summary("f", name="fallen", state=RunState.FAILED),
        ],
        {
            "one": make_entry("one", after=["p"], reason="needs 'p', which is running"),
            "two": make_entry("two", after=["f"]),
            "held": make_entry("held", held=True),
        },
        {},
        True,
    )
    assert model.waits(model.row("one")).detail() == "after “parent”"
    assert model.waits(model.row("two")).detail() == "needs “fallen”, which did not finish"
    assert model.waits(model.row("two")).broken == ("fallen",)
    assert model.waits(model.row("held")).held


def test_ten_thousand_runs_are_quick(qapp: object) -> None:
    summaries = [
        make_summary(f"run{number}", name=f"run {number % 997}", created=float(number), result=(number % 101) / 101)
        for number in range(10_000)
    ]
    model = RunsTableModel()
    model.set_runs(summaries, {}, {}, True)
    took = {}
    for name, do in {
        "sort by result": lambda: model.sort(RESULT, DESCENDING),
        "sort by name": lambda: model.sort(RUN, ASCENDING),
        "filter": lambda: model.set_filter("run 12"),
        "same list again": lambda: model.set_runs(list(summaries), {}, {}, True),
    }.items():
        began = time.perf_counter()
        do()
        took[name] = time.perf_counter() - began
    assert all(seconds < 0.5 for seconds in took.values()), took


def cell_and_tip(model: RunsTableModel, run_id: str) -> tuple[str, str]:
    index = model.index(model.place_of(run_id), STATE)
    return index.data(), index.data(Qt.ItemDataRole.ToolTipRole)


def test_a_damaged_file_is_marked_found_and_its_mend_named(model: RunsTableModel) -> None:
    model.set_runs([make_summary("d", RunState.FAILED, damaged=True, reason="bad object header")], {}, {}, True)
    assert cell_and_tip(model, "d") == ("Damaged", f"Damaged\nbad object header\n{RECOVER}")
    cell = run_cell(model.index(0, STATE))
    assert cell.title == "Damaged" and RECOVER in cell.detail and cell.icon is not None
    assert run_cell(model.index(0, RUN), slim=True).detail.startswith("Damaged · bad object header")
    model.set_filter("state:damaged")
    assert shown(model) == ["d"]


def test_a_stuck_run_is_marked_and_comes_first_among_states(model: RunsTableModel) -> None:
    since = time.time() - 600
    entries = {
        "live": make_entry("live", RunState.RUNNING, created=500.0),
        "hung": make_entry("hung", RunState.RUNNING, created=100.0, stuck_since=since, stuck_deadline=since + 1800),
    }
    model.set_runs([], entries, {}, True)
    model.sort(STATE, ASCENDING)
    assert shown(model) == ["hung", "live"]
    word, tip = cell_and_tip(model, "hung")
    assert word == "Stuck" and "since " in tip and "stop " in tip
    assert run_cell(model.index(0, RUN), slim=True).detail.startswith("Stuck since ")
    model.set_filter("state:stuck")
    assert shown(model) == ["hung"]
    model.set_runs([], entries, {}, False)
    assert model.row("hung") is not None and not model.row("hung").is_stuck, "what was known before is no news"


def test_a_stopping_run_counts_down(model: RunsTableModel) -> None:
    entry = make_entry("live", RunState.STOPPING, stop_grade="abort", stop_deadline=1002.0)
    model.set_runs([], {"live": entry}, {}, True)
    row = model.row("live")
    assert row.standing_detail(1000.5) == "2 s, then kill" and row.standing_in_short(1000.0) == "Stopping, 2 s"
    assert run_cell(model.index(0, STATE)).title == "Stopping"


def test_an_end_says_what_to_do(model: RunsTableModel) -> None:
    model.set_runs([make_summary("f", RunState.FAILED, reason="no memory", cause="memory")], {}, {}, True)
    assert cell_and_tip(model, "f")[1].startswith(f"Failed\nno memory\n{advice('memory')}")
