"""Perturbed states: radii, ascent inside its box, and what an attack on a trajectory does to the images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ideal_denoisers import GaussianDenoiser
from torch import Tensor

from difrob.attacks.noise_ascent import RadiusSchedule, climb
from difrob.attacks.trajectory import TrajectoryAttack, TrajectoryBudget
from difrob.data.toy import ring
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.samplers import guided, sample, sigma_grid, starting_noise
from difrob.nets.denoisers import ResidualMLP


@given(
    form=st.sampled_from(["shifted", "scaled"]),
    smallest=st.floats(1e-4, 1),
    exponent=st.floats(0, 4),
    sigma=st.floats(1e-3, 100),
    share=st.floats(0, 1),
)
def test_radii_follow_the_noise_and_the_draw(
    form: str, smallest: float, exponent: float, sigma: float, share: float
) -> None:
    schedule = RadiusSchedule(form, smallest, exponent)  # type: ignore[arg-type]
    low, here, high = (
        float(schedule.radius(torch.tensor([sigma], dtype=torch.float64), draw)) for draw in (0.0, share, 1.0)
    )
    b = sigma / (1 + sigma**2) ** 0.5
    if form == "shifted":
        assert (low, high) == pytest.approx((smallest, smallest + b**exponent))
    else:
        assert (low, high) == pytest.approx((smallest * b**exponent, b**exponent))
    assert here == pytest.approx(low + share * (high - low))


def test_bad_schedules_and_budgets_are_refused() -> None:
    for bad in ({"form": "flat"}, {"smallest": 0.0}, {"exponent": -1.0}):
        with pytest.raises(ValueError, match="schedule|smallest"):
            RadiusSchedule(**bad)  # type: ignore[arg-type]
    for bad, word in (
        ({"kappa": -1.0}, "kappa"),
        ({"steps": 0}, "steps"),
        ({"every": 0}, "every"),
        ({"step_share": 0.0}, "step_share"),
        ({"sigma_low": 2.0, "sigma_high": 1.0}, "between 2.0 and 1.0"),
        ({"direction": "down"}, "direction"),
    ):
        with pytest.raises(ValueError, match=word):
            TrajectoryBudget(**bad)  # type: ignore[arg-type]


def wavy(v: Tensor) -> Tensor:
    return torch.sin(3 * v) + 0.5 * v.flip(1)


@pytest.mark.parametrize("goal", ["noise_prediction", "equivariance_error"])
def test_the_ascent_stays_in_its_box_and_climbs(goal: str) -> None:
    source = torch.Generator().manual_seed(0)
    v = torch.randn(50, 2, 1, 2, generator=source, dtype=torch.float64)
    sigma = torch.rand(50, 1, 1, 1, generator=source, dtype=torch.float64) + 0.2
    radius = 0.3 * sigma
    start = radius * (2 * torch.rand(v.shape, generator=source, dtype=torch.float64) - 1)

    def height(omega: Tensor) -> Tensor:
        moved = (wavy(v + sigma * omega) - wavy(v)) / sigma
        return (omega - moved if goal == "noise_prediction" else moved).square().sum((1, 2, 3))

    ends = {}
    for steps in (1, 10):
        ends[steps] = climb(
            wavy, v, wavy(v), sigma, start, radius, steps=steps, step_share=2.5 / steps, goal=goal  # type: ignore[arg-type]
        )  # fmt: skip
        assert (ends[steps].abs() <= radius * (1 + 1e-12)).all() and not ends[steps].requires_grad
    assert not start.requires_grad
    assert height(ends[1]).mean() > height(radius * start.sign()).mean() > height(start).mean()
    assert height(ends[10]).mean() > height(ends[1]).mean()


def test_one_long_step_ends_in_a_corner() -> None:
    v = torch.randn(8, 1, 2, 2)
    radius = torch.full((8, 1, 1, 1), 0.1)
    omega = climb(
        wavy, v, wavy(v), torch.ones(8, 1, 1, 1), radius * torch.rand(v.shape), radius, steps=1, step_share=2.0
    )
    assert torch.allclose(omega.abs(), radius.expand_as(omega))


def test_no_parameter_gets_a_gradient() -> None:
    network = torch.nn.Linear(4, 4)
    v = torch.randn(8, 1, 2, 2)
    with torch.no_grad():  # as inside a sampler
        climb(
            lambda state: network(state.flatten(1)).reshape(state.shape), v, torch.zeros_like(v),
            torch.ones(8, 1, 1, 1), 0.1 * torch.rand(v.shape), torch.full((8, 1, 1, 1), 0.1), steps=3, step_share=1.0,
        )  # fmt: skip
    assert all(parameter.grad is None for parameter in network.parameters())


def attack_on_ring(budget: TrajectoryBudget, rows: list[int]) -> tuple[Tensor, TrajectoryAttack]:
    mixture = ring()
    attack = TrajectoryAttack(
        lambda v, sigma: guided(mixture, v, sigma, None, 1.0), budget, seed=1, indices=rows
    )  # fmt: skip
    return sample(mixture, starting_noise(0, rows, (2, 1, 1)), None, sigma_grid(12), callback=attack), attack


def test_a_push_at_one_level_arrives_shrunk_by_the_exact_flow() -> None:
    """The flow of a Gaussian is linear: sigma delta at the level s ends as sigma delta spread / sqrt(spread^2 + s^2)."""
    denoiser, grid = GaussianDenoiser([0.3, -0.2], spread=0.4), sigma_grid(100)
    noise = torch.randn(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    level = grid[60]
    budget = TrajectoryBudget("sign", kappa=0.5, sigma_low=level, sigma_high=level)
    attack = TrajectoryAttack(lambda v, s: guided(denoiser, v, s, None, 1.0), budget, seed=0, indices=range(20))
    pushed = sample(denoiser, noise, None, grid, callback=attack) - sample(denoiser, noise, None, grid)
    assert [(state.step, state.sigma) for state in attack.attacked] == [(59, level)]
    radius = attack.attacked[0].radius
    assert radius == pytest.approx(0.5 * (8 / 255 + level**2 / (1 + level**2)))
    expected = level * radius * 0.4 / (0.16 + level**2) ** 0.5
    assert pushed.abs().flatten().tolist() == pytest.approx([expected] * 80, rel=0.01)
    assert 20 < int((pushed > 0).sum()) < 60


def test_the_interval_and_the_stride_choose_the_states() -> None:
    grid = sigma_grid(12)
    budget = TrajectoryBudget(sigma_low=0.1, sigma_high=10.0, every=2, steps=3)
    _, attack = attack_on_ring(budget, [0, 1])
    expected = [(step, s) for step, s in enumerate(grid[1:]) if step % 2 == 0 and 0.1 <= s <= 10]
    assert len(expected) >= 2 and [(state.step, state.sigma) for state in attack.attacked] == expected
    assert attack.forward == 4 * len(expected) and attack.backward == 3 * len(expected)
    _, whole = attack_on_ring(TrajectoryBudget(direction="uniform"), [0, 1])
    assert len(whole.attacked) == 11  # every state but the finished image
    assert whole.forward == whole.backward == 0


def test_no_radius_is_no_attack() -> None:
    plain = sample(ring(), starting_noise(0, range(6), (2, 1, 1)), None, sigma_grid(12))
    images, attack = attack_on_ring(TrajectoryBudget(kappa=0.0), list(range(6)))
    assert torch.equal(images, plain) and not attack.attacked


def test_the_attack_on_an_image_does_not_depend_on_its_batch() -> None:
    budget = TrajectoryBudget(steps=3)
    whole, _ = attack_on_ring(budget, list(range(9)))
    some, _ = attack_on_ring(budget, [7, 2])
    assert torch.allclose(some, whole[[7, 2]], atol=1e-6)


def test_climbing_moves_images_further_than_random_signs_of_the_same_radius() -> None:
    rows = list(range(200))
    plain, _ = attack_on_ring(TrajectoryBudget(kappa=0.0), rows)
    moved = {}
    for direction in ("uniform", "sign", "ascent"):
        budget = TrajectoryBudget(direction, steps=8, sigma_high=1.0, goal="equivariance_error")  # type: ignore[arg-type]
        images, _ = attack_on_ring(budget, rows)
        moved[direction] = float((images - plain).square().mean())
    assert moved["ascent"] > 1.2 * moved["sign"] > 1.2 * 1.2 * moved["uniform"]


def test_an_attack_on_a_network_leaves_its_parameters_alone() -> None:
    torch.manual_seed(0)
    denoiser = EDMDenoiser(ResidualMLP((1, 2, 2), 3, 16, 1), 0.5).eval()
    torch.nn.init.normal_(denoiser.network.output.weight, std=0.3)  # type: ignore[union-attr, arg-type]
    labels, noise, grid = torch.tensor([0, 1, 2]), starting_noise(0, range(3), (1, 2, 2)), sigma_grid(6)
    state = torch.get_rng_state()
    attack = TrajectoryAttack(
        lambda v, s: guided(denoiser, v, s, labels, 2.0), TrajectoryBudget(), seed=0, indices=range(3)
    )
    images = sample(denoiser, noise, labels, grid, guidance_scale=2.0, callback=attack)
    plain = sample(denoiser, noise, labels, grid, guidance_scale=2.0)
    assert (images - plain).abs().max() > 1e-3 and images.isfinite().all() and not images.requires_grad
    assert all(parameter.grad is None for parameter in denoiser.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_starting_noise_can_be_attacked_too() -> None:
    mixture, rows = ring(), range(5)
    noise = starting_noise(0, rows, (2, 1, 1))
    attack = TrajectoryAttack(
        lambda v, s: guided(mixture, v, s, None, 1.0), TrajectoryBudget(kappa=0.2), seed=0, indices=rows
    )
    before = noise.clone()
    delta = attack.perturbation(-1, 80.0, noise * 80)
    assert torch.equal(noise, before)
    assert delta.abs().max() <= 0.2 * (8 / 255 + 1) + 1e-6 and delta.abs().max() > 0.1
    with pytest.raises(ValueError, match="5 indices were given for 3 images"):
        attack.perturbation(-1, 80.0, noise[:3])
