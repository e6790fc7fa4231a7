"""Duplicates and memories are dropped while a set is drawn, and others drawn for them, whatever stops or batches it."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.trained_runs import trained_run

from difrob.errors import Stopped, UserError
from difrob.jobs import confidence_selection, generate
from difrob.metrics.memorisation import nearest_neighbours
from difrob.runs import RunState, Workspace
from difrob.runs.recorder import RunRecorder
from difrob.specs import DataSpec, DenoiserNetworkSpec, GenerateSpec, TrainClassifierSpec, TrainDenoiserSpec

CPU = torch.device("cpu")
SHAPE = (8, 8, 1)


@lru_cache
def denoiser() -> MemoryInputRun:
    spec = TrainDenoiserSpec(
        data=DataSpec(train_size=60),
        network=DenoiserNetworkSpec(width=8, blocks=1),
        steps=2,
        batch_size=8,
        sample_every=0,
    )
    return trained_run(spec, "model")


@lru_cache
def judge() -> MemoryInputRun:
    spec = TrainClassifierSpec(
        data={"train_size": 60}, network={"channels": (4, 8), "features": 8}, objective="standard", steps=2, batch_size=16,
        validate_every=2, validation_attack_steps=1,
    )  # fmt: skip
    return trained_run(spec, "judge")


@lru_cache(100_000)
def candidate(index: int) -> np.ndarray:
    """Of every ten images four repeat an earlier one, one nearly; some are training images."""
    kind = (index + 3 * (index // 10)) % 10  # the classes take turns
    if kind in (3, 7) and index > 30:
        return candidate(index - 30)
    if kind in (2, 8):
        return candidate(index % 20 + 1) if index > 21 else candidate(0)
    if kind == 5 and index > 10:
        near = candidate(index - 4).astype(int)
        near[0, 0] += 3 if near[0, 0, 0] < 250 else -3
        return near.astype(np.uint8)
    if kind == 9:
        return load_split(DataSpec(train_size=60), "train").images[index % 60]
    return np.random.default_rng(index).integers(0, 256, SHAPE, dtype=np.uint8)


class FewImages:
    """Draws the same few images over and over; asks whether to stop as a sampler does."""

    calls_per_image = 1

    def __init__(self, recorder: MemoryRecorder) -> None:
        self._recorder = recorder
        self.drawn: list[np.ndarray] = []

    def classes(self, index: np.ndarray) -> np.ndarray:
        return index % 10

    def draw(self, index: np.ndarray) -> np.ndarray:
        assert len(index)
        self._recorder.check_stop()
        self.drawn.append(index)
        return np.stack([candidate(int(i)) for i in index])


@pytest.fixture
def drawers(monkeypatch: pytest.MonkeyPatch) -> list[FewImages]:
    made: list[FewImages] = []

    def make(*arguments: Any) -> FewImages:
        made.append(FewImages(arguments[-2]))  # in front of the pieces
        return made[-1]

    monkeypatch.setattr(generate, "Drawer", make)
    return made


def spec_of(**changes: Any) -> GenerateSpec:
    selection = {"duplicates": "near", "near_distance": 0.02, **changes.pop("selection", {})}
    return GenerateSpec(**{"denoiser": "model", "images": 90, "batch_size": 16, "selection": selection, **changes})


def run(spec: GenerateSpec, recorder: MemoryRecorder | None = None) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder(runs={"model": denoiser(), "judge": judge()})
    generate.run(spec, recorder, CPU)
    return recorder


def expected(spec: GenerateSpec, images: int) -> tuple[list[int], list[int]]:
    """The indices that survive and how many are dropped of each kind, one by one."""
    training = load_split(DataSpec(train_size=60), "train").images
    left = np.bincount(np.arange(images) % 10, minlength=10)
    kept: list[int] = []
    dropped = [0, 0, 0]
    for index in range(int(spec.selection.most_candidates * images)):
        if not left[index % 10]:
            continue
        image = candidate(index)
        earlier = np.stack([candidate(i) for i in kept]) if kept else np.empty((0, *SHAPE), dtype=np.uint8)
        apart = np.sqrt(np.square((image.astype(float) - earlier) / 255).mean(axis=(1, 2, 3)))
        if spec.selection.duplicates != "keep" and 0 in apart:
            dropped[0] += 1
        elif spec.selection.duplicates == "near" and apart.min(initial=1) < spec.selection.near_distance:
            dropped[1] += 1
        elif spec.selection.memories == "drop" and nearest_neighbours(image[None], training).memorised[0]:
            dropped[2] += 1
        else:
            kept.append(index)
            left[index % 10] -= 1
    return kept, dropped


def dropped_in(recorder: MemoryRecorder) -> list[float]:
    names = ("exact_duplicates_dropped", "near_duplicates_dropped", "memories_dropped")
    return [recorder.results[name].value for name in names]


@pytest.mark.parametrize(
    "selection",
    [{}, {"duplicates": "exact"}, {"memories": "drop"}, {"memories": "drop", "duplicates": "keep"}],
)  # fmt: skip
def test_the_set_is_as_large_and_balanced_as_asked_for(selection: dict[str, Any], drawers: list[FewImages]) -> None:
    spec = spec_of(selection={"most_candidates": 20, **selection})
    kept, dropped = expected(spec, 90)
    recorder = run(spec)
    images, label, index = (recorder.column(name) for name in ("images", "label", "index"))
    assert index.tolist() == kept and dropped_in(recorder) == dropped and sum(dropped)
    assert np.array_equal(images, np.stack([candidate(i) for i in kept])) and np.array_equal(label, index % 10)
    assert np.bincount(label).tolist() == [9] * 10 and recorder.results["missing_images"].value == 0
    assert recorder.attributes["candidates"] == 90 + sum(dropped) and recorder.progressed[-1] == (90, 90, "images")
    # One pass: no candidate is drawn twice but the few that are shown at the end.
    *passed, shown = drawers[0].drawn
    assert len(np.unique(np.concatenate(passed))) == sum(map(len, passed)) == 90 + sum(dropped)
    assert len(shown) <= 20
    for batch_size in (7, 1000):
        other = run(spec.model_copy(update={"batch_size": batch_size}))
        for name, column in recorder.columns().items():
            assert np.array_equal(other.column(name), column)
        assert dropped_in(other) == dropped and other.results == recorder.results


def test_dropped_images_are_shown_beside_what_they_repeat(drawers: list[FewImages]) -> None:
    recorder = run(spec_of(selection={"memories": "drop", "most_candidates": 20}))
    (shown,) = recorder.pictures["dropped"]
    assert shown.captions is not None and len(shown.captions) == 40
    texts = "\n".join(shown.captions)
    assert "the same as image" in texts and "apart (root mean square)" in texts and "training image" in texts
    for image, other, caption in zip(shown.images[::2], shown.images[1::2], shown.captions[::2], strict=True):
        number = int(caption.split("candidate ")[1].split(",")[0])
        assert np.array_equal(image, candidate(number)) and number not in recorder.column("index")
        assert caption.endswith(f"a {number % 10}")
        assert np.sqrt(np.square((image.astype(float) - other) / 255).mean()) < 0.2


@pytest.mark.parametrize("stop_at", [0, 1, 3, 6, 8])
@pytest.mark.parametrize("duplicates", ["exact", "near"])
def test_an_interrupted_run_is_the_run_that_was_not(duplicates: str, stop_at: int, drawers: list[FewImages]) -> None:
    spec = spec_of(selection={"duplicates": duplicates, "memories": "drop", "most_candidates": 20})
    whole = run(spec)
    for grade in ("stop", "abort"):
        stopped = MemoryRecorder(runs={"model": denoiser()}, stop_at_check=stop_at, stop_grade=grade)
        with pytest.raises(Stopped):
            run(spec, stopped)
        resumed = run(spec, stopped.resume())
        for name, column in whole.columns().items():
            assert np.array_equal(resumed.column(name), column), name
        assert resumed.results == whole.results and resumed.attributes["candidates"] == whole.attributes["candidates"]
        for name in ("generated", "dropped", "nearest_training"):
            assert np.array_equal(resumed.pictures[name][0].images, whole.pictures[name][0].images)
            assert resumed.pictures[name][0].captions == whole.pictures[name][0].captions


def test_rows_cut_off_anywhere_are_enough_to_go_on(drawers: list[FewImages]) -> None:
    spec = spec_of(selection={"memories": "drop", "most_candidates": 20})
    whole = run(spec)
    for rows in (1, 13, 14, 50, 89, 90):
        part = {name: column[:rows] for name, column in whole.columns().items()}
        resumed = run(spec, MemoryRecorder(runs={"model": denoiser()}, samples_before=part))
        for name, column in whole.columns().items():
            assert np.array_equal(resumed.column(name), column), (rows, name)
        assert resumed.results == whole.results


def test_a_real_run_file_is_gone_on_with(
    tmp_path: Any, drawers: list[FewImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("difrob.runs.file_contents.MAPPED_BYTES", 1000)
    spec = spec_of(selection={"memories": "drop", "most_candidates": 20})
    whole = run(spec)
    workspace = Workspace(tmp_path)
    monkeypatch.setattr(RunRecorder, "input_run", lambda self, run_id: denoiser())
    recorder = RunRecorder(workspace, "set", spec)
    cut = {name: column[:37] for name, column in whole.columns().items()}
    recorder.samples(**cut)
    recorder.finish(RunState.INTERRUPTED)
    recorder = RunRecorder(workspace, "set", spec, resume=True)
    generate.run(spec, recorder, CPU)
    recorder.finish(RunState.FINISHED)
    for name, column in whole.columns().items():
        assert np.array_equal(workspace.reader("set").array(name), column), name


def test_a_checkpoint_keeps_the_place_where_nothing_is_kept(
    drawers: list[FewImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(sys.modules[__name__], "candidate", lambda index: np.full(SHAPE, index % 3, dtype=np.uint8))
    spec = spec_of(images=30, batch_size=5, selection={"duplicates": "exact"})
    whole = run(spec)
    assert len(whole.column("index")) == 3 and dropped_in(whole) == [whole.attributes["candidates"] - 3, 0, 0]
    assert whole.checkpoints
    stopped = MemoryRecorder(runs={"model": denoiser()}, stop_at_check=8)
    with pytest.raises(Stopped):
        run(spec, stopped)
    resumed = run(spec, stopped.resume())
    assert np.array_equal(resumed.column("index"), whole.column("index")) and resumed.results == whole.results
    again = np.concatenate(drawers[-1].drawn[:-1])
    assert again.min() >= stopped.last_checkpoint.step > 10


def test_rows_after_a_checkpoint_count(drawers: list[FewImages], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "CHECKPOINT_SECONDS", -1.0)
    barren = lambda index: 20 <= index < 80 and index % 4  # noqa: E731
    images = {
        i: np.random.default_rng(i % 20 if barren(i) else i).integers(0, 256, SHAPE, np.uint8) for i in range(400)
    }
    monkeypatch.setattr(sys.modules[__name__], "candidate", lambda index: images[index])
    spec = spec_of(images=60, batch_size=3, selection={"duplicates": "exact"})
    whole = run(spec)
    assert whole.checkpoints and whole.column("index")[-1] > whole.last_checkpoint.step
    for stop_at in range(8, 36, 3):
        stopped = MemoryRecorder(runs={"model": denoiser()}, stop_at_check=stop_at, stop_grade="abort")
        with pytest.raises(Stopped):
            run(spec, stopped)
        resumed = run(spec, stopped.resume())
        assert all(np.array_equal(resumed.column(name), column) for name, column in whole.columns().items())
        assert resumed.results == whole.results


def test_a_set_that_cannot_be_filled_says_so(drawers: list[FewImages], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(selection={"most_candidates": 1.5})
    kept, dropped = expected(spec, 90)
    recorder = run(spec)
    assert recorder.column("index").tolist() == kept and 0 < len(kept) < 90 and kept[-1] < 135
    assert recorder.results["missing_images"].value == 90 - len(kept) and dropped_in(recorder) == dropped
    (warning,) = [text for level, text in recorder.notes if level == "warning"]
    assert f"the set has {len(kept)} of 90 images" in warning and "selection.most_candidates" in warning
    training = load_split(DataSpec(train_size=60), "train").images
    monkeypatch.setattr(sys.modules[__name__], "candidate", lambda index: training[index % 60])
    with pytest.raises(UserError, match="all 180 candidates were dropped as memories"):
        run(spec_of(selection={"most_candidates": 2, "memories": "drop", "duplicates": "keep"}))


@pytest.mark.parametrize("selection", [{}, {"duplicates": "exact"}, {"memories": "drop", "duplicates": "keep"}])
def test_duplicates_go_before_the_confident_are_chosen(
    selection: dict[str, Any], drawers: list[FewImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(
        images=30,
        selection={"keep_share": 0.3, "judge": "judge", "memories": "drop", "most_candidates": 20, **selection},
    )
    survivors, dropped = expected(spec, 100)
    whole = run(spec)
    index, score = whole.column("index"), whole.column("score")
    assert dropped_in(whole) == dropped and whole.attributes["candidates"] == 100 + sum(dropped)
    assert np.bincount(index % 10).tolist() == [3] * 10 and set(index) <= set(survivors)
    assert whole.results["missing_images"].value == 0 and "dropped" in whole.pictures
    probabilities = confident_scores(spec, np.array(survivors))
    for label in range(10):
        best = sorted((p for p, i in zip(probabilities, survivors, strict=True) if i % 10 == label), reverse=True)[:3]
        assert sorted(score[index % 10 == label], reverse=True) == pytest.approx(best, rel=1e-4)
    monkeypatch.setattr(confidence_selection, "CHECKPOINT_SECONDS", -1.0)
    for stop_at in (2, 5):
        stopped = MemoryRecorder(runs={"model": denoiser(), "judge": judge()}, stop_at_check=stop_at)
        with pytest.raises(Stopped):
            run(spec, stopped)
        resumed = run(spec, stopped.resume())
        assert all(np.array_equal(resumed.column(name), column) for name, column in whole.columns().items())
        assert resumed.results == whole.results


def confident_scores(spec: GenerateSpec, index: np.ndarray) -> np.ndarray:
    from difrob.training.loading import load_classifier

    classifier, _ = load_classifier(judge(), "best", CPU)
    images = torch.from_numpy(np.stack([candidate(int(i)) for i in index]))
    with torch.no_grad():
        return (
            classifier(images.permute(0, 3, 1, 2).float() / 255).softmax(1).numpy()[np.arange(len(index)), index % 10]
        )


def test_too_few_survivors_leave_a_smaller_confident_set(drawers: list[FewImages]) -> None:
    spec = spec_of(images=80, selection={"keep_share": 0.9, "judge": "judge", "most_candidates": 1.1})
    recorder = run(spec)
    index = recorder.column("index")
    assert 0 < len(index) < 80 and recorder.results["missing_images"].value == 80 - len(index)
    assert np.bincount(index % 10, minlength=10).max() <= 8
    assert any(f"the set has {len(index)} of 80 images" in text for _, text in recorder.notes)


def test_a_real_sampler_gives_the_plain_set_where_nothing_repeats() -> None:
    values = {"denoiser": "model", "images": 30, "sampling_steps": 3, "batch_size": 10}
    plain = run(GenerateSpec(**values))
    distinct = run(GenerateSpec(**values, selection={"duplicates": "exact"}))
    assert dropped_in(distinct) == [0, 0, 0] and "dropped" not in distinct.pictures
    for name, column in plain.columns().items():
        assert np.array_equal(distinct.column(name), column)
    assert set(plain.columns()) == {"images", "label", "index"} and "missing_images" not in plain.results
