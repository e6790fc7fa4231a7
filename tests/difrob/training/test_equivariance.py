"""Equivariance training against the published equations, the closed form for Gaussians, and its exact cost."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from support.published_losses import edm_loss
from support.toy_classifiers import PassCounter
from torch import Tensor, nn

from difrob.attacks.noise_ascent import RadiusSchedule
from difrob.data import EpochOrder
from difrob.data.points import in_diffusion_range
from difrob.data.toy import gaussian
from difrob.diffusion.ddpm import noise_weight
from difrob.diffusion.edm import EDMDenoiser, draw_sigma, edm_weight, preconditioning
from difrob.diffusion.samplers import sample, sigma_grid, starting_noise
from difrob.nets.denoisers import ResidualMLP
from difrob.randomness import generator, seeded_globally
from difrob.training.equivariance import (
    Draws,
    EquivarianceRule,
    RegularisedLosses,
    draw_perturbation,
    regularised_losses,
)

SHAPE = (2, 1, 3)
CPU = torch.device("cpu")


class WavyNetwork(nn.Module):
    """A small smooth raw network in float64 that depends on the noise level; dropout and batch normalisation on demand."""

    def __init__(self, dropout: float = 0.0, batch_norm: bool = False) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.inner = nn.Parameter(torch.randn(6, 12, generator=source, dtype=torch.float64) / 2)
        self.outer = nn.Parameter(torch.randn(12, 6, generator=source, dtype=torch.float64) / 3)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(12, dtype=torch.float64) if batch_norm else nn.Identity()
        self.num_classes = 0
        self.image_shape = SHAPE

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        hidden = self.norm(torch.sin(x.double().flatten(1) @ self.inner + c_noise.double()[:, None]))
        return (self.dropout(hidden) @ self.outer).reshape(x.shape)


class NoisePredictor(nn.Module):
    """D = v - sigma e, with e a function of z = v / sqrt(1 + sigma^2)."""

    num_classes = 0
    image_shape = SHAPE

    def __init__(self, network: WavyNetwork) -> None:
        super().__init__()
        self.network = network

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1)
        return v - level * self.network(v / (1 + level**2).sqrt(), sigma)


def batch(count: int = 16) -> tuple[Tensor, None, Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    u = torch.rand(count, *SHAPE, generator=source, dtype=torch.float64) * 2 - 1
    sigma = torch.randn(count, generator=source, dtype=torch.float64).exp()
    return u, None, sigma, torch.randn(count, *SHAPE, generator=source, dtype=torch.float64)


def draws_of(rule: EquivarianceRule, count: int = 16, step: int = 0) -> Draws:
    draws = draw_perturbation(rule, (count, *SHAPE), 3, step)
    assert draws is not None
    return Draws(draws.radius_share.double(), draws.start.double())


def losses_of(denoiser: nn.Module, rule: EquivarianceRule, **other: object) -> RegularisedLosses:
    u, labels, sigma, noise = batch()
    draws = draws_of(rule) if rule.active(0) else None
    arguments: dict = {"weight": noise_weight(sigma), "draws": draws, "masks": nullcontext, **other}
    return regularised_losses(denoiser, u, labels, sigma, noise, rule=rule, **arguments)  # type: ignore[arg-type]


def published(network: nn.Module, rule: EquivarianceRule) -> Tensor:
    """|e(z) - n|^2 + lambda_t |e(z + b w) - e(z) - w|^2 in DDPM's own terms, everything recomputed."""
    u, _, sigma, n = batch()
    a = (1 / (1 + sigma**2).sqrt()).reshape(-1, 1, 1, 1)
    b = (1 - a**2).sqrt()
    share, start = draws_of(rule)
    r = (8 / 255 + share * b.flatten() ** 2).reshape(-1, 1, 1, 1)
    z = a * u + b * n
    w = r * start
    if rule.perturbation == "sign":
        w = r * start.sign()
    if rule.perturbation == "adversarial":
        w = w.clone().requires_grad_()
        objective = (network(z + b * w, sigma) - network(z, sigma).detach()).square().sum()
        (gradient,) = torch.autograd.grad(objective, w)
        w = torch.min(torch.max(w.detach() + 2 * r * gradient.sign(), -r), r)
    target = network(z, sigma) + (w if rule.constraint == "equivariance" else 0)
    penalty = (network(z + b * w, sigma) - target).square().flatten(1).mean(1)
    return (network(z, sigma) - n).square().flatten(1).mean(1) + 0.3 * 3**0.5 / r.flatten() * penalty


