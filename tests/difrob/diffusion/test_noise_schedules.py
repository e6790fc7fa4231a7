"""The discrete schedules against exact arithmetic, published time steps, and their own levels."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from difrob.diffusion.noise_schedules import NoiseSchedule, cosine_schedule, linear_schedule, noise_schedule
from difrob.errors import UserError

LINEAR, COSINE = linear_schedule(1000), cosine_schedule(4000)


def exact_cosine(angle: Decimal) -> Decimal:
    """Taylor's series with the digits of the context."""
    total, term, power = Decimal(0), Decimal(1), 0
    while abs(term) > Decimal("1e-45"):
        total += term
        power += 2
        term = -term * angle * angle / (power * (power - 1))
    return total


def test_the_linear_schedule_is_exact() -> None:
    getcontext().prec = 50
    left, sigmas, alpha_bars = Decimal(1), [], []
    for step in range(1000):
        left *= 1 - (Decimal("0.0001") + (Decimal("0.02") - Decimal("0.0001")) * step / 999)
        alpha_bars.append(float(left))
        sigmas.append(float(((1 - left) / left).sqrt()))
    np.testing.assert_allclose(np.exp(LINEAR.log_alpha_bar), alpha_bars, rtol=2e-14)
    np.testing.assert_allclose(LINEAR.sigmas, sigmas, rtol=2e-14)


def test_the_cosine_schedule_is_exact() -> None:
    """abar is a ratio of two cosines until the bound on beta takes hold, which is in the last step of 100."""
    getcontext().prec = 50
    quarter = Decimal("1.5707963267948966192313216916397514420985846996876")
    schedule = cosine_schedule(100)
    f = [exact_cosine((Decimal(t) / 100 + Decimal("0.008")) / Decimal("1.008") * quarter) ** 2 for t in range(101)]
    exact = [float(value / f[0]) for value in f[1:]]
    np.testing.assert_allclose(np.exp(schedule.log_alpha_bar)[:-1], exact[:-1], rtol=1e-12)
    sigmas = [float(((f[0] - value) / value).sqrt()) for value in f[1:-1]]
    np.testing.assert_allclose(schedule.sigmas[:-1], sigmas, rtol=1e-12)
    assert schedule.betas[-1] == 0.999 and schedule.betas[-2] < 0.999


def test_smoothing_noise_falls_on_the_published_time_steps() -> None:
    """The first step whose noise reaches 2 sigma, for sigma = 0.25, 0.5 and 1 in [0,1] (Carlini et al. 2023)."""
    levels = [0.5, 1.0, 2.0]
    assert np.searchsorted(COSINE.sigmas, levels).tolist() == [1158, 1984, 2809]
    assert np.searchsorted(LINEAR.sigmas, levels).tolist() == [145, 259, 396]
    for schedule, above in ((COSINE, [1158, 1984, 2809]), (LINEAR, [145, 259, 396])):
        assert schedule.time_of(torch.tensor(levels)).ceil().int().tolist() == above


@pytest.mark.parametrize("schedule", [LINEAR, COSINE, cosine_schedule(7)], ids=["linear", "cosine", "short"])
def test_the_time_of_a_level_of_the_schedule_is_its_step(schedule: NoiseSchedule) -> None:
    steps = torch.arange(len(schedule), dtype=torch.float64)
    sigmas = torch.from_numpy(schedule.sigmas)
    assert torch.allclose(schedule.time_of(sigmas), steps, rtol=0, atol=1e-9)
    assert torch.equal(schedule.time_of(sigmas.float()).round(), steps)


@given(step=st.integers(0, 998), share=st.floats(0, 1))
def test_between_two_levels_time_is_linear_in_the_logarithm(step: int, share: float) -> None:
    low, high = math.log(LINEAR.sigmas[step]), math.log(LINEAR.sigmas[step + 1])
    sigma = torch.tensor([math.exp(low + share * (high - low))], dtype=torch.float64)
    time = LINEAR.time_of(sigma)
    assert time.item() == pytest.approx(step + share, abs=1e-9)
    if abs(share - 0.5) > 1e-6:  # rounded, it is the nearest step in ln(sigma)
        nearest = np.abs(np.log(LINEAR.sigmas) - sigma.log().item()).argmin()
        assert time.round().item() == nearest


def test_levels_outside_the_schedule_get_its_ends() -> None:
    sigma = torch.tensor([0.0, 1e-9, LINEAR.sigma_min / 2, LINEAR.sigma_max * 2, 1e30], dtype=torch.float64)
    assert LINEAR.time_of(sigma).tolist() == [0, 0, 0, 999, 999]


def test_shorter_linear_chains_end_at_like_noise() -> None:
    for steps in (100, 4000):
        assert math.log(linear_schedule(steps).sigma_max) == pytest.approx(math.log(LINEAR.sigma_max), abs=0.6)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="give at least 21 steps"):
        linear_schedule(20)
    assert len(linear_schedule(21)) == 21
    for steps in (0, 1):
        with pytest.raises(UserError, match="give at least 2 steps"):
            cosine_schedule(steps)
    with pytest.raises(UserError, match="no noise schedule 'sigmoid'; choose one of linear, cosine"):
        noise_schedule("sigmoid", 100)
    assert noise_schedule("cosine", 50).name == "cosine"
    for betas in ([0.1], [0.1, 0.0], [0.1, 1.0], [0.1, math.nan]):
        with pytest.raises(ValueError, match="schedule"):
            NoiseSchedule("own", betas)
