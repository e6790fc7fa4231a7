"""On a GPU: neither a training step nor the sampler makes the host wait, and results agree with the CPU."""

from __future__ import annotations

import pytest
import torch
from support.built_in_data import load_split
from support.no_waiting import no_waiting

from difrob.diffusion.samplers import sample, sigma_grid, starting_noise
from difrob.memory import MicroBatches
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainDenoiserSpec
from difrob.training.denoising import DenoiserTraining, NoisyBatches
from difrob.training.loss_window import LossWindow

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
SPEC = TrainDenoiserSpec(data=DataSpec(train_size=100), network=DenoiserNetworkSpec(width=64, blocks=2), batch_size=32)


def test_steps_and_sampling_never_wait_and_agree_with_the_cpu() -> None:
    training = load_split(SPEC.data, "train")
    losses, images = {}, {}
    for device in (torch.device("cpu"), torch.device("cuda")):
        pieces = MicroBatches(SPEC.batch_size, may_shrink=False, tell=lambda size, why: None)
        batches = NoisyBatches(SPEC, training, device)
        model = DenoiserTraining(SPEC, training.shape, 10, device, pieces, print)
        window = LossWindow(10, (0.2, 0.5), device)
        window.add(*model.step(0, batches.batch(0)))  # the first step initialises libraries
        noise = starting_noise(0, range(20), training.shape, device)
        labels = torch.arange(20, device=device) % 10
        sample(model.average.module, noise, labels, sigma_grid(4), guidance_scale=2.0)
        with no_waiting():
            for step in range(1, 10):
                window.add(*model.step(step, batches.batch(step)))
            drawn = sample(model.average.module, noise, labels, sigma_grid(4), guidance_scale=2.0)
        losses[device.type], images[device.type] = window.read()["loss"], drawn.cpu()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)
    assert torch.allclose(images["cuda"], images["cpu"], atol=1e-2)