@pytest.mark.parametrize("constraint", ["equivariance", "invariance"])
@pytest.mark.parametrize("perturbation", ["uniform", "sign", "adversarial"])
def test_loss_and_gradient_are_the_published_ones(constraint: str, perturbation: str) -> None:
    denoiser = NoisePredictor(WavyNetwork())
    rule = EquivarianceRule(constraint, perturbation)  # type: ignore[arg-type]
    expected = published(denoiser.network, rule)
    expected_gradient = torch.autograd.grad(expected.sum(), list(denoiser.parameters()))
    found = losses_of(denoiser, rule)
    assert torch.allclose(found.losses, expected, rtol=1e-9)
    assert found.penalty is not None and found.penalty.mean() > 1e-3
    assert torch.allclose(found.denoising + found.penalty, found.losses)
    assert all(parameter.grad is None for parameter in denoiser.parameters())
    found.losses.sum().backward()
    for parameter, gradient in zip(denoiser.parameters(), expected_gradient, strict=True):
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


def test_for_edm_the_raw_network_shifts_by_a_bounded_share_of_omega() -> None:
    """c_out^-2 |D' - D|^2 = |F' - F + sigma_data / sqrt(sigma^2 + sigma_data^2) omega|^2."""
    denoiser, rule = EDMDenoiser(WavyNetwork(), 0.5), EquivarianceRule(perturbation="uniform")
    u, _, sigma, noise = batch()
    found = losses_of(denoiser, rule, weight=edm_weight(sigma, 0.5))
    assert torch.allclose(found.denoising, edm_loss(denoiser, u, None, sigma, noise), rtol=1e-9)

    share, start = draws_of(rule)
    radius = (8 / 255 + share * sigma**2 / (1 + sigma**2)).reshape(-1, 1, 1, 1)
    omega, level = radius * start, sigma.reshape(-1, 1, 1, 1)
    _, _, c_in, c_noise = preconditioning(level, 0.5)
    raw = [denoiser.network(c_in * (u + level * n), c_noise.flatten()) for n in (noise, noise + omega)]
    shift = raw[1] - raw[0] + 0.5 / (level**2 + 0.25).sqrt() * omega
    expected = 0.3 * 3**0.5 / radius.flatten() * shift.square().flatten(1).mean(1)
    assert found.penalty is not None and torch.allclose(found.penalty, expected, rtol=1e-9)


# T = 200, betas of DDPM's linear schedule stretched to 200 steps, DDIM.
BETAS = np.linspace(5e-4, 0.1, 200)
ALPHA_BAR = np.cumprod(1 - BETAS)
SIGMAS = np.sqrt(1 / ALPHA_BAR - 1)
TRUE_SPREADS = np.array([1.0, 0.3])


class LinearDenoiser(nn.Module):
    """D = v - sigma k_t z on points of the plane, with a gain k for every time step and axis."""

    num_classes = 0
    image_shape = (2, 1, 1)

    def __init__(self, gains: Tensor, times: Tensor) -> None:
        super().__init__()
        self.gains = nn.Parameter(gains)
        self.times = times

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1)
        return v - level * self.gains[self.times].reshape(-1, 2, 1, 1) * v / (1 + level**2).sqrt()


