"""The learning rate: warm-up, half cosine, and no trouble with very short runs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from difrob.training.schedules import one_cycle, one_cycle_momentum, warmup_cosine


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


@pytest.mark.parametrize(("steps", "warmup"), [(40, 10), (1000, 25), (39, 2), (200, 100)])
def test_one_cycle_is_that_of_torch_stepped_per_step(steps: int, warmup: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.2, total_steps=steps, pct_start=warmup / steps)
    for step in range(steps):
        group = optimiser.param_groups[0]
        assert one_cycle(step, steps, peak=0.2, warmup_steps=warmup) == pytest.approx(group["lr"], rel=1e-9)
        assert one_cycle_momentum(step, steps, warmup_steps=warmup) == pytest.approx(group["momentum"], rel=1e-9)
        optimiser.step()
        reference.step()


@given(steps=st.integers(1, 300), fraction=st.floats(0, 0.999), peak=st.floats(1e-4, 10))
def test_one_cycle_is_defined_for_any_length(steps: int, fraction: float, peak: float) -> None:
    warmup = int(fraction * steps)
    rates = [one_cycle(step, steps, peak=peak, warmup_steps=warmup) for step in range(steps)]
    momenta = [one_cycle_momentum(step, steps, warmup_steps=warmup) for step in range(steps)]
    assert all(peak / 250000 * (1 - 1e-9) <= rate <= peak * (1 + 1e-9) for rate in rates)
    assert all(0.85 - 1e-9 <= momentum <= 0.95 + 1e-9 for momentum in momenta)
    assert max(rates) == pytest.approx(peak) == rates[max(warmup - 1, 0)]
    assert momenta[max(warmup - 1, 0)] == pytest.approx(0.85)
