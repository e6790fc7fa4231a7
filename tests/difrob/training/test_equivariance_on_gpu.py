"""On a GPU: neither a regularised step nor an attack on a trajectory makes the host wait, and results agree with the CPU."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from difrob.attacks.trajectory import TrajectoryAttack, TrajectoryBudget
from difrob.diffusion.edm import EDMDenoiser, edm_weight
from difrob.diffusion.samplers import guided, sample, sigma_grid, starting_noise
from difrob.nets.denoisers import ResidualMLP
from difrob.randomness import seeded_globally
from difrob.training.equivariance import (
    Draws,
    EquivarianceRule,
    draw_perturbation,
    regularised_losses,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
SHAPE = (32, 1, 8, 8)


def network(device: torch.device, dropout: float) -> EDMDenoiser:
    with seeded_globally(torch.device("cpu"), 0, "weights"):
        denoiser = EDMDenoiser(ResidualMLP(SHAPE[1:], 10, 64, 2, dropout), 0.5)
        torch.nn.init.normal_(denoiser.network.output.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    return denoiser.to(device)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_regularised_steps_never_wait_and_agree_with_the_cpu(dropout: float) -> None:
    source = torch.Generator().manual_seed(0)
    u, noise = (torch.randn(SHAPE, generator=source) for _ in range(2))
    sigma, labels = torch.rand(32, generator=source) + 0.1, torch.arange(32) % 10
    rule = EquivarianceRule()
    drawn = draw_perturbation(rule, SHAPE, 0, 0)
    assert drawn is not None
    found = {}
    for device in (torch.device("cpu"), torch.device("cuda")):
        denoiser = network(device, dropout).train()
        batch = [tensor.to(device) for tensor in (u, labels, sigma, noise)]
        draws = Draws(*(tensor.to(device) for tensor in drawn))
        for round_number in range(2):  # the first initialises libraries
            torch.cuda.set_sync_debug_mode("error" if round_number else "default")
            losses = regularised_losses(
                denoiser, *batch, weight=edm_weight(batch[2], 0.5), rule=rule, draws=draws,
                masks=partial(seeded_globally, device, 0, "dropout", 5),
            )  # fmt: skip
            losses.losses.mean().backward()
        torch.cuda.set_sync_debug_mode("default")
        assert losses.penalty is not None
        found[device.type] = losses.penalty.cpu()
    if dropout == 0:  # masks are other ones on a GPU
        assert float(found["cuda"].mean()) == pytest.approx(float(found["cpu"].mean()), rel=1e-2)
    else:  # masks that differ between the branches would make it many times larger
        assert float(found["cuda"].mean()) < 2 * float(found["cpu"].mean())


def test_attacks_on_trajectories_never_wait_and_agree_with_the_cpu() -> None:
    images, budget = {}, TrajectoryBudget("sign", kappa=0.5)
    for device in (torch.device("cpu"), torch.device("cuda")):
        denoiser = network(device, 0.0).eval()
        noise = starting_noise(0, range(32), SHAPE[1:], device)
        for chosen in (budget, TrajectoryBudget(steps=2)):
            attack = TrajectoryAttack(
                lambda v, s, denoiser=denoiser: guided(denoiser, v, s, None, 1.0), chosen, seed=0, indices=range(32)
            )
            sample(denoiser, noise, None, sigma_grid(4))
            torch.cuda.set_sync_debug_mode("error")
            drawn = sample(denoiser, noise, None, sigma_grid(4), callback=attack)
            torch.cuda.set_sync_debug_mode("default")
            assert drawn.isfinite().all() and len(attack.attacked) == 3
            if chosen is budget:  # near a zero of the gradient the ascent may turn either way
                images[device.type] = drawn.cpu()
    assert torch.allclose(images["cuda"], images["cpu"], atol=1e-2)