def spreads_after_training(rule: EquivarianceRule, repeats: int = 64) -> np.ndarray:
    """Standard deviations that DDIM draws from the linear denoiser that minimises the objective itself.

    Data and noise are signs in all four combinations, so that their second moments, all that a linear denoiser sees, are
    those of the Gaussian exactly; only omega is random. The objective is quadratic in each gain: two gradients solve it.
    """
    times = torch.arange(200).repeat_interleave(4 * repeats)
    data, n = (torch.tensor(signs).double().repeat(200 * repeats) for signs in ([1, 1, -1, -1], [1, -1, 1, -1]))
    u = data.reshape(-1, 1, 1, 1) * torch.from_numpy(TRUE_SPREADS).reshape(1, 2, 1, 1)
    noise = n.reshape(-1, 1, 1, 1).expand_as(u)
    sigma = torch.from_numpy(SIGMAS)[times]
    draws = draw_perturbation(rule, u.shape, 0, 0)

    def slope(gain: float) -> Tensor:
        denoiser = LinearDenoiser(torch.full((200, 2), gain, dtype=torch.float64), times)
        losses = regularised_losses(
            denoiser, u, None, sigma, noise, weight=noise_weight(sigma), rule=rule,
            draws=None if draws is None else Draws(draws.radius_share.double(), draws.start.double()), masks=nullcontext,
        ).losses  # fmt: skip
        (gradient,) = torch.autograd.grad(losses.sum(), denoiser.gains)
        return gradient

    # Not at gain 0: there the prediction does not change, and the adversary has no direction.
    at_half, at_one = slope(0.5), slope(1.0)
    gains = (0.5 - 0.5 * at_half / (at_one - at_half)).numpy()
    a, b = np.sqrt(ALPHA_BAR), np.sqrt(1 - ALPHA_BAR)
    state = np.ones(2)
    for t in reversed(range(200)):
        e = gains[t] * state
        a_next, b_next = (a[t - 1], b[t - 1]) if t else (1.0, 0.0)
        state = a_next * (state - b[t] * e) / a[t] + b_next * e
    return state


@pytest.mark.parametrize(
    ("constraint", "perturbation", "strength", "predicted"),
    [
        ("equivariance", "uniform", 0.0, (0.991, 0.293)),
        ("equivariance", "uniform", 0.3, (0.968, 0.290)),
        ("equivariance", "sign", 0.3, (0.928, 0.285)),
        ("equivariance", "adversarial", 0.3, (0.928, 0.285)),
        ("equivariance", "adversarial", 1.0, (0.832, 0.271)),
        ("invariance", "uniform", 0.3, (1.458, 0.454)),
        ("invariance", "adversarial", 0.3, (2.69, 0.91)),
    ],
)
def test_gaussians_come_out_as_wide_as_the_theory_says(
    constraint: str, perturbation: str, strength: float, predicted: tuple[float, float]
) -> None:
    """Equivariance draws too narrow by a known factor, invariance far too wide: it is the control that fails."""
    rule = EquivarianceRule(constraint, perturbation, strength)  # type: ignore[arg-type]
    assert spreads_after_training(rule).tolist() == pytest.approx(list(predicted), rel=0.01)


def test_a_detached_clean_branch_changes_the_gradient_only() -> None:
    attached, detached = (EquivarianceRule(perturbation="sign", detach_clean=flag) for flag in (False, True))
    network = NoisePredictor(WavyNetwork())
    one, other = losses_of(network, attached), losses_of(network, detached)
    assert torch.equal(one.losses, other.losses)
    gradients = [torch.autograd.grad(found.losses.sum(), network.network.outer)[0] for found in (one, other)]
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("perturbation", "from_step", "forward", "to_input", "backward"),
    [("uniform", 0, 2, 0, 2), ("sign", 0, 2, 0, 2), ("adversarial", 0, 3, 1, 2), ("adversarial", 9, 1, 0, 1)],
)
def test_the_cost_is_exactly_the_floor(
    perturbation: str, from_step: int, forward: int, to_input: int, backward: int
) -> None:
    """With a backward pass to the input as dear as a forward pass and a full one twice that: 1, 2 and 2.67 plain steps."""
    denoiser = EDMDenoiser(WavyNetwork(), 0.5)
    rule = EquivarianceRule(perturbation=perturbation, from_step=from_step)  # type: ignore[arg-type]
    counter = PassCounter(denoiser.network)  # type: ignore[arg-type]
    losses_of(denoiser, rule).losses.mean().backward()
    assert (counter.forward, counter.backward_to_input, counter.backward) == (
        16 * forward,
        16 * to_input,
        16 * backward,
    )
    assert forward + to_input + 2 * backward <= (2.1 if perturbation != "adversarial" else 2.8) * 3


