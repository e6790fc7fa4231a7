"""The learning rate: warm-up, half cosine, and no trouble with very short runs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difrob.training.schedules import warmup_cosine


@given(steps=st.integers(1, 300), fraction=st.floats(0, 0.999), peak=st.floats(1e-4, 10))
def test_it_rises_then_falls_and_is_always_positive(steps: int, fraction: float, peak: float) -> None:
    warmup = int(fraction * steps)
    rates = [warmup_cosine(step, steps, peak=peak, warmup_steps=warmup) for step in range(steps)]
    assert all(0 < rate <= peak for rate in rates)
    assert rates[warmup] == peak
    assert all(a < b for a, b in zip(rates[:warmup], rates[1 : warmup + 1], strict=True))
    assert all(a > b for a, b in zip(rates[warmup:-1], rates[warmup + 1 :], strict=True))


def test_values() -> None:
    rates = [warmup_cosine(step, 8, peak=2.0, warmup_steps=3) for step in range(8)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[4:] == pytest.approx([1 + math.cos(math.pi * k / 5) for k in range(1, 5)])


def test_one_step_is_made_at_the_peak() -> None:
    assert warmup_cosine(0, 1, peak=0.2, warmup_steps=0) == 0.2


@pytest.mark.parametrize(("step", "steps", "warmup"), [(5, 5, 0), (-1, 5, 0), (0, 5, 5), (0, 0, 0)])
def test_steps_outside_the_run_are_refused(step: int, steps: int, warmup: int) -> None:
    with pytest.raises(ValueError):
        warmup_cosine(step, steps, peak=1.0, warmup_steps=warmup)
