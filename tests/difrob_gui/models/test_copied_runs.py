"""A copy of a run file is no further run, and no further seed, in tables and comparisons."""

from __future__ import annotations

import pytest
from support.gui_fakes import summary

from difrob_gui.models.compared_runs import ComparedRunsModel
from difrob_gui.models.run_row import make_row


@pytest.mark.usefixtures("qapp")
def test_a_compared_copy_is_called_one_and_counts_as_no_seed() -> None:
    model = ComparedRunsModel()
    model.set_runs(["one", "two", "copy"])
    for run_id, seed, written_as in (("one", 0, ""), ("two", 1, ""), ("copy", 0, "one")):
        model.set_summary(summary(run_id, name="trades", spec={"seed": seed}, written_as=written_as))
    assert [model.title(run_id) for run_id in model.run_ids] == [
        "trades (seed 0)", "trades (seed 1)", "trades (copy of one)",
    ]  # fmt: skip
    model.set_runs(["two", "copy"])  # without its original it stands for it
    assert [model.title(run_id) for run_id in model.run_ids] == ["trades (seed 1)", "trades (seed 0)"]


def test_the_table_of_runs_says_that_a_run_is_a_copy() -> None:
    titles = [
        make_row(summary("id", name="trades", copy_of=of, written_as=of), None, None, linked=False).title
        for of in ("", "x")
    ]
    assert titles == ["trades", "trades (copy)"]