def test_the_adversary_leaves_no_trace() -> None:
    """Gradients of an earlier step, running statistics and random states stand as a plain step would leave them."""
    regularised = EDMDenoiser(WavyNetwork(dropout=0.5, batch_norm=True), 0.5).train()
    plain = copy.deepcopy(regularised)
    for parameter in regularised.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    state = torch.get_rng_state()
    masks = partial(seeded_globally, CPU, 0, "dropout", 5)
    found = losses_of(regularised, EquivarianceRule(), masks=masks)
    losses_of(plain, EquivarianceRule(), masks=masks, draws=None)
    assert torch.equal(torch.get_rng_state(), state)
    assert all((parameter.grad == 7).all() for parameter in regularised.parameters())
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, regularised.get_buffer(name)), name
    assert int(plain.network.norm.num_batches_tracked) == 1  # type: ignore[union-attr, arg-type]
    assert all(module.training for module in regularised.modules())
    assert found.penalty is not None and not found.penalty.requires_grad and not found.denoising.requires_grad


def test_both_branches_see_the_same_dropout_masks() -> None:
    """With a vanishing radius the residual vanishes too, unless the masks differ."""
    denoiser = EDMDenoiser(WavyNetwork(dropout=0.5), 0.5).train()
    rule = EquivarianceRule(radius=RadiusSchedule("scaled", smallest=1e-4, exponent=12.0))
    same = losses_of(denoiser, rule, masks=partial(seeded_globally, CPU, 0, "dropout", 5)).penalty
    torch.manual_seed(0)
    different = losses_of(denoiser, rule).penalty
    assert same is not None and different is not None
    few_noisy = batch()[2] < 1
    assert same[few_noisy].max() < 1e-2 and different[few_noisy].min() > 1


def test_a_plain_step_is_the_plain_loss() -> None:
    denoiser = EDMDenoiser(WavyNetwork(), 0.5)
    u, _, sigma, noise = batch()
    for rule in (EquivarianceRule(strength=0.0), EquivarianceRule(from_step=100)):
        assert draw_perturbation(rule, u.shape, 0, 99) is None
        found = losses_of(denoiser, rule, weight=edm_weight(sigma, 0.5))
        assert found.penalty is None
        assert torch.allclose(found.losses, edm_loss(denoiser, u, None, sigma, noise), rtol=1e-9)
    assert draw_perturbation(EquivarianceRule(from_step=100), u.shape, 0, 100) is not None


def test_draws_belong_to_seed_and_step_and_serve_all_arms() -> None:
    first, second = (draw_perturbation(EquivarianceRule(), (8, *SHAPE), 4, step) for step in (7, 8))
    assert first is not None and second is not None
    torch.rand(100)
    again = draw_perturbation(EquivarianceRule("invariance", "sign", 2.0), (8, *SHAPE), 4, 7)
    assert again is not None and torch.equal(first.start, again.start)
    assert torch.equal(first.radius_share, again.radius_share)
    assert not torch.equal(first.start, second.start)
    assert first.start.min() >= -1 and first.start.max() < 1 and abs(float(first.start.mean())) < 0.3
    other_seed = draw_perturbation(EquivarianceRule(), (8, *SHAPE), 5, 7)
    assert other_seed is not None and not torch.equal(first.start, other_seed.start)


def test_pieces_of_a_batch_give_the_losses_of_the_whole() -> None:
    denoiser, rule = EDMDenoiser(WavyNetwork(), 0.5), EquivarianceRule()
    u, _, sigma, noise = batch()
    whole = losses_of(denoiser, rule)
    pieces = [
        regularised_losses(
            denoiser, u[rows], None, sigma[rows], noise[rows], weight=noise_weight(sigma[rows]), rule=rule,
            draws=draws_of(rule).part(rows), masks=nullcontext,
        ).losses
        for rows in (slice(0, 5), slice(5, 16))
    ]  # fmt: skip
    assert torch.allclose(torch.cat(pieces), whole.losses, rtol=1e-9)


