"""What a run of tests says about its own cost, and the order in which files of tests begin."""

from __future__ import annotations

import re

import pytest
from support import time_budget
from support.time_budget import BUDGET, closing_lines, longest_first, renewed

pytest_plugins = ["pytester"]

HERE = "tests/test_time_budget.py"
OTHER = "tests/test_imports.py"


def test_files_that_take_longest_begin_first_and_stay_in_one_piece() -> None:
    nodes = ["a.py::one", "a.py::two", "b.py::one", "new.py::one", "c.py::one", "b.py::two"]
    durations = {"a.py": 1.0, "b.py::two": 3.0, "b.py": 0.1, "c.py": 2.0}
    order = [nodes[place] for place in longest_first(nodes, durations)]
    assert order == ["new.py::one", "b.py::one", "b.py::two", "c.py::one", "a.py::one", "a.py::two"]


def test_equal_files_stand_as_they_were_found() -> None:
    assert longest_first(["b.py::x", "a.py::x", "c.py::x"], {"a.py": 1, "b.py": 1, "c.py": 1}) == [0, 1, 2]


def test_measuring_anew_replaces_whole_files_and_forgets_those_that_are_gone() -> None:
    old = {f"{HERE}::gone": 9.0, f"{OTHER}::kept": 2.0, "tests/no_such_file.py": 7.0}
    measured = {f"{HERE}::slow": 1.26, f"{HERE}::fast": 0.11, f"{HERE}::faster": 0.11}
    assert list(renewed(old, measured).items()) == [(f"{OTHER}::kept", 2.0), (HERE, 0.2), (f"{HERE}::slow", 1.3)]


def test_the_slowest_come_first_and_trifles_not_at_all() -> None:
    *slowest, line = closing_lines({"quick": 0.01, "slow": 2.0, "slower": 3.0}, 100.0)
    assert [text.split() for text in slowest] == [["3.0", "s", "slower"], ["2.0", "s", "slow"]]
    assert line == "100 CPU seconds of the 1200 that 2 cores have in 10 minutes"


def test_only_some_of_many_slow_tests_are_named() -> None:
    assert len(closing_lines({str(place): 1.0 for place in range(100)}, 100.0)) == time_budget.SLOWEST + 1


@pytest.mark.parametrize(("whole", "loud"), [(BUDGET, False), (BUDGET + 1, True)])
def test_a_sum_beyond_the_budget_is_said_loudly(whole: float, loud: bool) -> None:
    assert closing_lines({}, whole)[-1].startswith("TOO SLOW: ") is loud


@pytest.mark.parametrize("processes", [0, 2])
def test_the_sum_stands_before_the_closing_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(time_budget.ROOT / "tests"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_a="def test_a(): pass", test_b="def test_b(): pass")
    result = pytester.runpytest_subprocess("-p", "support.time_budget", "-p", "xdist.plugin", f"-n{processes}")
    heading, cost, closing = [line for line in result.outlines if line][-3:]
    assert "what the tests cost" in heading and re.match(r"\d+ CPU seconds of the 1200 ", cost)
    assert "2 passed in" in closing
