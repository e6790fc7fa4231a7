"""Small trained networks as runs that other jobs read, made without their training jobs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun

from difrob.data import as_float
from difrob.diffusion.parameterisations import parameterisation_of
from difrob.nets.classifiers import build_classifier
from difrob.nets.denoisers import build_denoiser_network
from difrob.nets.storage import pack
from difrob.runs.interface import Checkpoint
from difrob.specs import DataSpec, TrainClassifierSpec, TrainDenoiserSpec

DATA = DataSpec(train_size=200)


@lru_cache
def classifier_run(run_id: str = "classifier", steps: int = 60, seed: int = 0, features: int = 24) -> MemoryInputRun:
    """A small classifier of digits, plainly trained; about nine in ten right after 60 steps."""
    spec = TrainClassifierSpec(data=DATA, network={"channels": (8, 16), "features": features})  # type: ignore[arg-type]
    training = load_split(DATA, "train")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_classifier(spec.network, training.shape, training.num_classes)
    images, labels = as_float(training.images), torch.from_numpy(training.labels.copy())
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
    state = {"image_shape": list(training.shape), "num_classes": training.num_classes}
    return MemoryInputRun(run_id, spec, last=Checkpoint(steps, pack(average=network.state_dict()), state))


@lru_cache
def denoiser_run(run_id: str = "denoiser", steps: int = 120, seed: int = 0, **changes: Any) -> MemoryInputRun:
    """A small denoiser of digits."""
    values: dict[str, Any] = {"data": DATA, "network": {"width": 32, "blocks": 3, "dropout": 0.5}, **changes}
    spec = TrainDenoiserSpec(**values)
    training = load_split(DATA, "train")
    parameterisation = parameterisation_of(spec)
    classes = training.num_classes if spec.class_conditional else 0
    source = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        denoiser = parameterisation.wrap(build_denoiser_network(spec.network, training.shape, classes))
        u = 2 * as_float(training.images) - 1
        labels = torch.from_numpy(training.labels.copy()) if classes else None
        optimiser = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
        for step in range(steps):
            sigma = parameterisation.draw_sigma(len(u), source)
            v = u + sigma.reshape(-1, 1, 1, 1) * torch.randn(u.shape, generator=source)
            known = None if labels is None or step % 2 else labels
            error = (denoiser.denoise(v, sigma, known) - u).square().flatten(1).mean(dim=1)
            optimiser.zero_grad()
            (parameterisation.weight(sigma) * error).mean().backward()
            optimiser.step()
    state = {"image_shape": list(training.shape), "num_classes": training.num_classes}
    return MemoryInputRun(run_id, spec, last=Checkpoint(steps, pack(average=denoiser.state_dict()), state))
