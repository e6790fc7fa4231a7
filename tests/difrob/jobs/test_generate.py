"""The generation job: labels, balance, independence of batches, resuming, measures, refusals."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder

from difrob.diffusion.loading import load_denoiser
from difrob.errors import Stopped, UserError
from difrob.jobs import generate, train_denoiser
from difrob.metrics.frechet import pixel_frechet_measure
from difrob.specs import DataSpec, DenoiserNetworkSpec, GenerateSpec, TrainClassifierSpec, TrainDenoiserSpec

CPU = torch.device("cpu")


@lru_cache
def denoiser_run(**changes: Any) -> MemoryInputRun:
    values = {"data": DataSpec(train_size=200), "network": DenoiserNetworkSpec(width=64, blocks=2), "steps": 500,
              "batch_size": 64, "learning_rate": 4e-3, "sample_every": 0}  # fmt: skip
    spec = TrainDenoiserSpec(**{**values, **changes})
    recorder = MemoryRecorder()
    train_denoiser.run(spec, recorder, CPU)
    return recorder.as_input_run(spec, "model")


def generated(spec: GenerateSpec, **arguments: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(runs={"model": denoiser_run()}, **arguments)
    generate.run(spec, recorder, CPU)
    return recorder


def small_spec(**changes: Any) -> GenerateSpec:
    return GenerateSpec(**{"denoiser": "model", "images": 130, "sampling_steps": 8, "batch_size": 50, **changes})


def test_the_set_is_labelled_balanced_and_like_the_training_images() -> None:
    recorder = generated(small_spec(images=400))
    images, label, index = (recorder.column(name) for name in ("images", "label", "index"))
    assert images.shape == (400, 8, 8, 1) and images.dtype == np.uint8
    assert np.array_equal(index, np.arange(400)) and np.array_equal(label, np.arange(400) % 10)
    assert label.dtype == index.dtype == np.int64
    training = load_split(DataSpec(train_size=200), "train")
    # Even this small model puts most images nearest to their own class; a wrong use of the label would give a tenth.
    centres = np.stack([training.images[training.labels == k].mean(axis=0) for k in range(10)]).reshape(10, -1)
    distances = np.linalg.norm(images.reshape(400, 1, -1) - centres, axis=2)
    assert (distances.argmin(axis=1) == label).mean() > 0.7
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    distance = recorder.results["frechet_distance"]
    assert distance.value < 0.3 * pixel_frechet_measure(noise, training.images).value
    assert distance.low < distance.value < distance.high and distance.n == 400
    assert recorder.results["exact_copy_share"].value == 0
    assert recorder.results["memorised_share"].n == 400
    assert recorder.attributes["network_calls_per_image"] == 15
    assert recorder.progressed[-1] == (400, 400, "images")
    assert recorder.parents == ["model"]


def test_pictures_show_classes_and_nearest_training_images() -> None:
    recorder = generated(small_spec())
    sheet = recorder.pictures["generated"][0]
    assert sheet.captions == [str(k) for k in range(10) for _ in range(5)]
    images, label = recorder.column("images"), recorder.column("label")
    assert np.array_equal(sheet.images[:5], images[:50][label[:50] == 0])
    pairs = recorder.pictures["nearest_training"][0]
    training = load_split(DataSpec(train_size=200), "train").images.astype(float)
    assert len(pairs.images) == 40 and np.array_equal(pairs.images[::2], images[:20])
    for image, neighbour in zip(pairs.images[::2], pairs.images[1::2], strict=True):
        best = np.square(training - image).sum(axis=(1, 2, 3)).min()
        assert np.square(neighbour.astype(float) - image).sum() == best


def test_neither_batch_size_nor_length_of_the_set_matters() -> None:
    whole = generated(small_spec(batch_size=130)).column("images").astype(int)
    pieces = generated(small_spec(batch_size=7)).column("images").astype(int)
    short = generated(small_spec(images=60, batch_size=7)).column("images")
    # Matrix products of other sizes round differently, which can tip a pixel that lies between two levels.
    assert np.abs(whole - pieces).max() <= 1 and (whole == pieces).mean() > 0.995
    assert np.array_equal(pieces[:56], short[:56])


def test_seed_and_class_decide_the_image() -> None:
    one, other = (
        generated(small_spec(images=20)).column("images"),
        generated(small_spec(images=20, seed=1)).column("images"),
    )
    assert np.abs(one.astype(int) - other).max() > 50


def test_an_interrupted_run_goes_on_where_it_stopped() -> None:
    spec = small_spec()
    whole = generated(spec)
    stopped = MemoryRecorder(runs={"model": denoiser_run()}, stop_at_check=12)  # in the second batch of three
    with pytest.raises(Stopped):
        generate.run(spec, stopped, CPU)
    assert len(stopped.column("images")) == 50
    resumed = stopped.resume()
    generate.run(spec, resumed, CPU)
    for name in ("images", "label", "index"):
        assert np.array_equal(resumed.column(name), whole.column(name))
    assert resumed.results == whole.results
    assert np.array_equal(resumed.pictures["nearest_training"][0].images, whole.pictures["nearest_training"][0].images)
    for recorder in (stopped, resumed):  # the recorder takes back pictures that no checkpoint covers
        (sheet,) = recorder.pictures["generated"]
        assert sheet.step == whole.pictures["generated"][0].step
        assert np.array_equal(sheet.images, whole.pictures["generated"][0].images)
    finished = whole.resume()
    generate.run(spec, finished, CPU)
    assert len(finished.column("images")) == 130 and finished.results == whole.results


def test_guidance_doubles_the_calls_and_sharpens_the_class() -> None:
    plain, guided = generated(small_spec()), generated(small_spec(guidance_scale=3.0))
    assert guided.attributes["network_calls_per_image"] == 2 * plain.attributes["network_calls_per_image"]
    training = load_split(DataSpec(), "train", apply_subset=False)
    centres = np.stack([training.images[training.labels == k].mean(axis=0) for k in range(10)]).reshape(10, -1)

    def margin(recorder: MemoryRecorder) -> float:
        images, label = recorder.column("images"), recorder.column("label")
        distances = np.linalg.norm(images.reshape(len(images), 1, -1) - centres, axis=2)
        own = distances[np.arange(len(images)), label]
        distances[np.arange(len(images)), label] = np.inf
        return float((distances.min(axis=1) - own).mean())

    assert margin(guided) > margin(plain)


def test_denoisers_that_cannot_label_are_refused_before_any_work() -> None:
    quick = {"steps": 1, "network": DenoiserNetworkSpec(width=8, blocks=1)}
    for changes, scale, message in (
        ({"class_conditional": False}, 1.0, "trained without classes"),
        ({"label_dropout": 1.0}, 1.0, "trained without classes"),
        ({"label_dropout": 0.0}, 2.0, "label_dropout = 0 and cannot work without a class"),
    ):
        recorder = MemoryRecorder(runs={"model": denoiser_run(**quick, **changes)})
        with pytest.raises(UserError, match=message):
            generate.run(small_spec(guidance_scale=scale), recorder, CPU)
        assert recorder.checks == 0 and not recorder.columns()
    recorder = MemoryRecorder(runs={"model": denoiser_run(**quick, label_dropout=0.0)})
    generate.run(small_spec(images=1), recorder, CPU)
    assert len(recorder.column("images")) == 1 and "frechet_distance" not in recorder.results


def test_runs_that_are_no_denoiser_are_refused() -> None:
    with pytest.raises(
        UserError, match="'train_classifier'; a run of kind 'train_denoiser' or 'import_denoiser' is needed"
    ):
        load_denoiser(MemoryInputRun("other", TrainClassifierSpec()), CPU)
    with pytest.raises(UserError, match="no checkpoint"):
        load_denoiser(MemoryInputRun("early", TrainDenoiserSpec()), CPU)
    mismatch = denoiser_run()
    with pytest.raises(UserError, match="another network"):
        load_denoiser(MemoryInputRun("odd", TrainDenoiserSpec(), last=mismatch.checkpoint()), CPU)
