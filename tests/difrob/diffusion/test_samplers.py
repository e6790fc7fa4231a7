"""The interface to the samplers: guidance, counts, options, noise of the image's own, few steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ideal_denoisers import GaussianDenoiser

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.noise_schedules import linear_schedule
from difrob.diffusion.samplers import (
    SAMPLERS,
    SamplerOptions,
    check_options,
    guided,
    network_calls,
    sample,
    schedule_grid,
    sigma_grid,
    starting_noise,
)
from difrob.errors import Stopped, UserError
from difrob.nets.residual_mlp import ResidualMLP


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_network_calls_are_counted_right(sampler: str, steps: int) -> None:
    noise, labels = torch.randn(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    for scale in (0.0, 1.0, 1.5):
        denoiser = GaussianDenoiser([0.3, -0.2], 0.4)
        sample(denoiser, noise, labels, sigma_grid(steps), sampler=sampler, guidance_scale=scale, index=range(4))
        assert denoiser.rows == 4 * network_calls(steps, scale, sampler)
        assert denoiser.calls == network_calls(steps, 1.0, sampler)  # guidance is one call, not two


def test_network_calls_of_the_usual_settings() -> None:
    assert (network_calls(18), network_calls(18, 0.0), network_calls(18, 2.0)) == (35, 35, 70)
    assert (network_calls(1000, 1.0, "ddpm"), network_calls(20, 3.0, "dpm_solver_2m")) == (1000, 40)


@given(scale=st.floats(0, 10))
def test_guidance_extrapolates_from_the_null_class(scale: float) -> None:
    denoiser = GaussianDenoiser([0.3, -0.5, 0.1], spread=0.4)
    v, labels = torch.randn(2, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1])
    levels = torch.full((2,), 0.7, dtype=torch.float64)
    with_class, without = denoiser.denoise(v, levels, labels), denoiser.denoise(v, levels, None)
    expected = (1 - scale) * without + scale * with_class
    assert torch.allclose(guided(denoiser, v, 0.7, labels, scale), expected, atol=1e-12)


def test_without_labels_the_null_class_is_sampled() -> None:
    denoiser = GaussianDenoiser([5.0, -0.2], spread=0.01)
    images = sample(denoiser, torch.randn(8, 1, 2, 2), None, sigma_grid(40))
    assert (images + 0.2).abs().max() < 0.1


def test_callback_sees_every_step_and_can_stop() -> None:
    denoiser = GaussianDenoiser([0.3, -0.2], 0.4)
    noise, grid, seen = torch.randn(2, 1, 2, 2), sigma_grid(4), []
    final = sample(denoiser, noise, None, grid, callback=lambda step, sigma, v: seen.append((step, sigma, v)))
    assert [(step, sigma) for step, sigma, _ in seen] == list(enumerate(grid[1:]))
    assert torch.equal(seen[-1][2].float(), final)

    def stop(step: int, sigma: float, state: torch.Tensor) -> None:
        raise Stopped("abort")

    denoiser.calls = 0
    with pytest.raises(Stopped):
        sample(denoiser, noise, None, grid, callback=stop)
    assert denoiser.calls == 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_goes_on_from_a_state_that_the_callback_changed(sampler: str) -> None:
    denoiser, noise, grid = GaussianDenoiser([0.3], 0.4), torch.randn(2, 1, 2, 2), [2.0, 1.0, 0.5]
    seen: list[torch.Tensor] = []

    def push(step: int, sigma: float, state: torch.Tensor) -> None:
        if step == 0:
            state.fill_(7.0)
        seen.append(state.clone())

    plain = sample(denoiser, noise, None, grid, sampler=sampler, index=[0, 1])
    pushed = sample(denoiser, noise, None, grid, sampler=sampler, index=[0, 1], callback=push)
    assert (seen[0] == 7).all() and (pushed - plain).min() > 1 and torch.equal(seen[1].float(), pushed)


def test_starting_noise_belongs_to_the_image() -> None:
    whole = starting_noise(4, range(10), (1, 3, 3))
    assert torch.equal(starting_noise(4, [7, 2], (1, 3, 3)), whole[[7, 2]])
    assert not torch.equal(starting_noise(5, range(10), (1, 3, 3)), whole)


NOISY = {
    "churned heun": ("heun", SamplerOptions(churn=20, churn_noise=1.003)),
    "half ddim": ("ddim", SamplerOptions(eta=0.5)),
    "ddpm": ("ddpm", SamplerOptions()),
}


def live_denoiser() -> EDMDenoiser:
    torch.manual_seed(0)
    denoiser = EDMDenoiser(ResidualMLP((1, 4, 4), 3, 32, 2), 0.5).eval()
    torch.nn.init.normal_(denoiser.network.output.weight, std=0.1)  # type: ignore[union-attr]
    return denoiser


PLAIN = {name: (name, SamplerOptions()) for name in ("heun", "euler", "ddim", "dpm_solver_2m")}


@pytest.mark.parametrize("name", [*PLAIN, *NOISY])
def test_images_of_a_network_do_not_depend_on_the_batch(name: str) -> None:
    sampler, options = {**PLAIN, **NOISY}[name]
    denoiser = live_denoiser()

    def drawn(rows: torch.Tensor) -> torch.Tensor:
        index = rows.tolist()
        noise = starting_noise(0, index, (1, 4, 4))
        return sample(denoiser, noise, rows % 3, sigma_grid(8), sampler=sampler, options=options, index=index, seed=4)

    whole = drawn(torch.arange(33))
    pieces = [drawn(rows) for rows in torch.arange(33).split(5)]
    assert torch.allclose(torch.cat(pieces), whole, atol=2e-5)
    assert whole.std() > 0.05 and not whole.requires_grad and whole.dtype == torch.float32


@pytest.mark.parametrize("name", NOISY)
def test_noise_on_the_way_belongs_to_seed_and_image(name: str) -> None:
    sampler, options = NOISY[name]
    denoiser, noise = GaussianDenoiser([0.3], 0.4), torch.zeros(2, 1, 2, 2)

    def drawn(index: list[int], seed: int) -> torch.Tensor:
        return sample(denoiser, noise, None, sigma_grid(4), sampler=sampler, options=options, index=index, seed=seed)

    first = drawn([5, 5], 0)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], drawn([6, 6], 0)[0]) and not torch.equal(first[0], drawn([5, 5], 1)[0])
    with pytest.raises(ValueError, match="needs the indices"):
        sample(denoiser, noise, None, sigma_grid(4), sampler=sampler, options=options)
    with pytest.raises(ValueError, match="3 indices were given for 2 images"):
        drawn([1, 2, 3], 0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_is_one_shot_denoising(sampler: str) -> None:
    denoiser, noise = GaussianDenoiser([0.3, -0.2], 0.4), torch.randn(3, 1, 2, 2)
    images = sample(denoiser, noise, None, [2.0, 0.0], sampler=sampler, index=range(3))
    once = denoiser.denoise(2.0 * noise.double(), torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.allclose(images.double(), once, rtol=0, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_few_steps_reach_data_that_is_a_single_point(sampler: str, steps: int) -> None:
    denoiser = GaussianDenoiser([0.3], spread=0.0)
    images = sample(denoiser, torch.randn(3, 1, 2, 2), None, sigma_grid(steps), sampler=sampler, index=range(3))
    assert torch.allclose(images, torch.full_like(images, 0.3), rtol=0, atol=1e-7)


def test_estimates_are_clipped_on_demand() -> None:
    denoiser, noise = GaussianDenoiser([3.0], 0.0), torch.randn(3, 1, 2, 2)
    for sampler in SAMPLERS:
        clipped = sample(
            denoiser, noise, None, sigma_grid(3), sampler=sampler, options=SamplerOptions(clip=True), index=range(3)
        )
        assert torch.equal(clipped, torch.ones(3, 1, 2, 2))
    assert sample(denoiser, noise, None, sigma_grid(3)).min() > 2


def test_grids_and_churn_beyond_the_schedule_are_refused() -> None:
    schedule = linear_schedule(100)
    denoiser = DDPMDenoiser(ResidualMLP((1, 2, 2), 0, 8, 1), schedule)
    noise, own = torch.randn(2, 1, 2, 2), schedule_grid(schedule, 5)
    assert sample(denoiser, noise, None, own).isfinite().all()
    with pytest.raises(UserError, match="schedule ends at .*; lower sigma_max of the grid"):
        sample(denoiser, noise, None, sigma_grid(5, 0.002, 2 * own[0]))
    with pytest.raises(UserError, match="churn = 3 lifts the state to it; lower churn or churn_to"):
        sample(denoiser, noise, None, own, options=SamplerOptions(churn=3), index=range(2))
    kept = SamplerOptions(churn=3, churn_to=own[1])
    assert sample(denoiser, noise, None, own, options=kept, index=range(2)).isfinite().all()


def test_unknown_samplers_and_options_without_effect_are_refused() -> None:
    with pytest.raises(UserError, match="no sampler 'plms'; choose one of heun, euler, ddim, ddpm, dpm_solver_2m"):
        network_calls(5, 1.0, "plms")
    with pytest.raises(UserError, match=r"eta = 0\.5 has no effect with the sampler 'heun'; .* choose 'ddim'"):
        check_options("heun", SamplerOptions(eta=0.5))
    with pytest.raises(UserError, match=r"churn = 2 has no effect with the sampler 'ddpm'; .* choose 'heun'"):
        check_options("ddpm", SamplerOptions(churn=2))
    assert check_options("ddpm", SamplerOptions()).eta == 1 and check_options("euler", SamplerOptions()).eta == 0
    assert check_options("ddim", SamplerOptions(eta=0.3)).eta == 0.3
    with pytest.raises(ValueError, match="must fall strictly"):
        sample(GaussianDenoiser([0.3], 0.4), torch.zeros(1, 1, 2, 2), None, [1.0, 2.0, 0.0])


@pytest.mark.parametrize(
    "bad",
    [
        {"churn": -1.0},
        {"churn_from": 2.0, "churn_to": 1.0},
        {"churn_noise": 0.0},
        {"eta": 1.1},
        {"eta": float("nan")},
        {"churn": float("inf")},
    ],
)
def test_options_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="churn|eta"):
        SamplerOptions(**bad)


def test_churn_is_bounded_and_confined() -> None:
    options = SamplerOptions(churn=10, churn_from=0.1, churn_to=5)
    assert options.churned(1.0, 100) == pytest.approx(1.1)
    assert options.churned(1.0, 10) == pytest.approx(2**0.5)
    assert options.churned(6.0, 100) == 6.0 and options.churned(0.05, 100) == 0.05