def test_the_adversary_beats_random_signs_at_its_own_goal() -> None:
    denoiser = NoisePredictor(WavyNetwork())
    sign = losses_of(denoiser, EquivarianceRule(perturbation="sign")).penalty
    climbed = losses_of(denoiser, EquivarianceRule(goal="equivariance_error")).penalty
    assert sign is not None and climbed is not None
    assert climbed.mean() > 1.15 * sign.mean()


@pytest.mark.parametrize(
    "bad",
    [
        {"constraint": "variance"},
        {"perturbation": "fgsm"},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"step_share": 0.0},
        {"from_step": -1},
    ],
)
def test_bad_rules_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="|".join(bad)):
        EquivarianceRule(**bad)


def closed_form_spreads(rule: EquivarianceRule, grid: list[float]) -> np.ndarray:
    """What Heun's method draws on this grid from the linear denoiser that minimises the objective.

    The adversary of a linear denoiser ends in a corner, so that it counts as random signs.
    """
    mean_square = 1 / 3 if rule.perturbation == "uniform" else 1.0  # of omega / r

    def gain(sigma: float) -> np.ndarray:
        b_squared = sigma**2 / (1 + sigma**2)
        c = 3**0.5 * rule.strength * (8 / 255 + b_squared / 2) * mean_square
        variance = TRUE_SPREADS**2
        if rule.constraint == "equivariance":
            return variance / (1 + c) / (variance / (1 + c) + sigma**2)
        return 1 - b_squared / (variance / (1 + sigma**2) + b_squared + c * b_squared)

    state = np.full(2, grid[0])
    for here, there in zip(grid, grid[1:], strict=False):
        slope = (1 - gain(here)) * state / here
        ahead = state + (there - here) * slope
        if there > 0:
            ahead = state + (there - here) * (slope + (1 - gain(there)) * ahead / there) / 2
        state = ahead
    return state


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [EquivarianceRule("equivariance", "adversarial", 1.0), EquivarianceRule("invariance", "uniform", 0.3)],
    ids=["equivariance", "invariance"],
)
def test_a_trained_network_agrees_with_the_theory(rule: EquivarianceRule) -> None:
    """Under the adversary invariance leaves the linear theory behind: a network has corners that gain more."""
    grid, sigma_data = sigma_grid(30, 0.002, 20.0), 0.74
    with seeded_globally(CPU, 0, "weights"):
        denoiser = EDMDenoiser(ResidualMLP((2, 1, 1), 0, 64, 2), sigma_data)
    data = in_diffusion_range(gaussian(TRUE_SPREADS.tolist()).draw(50_000, 0))
    optimiser = torch.optim.Adam(denoiser.parameters(), fused=True)
    steps, order = 1000, EpochOrder(len(data), 512, 0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 4e-3 * (1 + np.cos(np.pi * step / steps)) / 2
        u, source = data[torch.from_numpy(order.batch(step))], generator(0, "step", step)
        sigma, noise = draw_sigma(len(u), -0.8, 1.4, source), torch.randn(u.shape, generator=source)
        draws = draw_perturbation(rule, u.shape, 0, step)
        optimiser.zero_grad()
        regularised_losses(
            denoiser, u, None, sigma, noise, weight=edm_weight(sigma, sigma_data), rule=rule, draws=draws,
            masks=nullcontext,
        ).losses.mean().backward()  # fmt: skip
        optimiser.step()
    drawn = sample(denoiser, starting_noise(1, range(8000), (2, 1, 1)), None, grid).flatten(1).std(dim=0)
    expected = closed_form_spreads(rule, grid)
    ratio = expected / TRUE_SPREADS
    assert (ratio < 0.94).all() if rule.constraint == "equivariance" else (ratio > 1.2).all()
    assert drawn.tolist() == pytest.approx(expected.tolist(), rel=0.05)
