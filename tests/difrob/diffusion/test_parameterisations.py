"""EDM and DDPM behind one face: how often each noise level comes, and what weighs how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.parameterisations import DDPM, EDM, parameterisation_of
from difrob.specs import TrainDenoiserSpec

SPECS = {"edm": TrainDenoiserSpec(), "ddpm": TrainDenoiserSpec(parameterisation="ddpm", time_steps=100)}


@pytest.mark.parametrize("name", SPECS)
def test_quantiles_are_those_of_the_draws(name: str) -> None:
    parameterisation = parameterisation_of(SPECS[name])
    drawn = parameterisation.draw_sigma(40_000, torch.Generator().manual_seed(0)).double()
    quantiles = torch.tensor([0.1, 1 / 3, 0.5, 2 / 3, 0.9], dtype=torch.float64)
    levels = parameterisation.sigma_at(quantiles)
    shares = torch.stack([(drawn < level * (1 - 1e-6)).double().mean() for level in levels])
    assert (shares - quantiles).abs().max() < 0.02


@pytest.mark.parametrize("name", SPECS)
def test_sampling_grids_fall_to_zero(name: str) -> None:
    grid = parameterisation_of(SPECS[name]).grid(18)
    assert len(grid) == 19 and grid[-1] == 0 and all(np.diff(grid) < 0)


def test_weights_and_wrappers() -> None:
    edm, ddpm = parameterisation_of(SPECS["edm"]), parameterisation_of(SPECS["ddpm"])
    assert isinstance(edm, EDM) and isinstance(ddpm, DDPM)
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    assert torch.allclose(ddpm.weight(sigma), 1 / sigma**2)
    assert torch.allclose(edm.weight(sigma), 1 / sigma**2 + 1 / 0.25)

    class Network(torch.nn.Module):
        num_classes, image_shape = 3, (1, 2, 2)

    assert isinstance(edm.wrap(Network()), EDMDenoiser) and isinstance(ddpm.wrap(Network()), DDPMDenoiser)  # type: ignore[arg-type]
    assert ddpm.grid(1000)[0] == pytest.approx(float(ddpm.schedule.sigma_max)) and len(ddpm.grid(1000)) == 101
