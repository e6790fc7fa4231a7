"""A device that holds only so many images at once: every job goes on in smaller pieces, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.errors import Stopped
from difrob.jobs import certify, evaluate, generate, train_classifier, train_denoiser
from difrob.nets.storage import unpack
from difrob.specs import (
    CertifySpec,
    DataSpec,
    DenoiserNetworkSpec,
    EvaluateSpec,
    GenerateSpec,
    MemorySpec,
    TrainClassifierSpec,
    TrainDenoiserSpec,
)

CPU = torch.device("cpu")
DENOISER = TrainDenoiserSpec(
    data=DataSpec(train_size=60), network=DenoiserNetworkSpec(width=32, blocks=2, dropout=0.0), steps=8, batch_size=24,
    log_every=2, sample_every=0, checkpoint_every=4, rampup_steps=2,
)  # fmt: skip
CLASSIFIER = TrainClassifierSpec(
    data={"train_size": 60}, network={"channels": (4, 8), "features": 16}, attack={"steps": 2}, steps=8, batch_size=24,
    validate_every=8, validation_attack_steps=2, log_every=2, checkpoint_every=4,
)  # fmt: skip
JOBS: dict[str, tuple[Any, Any]] = {
    "denoiser": (train_denoiser, DENOISER),
    "classifier": (train_classifier, CLASSIFIER),
}


@contextmanager
def device_of(largest: int, calls: Callable[[int], bool] = lambda number: True) -> Iterator[list[int]]:
    """Training passes with more than ``largest`` images raise what a full GPU raises; yields the sizes that passed."""
    passed: list[int] = []
    counted = 0

    def look(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal counted
        if not hasattr(module, "num_classes") or not isinstance(inputs[0], torch.Tensor):
            return
        counted += 1
        if len(inputs[0]) > largest and calls(counted):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        passed.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield passed
    finally:
        hook.remove()


def trained(name: str, recorder: MemoryRecorder | None = None, **changes: Any) -> MemoryRecorder:
    job, spec = JOBS[name]
    recorder = recorder or MemoryRecorder()
    job.run(spec.model_copy(update=changes), recorder, CPU)
    return recorder


def weights_of(recorder: MemoryRecorder) -> dict[str, torch.Tensor]:
    parts = unpack(recorder.last_checkpoint.weights)
    return {f"{part}/{name}": tensor for part in ("network", "average") for name, tensor in parts[part].items()}


def only_in_training(recorder: MemoryRecorder) -> Callable[[int], bool]:
    """Measuring on validation images has batches of its own; here only the steps are to run out of memory."""
    return lambda number: not recorder.progressed or recorder.progressed[-1][0] < 7


@pytest.mark.parametrize("name", JOBS)
def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    whole, cut = trained(name), trained(name, memory=MemorySpec(micro_batch=7))
    for key, tensor in weights_of(whole).items():
        assert torch.allclose(weights_of(cut)[key], tensor, atol=2e-5), key
    assert cut.values("loss") == pytest.approx(whole.values("loss"), rel=1e-4)
    assert cut.last_checkpoint.state["micro_batch"] == 7 and {level for level, _ in cut.notes} == {"info"}


@pytest.mark.parametrize("name", JOBS)
def test_a_full_device_halves_the_pieces_once_and_says_so(name: str) -> None:
    recorder = MemoryRecorder()
    with device_of(7, only_in_training(recorder)):
        trained(name, recorder)
    sizes = [note for level, note in recorder.notes if level == "warning" and "memory ran out" in note]
    assert [note.split("from here on ")[1] for note in sizes] == ["12 at once", "6 at once"]
    assert recorder.attributes["micro_batch"]["images_at_once"] == 6
    assert recorder.last_checkpoint.state["micro_batch"] == 6
    asked = trained(name, memory=MemorySpec(micro_batch=6))  # what was decided is what could have been asked for
    for key, tensor in weights_of(asked).items():
        assert torch.equal(weights_of(recorder)[key], tensor), key


def test_a_device_that_fills_while_measuring_measures_in_smaller_pieces() -> None:
    recorder, free = MemoryRecorder(), trained("classifier")
    with device_of(24):
        trained("classifier", recorder)
    warnings = [note for level, note in recorder.notes if level == "warning"]
    assert warnings and all(note.startswith("measuring: GPU memory ran out") for note in warnings)
    assert warnings[-1].endswith("from here on 16 at once")
    assert recorder.last_checkpoint.state["micro_batch"] == 24
    for name in ("validation/robust_accuracy", "train/robust_accuracy", "validation/clean_accuracy"):
        assert recorder.values(name) == pytest.approx(free.values(name), abs=0.011)


@pytest.mark.parametrize("name", JOBS)
def test_a_resumed_run_cuts_its_batches_in_the_same_places(name: str) -> None:
    whole = MemoryRecorder()
    with device_of(7, only_in_training(whole)):
        trained(name, whole)
    stopped = MemoryRecorder(stop_at_check=5)
    with device_of(7, only_in_training(stopped)), pytest.raises(Stopped):
        trained(name, stopped)
    resumed = trained(name, stopped.resume())  # on a device with room: the decision stands all the same
    for key, tensor in weights_of(whole).items():
        assert torch.equal(weights_of(resumed)[key], tensor), key


@pytest.mark.parametrize("name", JOBS)
def test_without_leave_to_shrink_the_error_comes_as_it_was(name: str) -> None:
    recorder = MemoryRecorder()
    with device_of(7), pytest.raises(torch.OutOfMemoryError):
        trained(name, recorder, memory=MemorySpec(shrink=False))
    assert not recorder.checkpoints


def test_a_single_image_that_does_not_fit_is_an_error() -> None:
    with device_of(0), pytest.raises(torch.OutOfMemoryError):
        trained("denoiser")


@pytest.fixture(scope="module")
def runs() -> dict[str, MemoryInputRun]:
    return {name: trained(name).as_input_run(spec, name) for name, (_, spec) in JOBS.items()}


@pytest.mark.parametrize("kind", ["generate", "evaluate", "certify"])
def test_rows_do_not_depend_on_the_pieces(kind: str, runs: dict[str, MemoryInputRun]) -> None:
    job, spec = {
        "generate": (generate, GenerateSpec(denoiser="denoiser", images=30, sampling_steps=3, batch_size=20)),
        "evaluate": (
            evaluate,
            EvaluateSpec(classifier="classifier", images=30, split="validation", batch_size=20, sanity_checks=False,
                         attack={"eps": 0.05, "steps": 2}),
        ),
        "certify": (
            certify,
            CertifySpec(classifier="classifier", images=4, split="validation", n0=10, n=50, alpha=0.01, batch_size=40),
        ),
    }[kind]  # fmt: skip
    roomy, full = MemoryRecorder(runs=runs), MemoryRecorder(runs=runs)
    job.run(spec, roomy, CPU)
    with device_of(8, lambda number: not full.results) as passed:
        job.run(spec, full, CPU)
    assert max(passed) <= 8 and any("memory ran out" in note for _, note in full.notes)
    for column, rows in roomy.columns().items():
        assert np.array_equal(rows, full.columns()[column]), column
