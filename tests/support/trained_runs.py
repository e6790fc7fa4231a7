"""Networks trained by their jobs, recorded in memory: for tests of training, and of the jobs that read what was trained."""

from __future__ import annotations

from typing import Any

import torch
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.jobs import train_classifier, train_denoiser
from difrob.nets.storage import unpack
from difrob.specs import TrainClassifierSpec, TrainDenoiserSpec

CPU = torch.device("cpu")


def trained(spec: TrainClassifierSpec | TrainDenoiserSpec, **arguments: Any) -> MemoryRecorder:
    """What training records; the arguments are those of the recorder."""
    recorder = MemoryRecorder(**arguments)
    if isinstance(spec, TrainClassifierSpec):
        train_classifier.run(spec, recorder, CPU)
    else:
        train_denoiser.run(spec, recorder, CPU)
    return recorder


def trained_run(spec: TrainClassifierSpec | TrainDenoiserSpec, run_id: str) -> MemoryInputRun:
    """A trained network as the input of another job."""
    return trained(spec).as_input_run(spec, run_id)


def weights_of(recorder: MemoryRecorder) -> dict[str, torch.Tensor]:
    """Every tensor of the last checkpoint, as ``part/name``: those of the network, its average, the optimiser."""
    parts = unpack(recorder.last_checkpoint.weights)
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def assert_same_end(whole: MemoryRecorder, resumed: MemoryRecorder) -> None:
    """An interrupted training ended where the uninterrupted one did, bit for bit, and at finite weights."""
    expected, found = weights_of(whole), weights_of(resumed)
    assert expected.keys() == found.keys(), f"only one has {sorted(expected.keys() ^ found.keys())}"
    for key, tensor in expected.items():
        assert tensor.isfinite().all() and torch.equal(tensor, found[key]), key
    left, right = whole.last_checkpoint.state, resumed.last_checkpoint.state
    assert left == right, f"{left} is not {right}"
    assert whole.results == resumed.results, f"{whole.results} is not {resumed.results}"
