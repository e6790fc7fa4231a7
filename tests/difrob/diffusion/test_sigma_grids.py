"""Noise grids: the published one with 40 digits, and the schedule's own."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.diffusion.noise_schedules import cosine_schedule, linear_schedule
from difrob.diffusion.sigma_grids import check_grid, schedule_grid, schedule_times, sigma_grid


def test_the_grid_is_the_published_one() -> None:
    """Equation 5 with 40 digits, and two values known from the released code (57.586, 1.923)."""
    grid, root = sigma_grid(18), Decimal(1) / 7
    getcontext().prec = 40
    top, bottom = Decimal(80) ** root, Decimal("0.002") ** root
    exact = [(top + Decimal(i) / 17 * (bottom - top)) ** 7 for i in range(18)]
    assert grid == pytest.approx([*map(float, exact), 0.0], rel=1e-13)
    assert (round(grid[1], 3), round(grid[9], 3)) == (57.586, 1.923)


@given(steps=st.integers(2, 200), low=st.floats(1e-4, 0.1), span=st.floats(1.5, 1e5), rho=st.floats(1, 20))
def test_the_grid_falls_from_end_to_end(steps: int, low: float, span: float, rho: float) -> None:
    grid = sigma_grid(steps, low, low * span, rho)
    assert len(grid) == steps + 1 and grid[-1] == 0
    assert grid[0] == pytest.approx(low * span) and grid[-2] == pytest.approx(low)
    check_grid(grid)


def test_a_single_step_goes_straight_to_zero() -> None:
    assert sigma_grid(1, 0.002, 80) == [80, 0] and sigma_grid(2, 0.5, 80) == pytest.approx([80, 0.5, 0])


@pytest.mark.parametrize("bad", [(0, 0.1, 1.0, 7.0), (5, 1.0, 0.5, 7.0), (5, 0.0, 1.0, 7.0), (5, 0.1, 1.0, 0.0)])
def test_bad_grids_are_refused(bad: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no noise grid"):
        sigma_grid(*bad)


@given(total=st.integers(21, 3000), data=st.data())
def test_time_steps_are_spread_evenly_over_the_schedule(total: int, data: st.DataObject) -> None:
    schedule, steps = linear_schedule(total), data.draw(st.integers(1, total))
    times = schedule_times(schedule, steps)
    assert len(times) == steps and times[0] == total - 1 and (steps == 1 or times[-1] == 0)
    gaps = [a - b for a, b in itertools.pairwise(times)]
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


def test_the_schedules_own_grid_holds_its_levels() -> None:
    schedule = cosine_schedule(8)
    assert schedule_grid(schedule, 8) == [*schedule.sigmas[::-1].tolist(), 0.0]
    assert schedule_grid(schedule, 3) == [*schedule.sigmas[[7, 4, 0]].tolist(), 0.0]
    assert schedule_grid(schedule, 1) == [schedule.sigma_max, 0.0]
    for steps in (0, 9):
        with pytest.raises(ValueError, match="cosine schedule has 8 steps; a grid of"):
            schedule_grid(schedule, steps)


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, 1.0], [1.0, 2.0, 0.0], [1.0, -0.1], [math.inf, 0.0], [1.0, math.nan]])
def test_what_does_not_fall_is_no_grid(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="must fall strictly"):
        check_grid(bad)
    check_grid(np.array([2.0, 1.0]))
