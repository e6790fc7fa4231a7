"""On a GPU: a resumed training is the uninterrupted one, and a device that is really full makes the pieces smaller.

Deterministic algorithms are switched on there, so equality to the last bit is expected; what is promised, and asserted,
is a relative difference of weights of at most 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.memory_recorder import MemoryRecorder

from difrob.errors import Stopped
from difrob.jobs import train_classifier, train_denoiser
from difrob.nets.storage import unpack
from difrob.specs import DataSpec, DenoiserNetworkSpec, TrainClassifierSpec, TrainDenoiserSpec
from difrob.worker.torch_setup import prepare_torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
UNET = DenoiserNetworkSpec(architecture="unet2d", channels=(32, 64), dropout=0.1)
JOBS: dict[str, tuple[Any, Any]] = {
    "denoiser": (
        train_denoiser,
        TrainDenoiserSpec(data=DataSpec(train_size=200), network=UNET, steps=40, batch_size=64, log_every=5,
                          sample_every=0, checkpoint_every=100, rampup_steps=4),
    ),
    "classifier": (
        train_classifier,
        TrainClassifierSpec(data={"train_size": 200}, steps=40, batch_size=64, validate_every=20, checkpoint_every=100),
    ),
}  # fmt: skip


@pytest.fixture
def device() -> Iterator[torch.device]:
    yield prepare_torch("cuda")
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", JOBS)
def test_a_resumed_run_is_the_run_that_was_interrupted(name: str, device: torch.device) -> None:
    job, spec = JOBS[name]
    whole, stopped = MemoryRecorder(), MemoryRecorder(stop_at_check=17)
    job.run(spec, whole, device)
    with pytest.raises(Stopped):
        job.run(spec, stopped, device)
    resumed = stopped.resume()
    job.run(spec, resumed, device)
    expected, got = unpack(whole.last_checkpoint.weights), unpack(resumed.last_checkpoint.weights)
    worst = max(
        float((got[part][key].double() - tensor.double()).norm() / tensor.double().norm().clamp_min(1e-12))
        for part, tensors in expected.items() if part in ("network", "average")
        for key, tensor in tensors.items() if tensor.is_floating_point()
    )  # fmt: skip
    print(f"{name}: largest relative difference {worst:.2e}")
    assert worst <= 1e-5


def test_a_device_that_is_really_full_makes_the_pieces_smaller(device: torch.device) -> None:
    spec = TrainDenoiserSpec(
        data=DataSpec(train_size=1000), network=DenoiserNetworkSpec(architecture="unet2d", channels=(64, 128)),
        batch_size=1000, steps=2, log_every=1, sample_every=0, checkpoint_every=2, rampup_steps=1,
    )  # fmt: skip
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    train_denoiser.run(spec, MemoryRecorder(), device)
    needed = torch.cuda.max_memory_allocated(device) - before
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((before + 0.6 * needed) / total)
    try:
        recorder = MemoryRecorder()
        train_denoiser.run(spec, recorder, device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert recorder.attributes["micro_batch"]["images_at_once"] < 1000
    assert len(recorder.checkpoints) == 1
