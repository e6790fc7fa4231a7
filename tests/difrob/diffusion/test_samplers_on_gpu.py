"""On a GPU: no sampler makes the host wait, whatever it draws on the way, and images agree with the CPU."""

from __future__ import annotations

import pytest
import torch
from support.no_waiting import no_waiting

from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.noise_schedules import cosine_schedule
from difrob.diffusion.samplers import SAMPLERS, SamplerOptions, sample, schedule_grid, starting_noise
from difrob.nets.residual_mlp import ResidualMLP

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("parameterisation", ["edm", "ddpm"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_never_wait_and_agree_with_the_cpu(sampler: str, parameterisation: str) -> None:
    schedule = cosine_schedule(1000)
    options = {"heun": SamplerOptions(churn=1, churn_to=50), "ddim": SamplerOptions(eta=0.5)}.get(sampler)
    drawn = {}
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = ResidualMLP((1, 8, 8), 10, 64, 2).eval()
        torch.nn.init.normal_(network.output.weight, std=0.05)
        denoiser = (EDMDenoiser(network, 0.5) if parameterisation == "edm" else DDPMDenoiser(network, schedule)).to(
            device
        )
        noise, labels = starting_noise(0, range(20), (1, 8, 8), device), torch.arange(20, device=device) % 10
        settings = {"sampler": sampler, "options": options, "guidance_scale": 2.0, "index": range(20), "seed": 3}
        grid = schedule_grid(schedule, 12)[1:]
        sample(denoiser, noise, labels, grid, **settings)  # the first call copies the schedule to the device
        if device == "cuda":
            with no_waiting():
                images = sample(denoiser, noise, labels, grid, **settings)
        else:
            images = sample(denoiser, noise, labels, grid, **settings)
        drawn[device] = images.cpu()
    assert torch.allclose(drawn["cuda"], drawn["cpu"], rtol=1e-2, atol=1e-2)
