"""On a GPU: probes, analyses and alignment targets are those of the CPU, up to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run, denoiser_run
from support.memory_recorder import MemoryRecorder

from difrob.data import as_float
from difrob.jobs import analyse, probe_teacher
from difrob.memory import MicroBatches
from difrob.nets.classifiers import build_classifier
from difrob.specs import AlignmentSpec, AnalyseSpec, ProbeTeacherSpec, TrainClassifierSpec
from difrob.training.alignment import open_alignment
from difrob.worker.torch_setup import prepare_torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
CPU = torch.device("cpu")
RUNS = {"denoiser": denoiser_run(), "classifier": classifier_run(), "second": classifier_run("second", seed=4)}


@pytest.fixture
def device() -> Iterator[torch.device]:
    yield prepare_torch("cuda")
    torch.use_deterministic_algorithms(False)


def both(job: Any, spec: Any, device: torch.device) -> tuple[MemoryRecorder, MemoryRecorder]:
    recorders = MemoryRecorder(runs=RUNS), MemoryRecorder(runs=RUNS)
    for recorder, where in zip(recorders, (CPU, device), strict=True):
        job.run(spec, recorder, where)
    return recorders


def test_probes_are_those_of_the_cpu(device: torch.device) -> None:
    spec = ProbeTeacherSpec(denoiser="denoiser", sigmas=(0.1, 0.5), classifier="classifier", attack={"steps": 3})  # type: ignore[arg-type]
    cpu, gpu = both(probe_teacher, spec, device)
    for name in ("clean_right", "robust_right"):
        assert np.abs(cpu.column(name) - gpu.column(name)).max() <= 3


def test_analyses_are_those_of_the_cpu(device: torch.device) -> None:
    measures = ("rank", "dimension", "autoencoder", "alignment", "gradients", "probes", "kernel_alignment")
    spec = AnalyseSpec(
        classifier="classifier", second="second", denoiser="denoiser", measures=measures, images=200,
        attack={"steps": 3}, autoencoder={"steps": 100, "seeds": 1, "active": 4},
    )  # type: ignore[arg-type]  # fmt: skip
    cpu, gpu = both(analyse, spec, device)
    assert cpu.results.keys() == gpu.results.keys()
    for name, result in cpu.results.items():
        assert gpu.results[name].value == pytest.approx(result.value, rel=0.05, abs=0.03), name


@pytest.mark.parametrize("teacher", ["denoiser", "random", "classifier"])
def test_alignment_targets_are_those_of_the_cpu(teacher: str, device: torch.device) -> None:
    spec = AlignmentSpec(teacher=teacher, denoiser="denoiser", classifier="classifier")  # type: ignore[arg-type]
    real, rows = load_split(DATA, "train"), np.arange(32)
    found = []
    for where in (CPU, device):
        network = build_classifier(TrainClassifierSpec().network, real.shape, real.num_classes).to(where)
        alignment = open_alignment(spec, MemoryRecorder(runs=RUNS), real, network, 0, where)
        assert alignment is not None
        images = as_float(real.images[rows], where)
        pieces = MicroBatches(32, may_shrink=False, tell=lambda size, text: None)
        targets = alignment.targets(images, 3, rows, rows[:0], pieces)
        alignment.loss(network, images, images, targets).backward()
        assert all(parameter.grad is not None for parameter in alignment.head.parameters())
        found.append(targets.cpu())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-3 * float(found[0].abs().max()))
