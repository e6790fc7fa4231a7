"""A classifier that labels or chooses drawn images, on a device that holds only some of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.jobs import generate, train_classifier, train_denoiser
from difrob.jobs.confidence_selection import Judge
from difrob.jobs.micro_batches import sampling_pieces
from difrob.nets.classifiers import Classifier
from difrob.specs import DataSpec, DenoiserNetworkSpec, GenerateSpec, TrainClassifierSpec, TrainDenoiserSpec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
JUDGED: dict[str, dict[str, Any]] = {
    "selected": {"selection": {"keep_share": 0.5, "judge": "judge"}},
    "selected among distinct ones": {"selection": {"keep_share": 0.5, "judge": "judge", "duplicates": "exact"}},
    "labelled": {"selection": {"judge": "judge"}, "labels": "judge"},
    "labelled and distinct": {"selection": {"judge": "judge", "duplicates": "exact"}, "labels": "judge"},
}


@contextmanager
def classifiers_get(most: int) -> Iterator[list[int]]:
    """A classifier that gets more images raises what a full GPU raises; yields how many the others got."""
    passed: list[int] = []

    def look(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, Classifier):
            if len(inputs[0]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            passed.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield passed
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def runs() -> dict[str, MemoryInputRun]:
    denoiser = TrainDenoiserSpec(
        data=DataSpec(train_size=60), network=DenoiserNetworkSpec(width=32, blocks=2), steps=8, batch_size=24,
        sample_every=0,
    )  # fmt: skip
    judge = TrainClassifierSpec(
        data={"train_size": 60}, network={"channels": (4, 8), "features": 16}, objective="standard", steps=8,
        batch_size=24, validate_every=8, validation_attack_steps=1,
    )  # fmt: skip
    found = {}
    for name, job, spec in (("model", train_denoiser, denoiser), ("judge", train_classifier, judge)):
        recorder = MemoryRecorder()
        job.run(spec, recorder, CPU)  # type: ignore[attr-defined]
        found[name] = recorder.as_input_run(spec, name)
    return found


@pytest.mark.parametrize("how", JUDGED)
def test_what_is_drawn_and_chosen_does_not_depend_on_the_pieces(how: str, runs: dict[str, MemoryInputRun]) -> None:
    spec = GenerateSpec(denoiser="model", images=50, sampling_steps=2, batch_size=20, **JUDGED[how])
    roomy, full = MemoryRecorder(runs=runs), MemoryRecorder(runs=runs)
    with classifiers_get(20) as whole:
        generate.run(spec, roomy, CPU)
    assert max(whole) == 20 and not roomy.notes
    with classifiers_get(8) as cut:
        generate.run(spec, full, CPU)
    assert max(cut) == 5 and sum(cut) == sum(whole), "every image is judged as often as on a roomy device"
    sizes = [note.split("from here on ")[1] for level, note in full.notes if level == "warning"]
    assert sizes == ["10 at once", "5 at once"], "said once"
    assert full.attributes["micro_batch"]["images_at_once"] == 5
    for column, rows in roomy.columns().items():
        if column == "score":  # its last digits may depend on the pieces
            assert full.column(column) == pytest.approx(rows, abs=1e-6)
        else:
            difference = np.abs(rows.astype(np.int64) - full.column(column).astype(np.int64))
            assert difference.max() <= (1 if column == "images" else 0), column


def test_a_judge_with_room_sees_the_batch_whole(runs: dict[str, MemoryInputRun]) -> None:
    """Then its numbers are, to the last digit, those of the network; in pieces they are those of each piece."""
    classifier, _ = load_classifier(runs["judge"], "best", CPU)
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)

    def softmax(rows: slice) -> np.ndarray:
        with torch.no_grad():
            return classifier(torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float() / 255).softmax(1).numpy()

    def judged(size: int) -> np.ndarray:
        return Judge(classifier, (1, 8, 8), CPU, sampling_pieces(MemoryRecorder(), size)).probabilities(images)

    assert np.array_equal(judged(30), softmax(slice(0, 30))) and np.array_equal(judged(500), judged(30))
    thirds = [softmax(slice(first, first + 10)) for first in (0, 10, 20)]
    assert np.array_equal(judged(10), np.concatenate(thirds)) and np.array_equal(judged(14), judged(10))
    assert judged(1) == pytest.approx(judged(30), abs=1e-6) and judged(1).dtype == np.float32
    with classifiers_get(0), pytest.raises(torch.OutOfMemoryError):
        judged(4)
