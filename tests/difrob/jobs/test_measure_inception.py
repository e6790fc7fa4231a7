"""Measurements in features of the Inception network, with weights that were never trained, from a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.random_inception import random_state

from difrob.data import as_float
from difrob.errors import Stopped, UserError
from difrob.jobs import measure
from difrob.memory import MicroBatches
from difrob.metrics.extractors import extract
from difrob.metrics.inception_features import USUAL_LEAST, InceptionFeatures, warning_of_few
from difrob.metrics.kernel import kernel_measure
from difrob.nets import inception
from difrob.nets.inception_weights import PUBLISHED_SHA256, WeightsFile, load_inception
from difrob.specs import DataSpec, GenerateSpec, MeasureSpec, TrainDenoiserSpec

CPU = torch.device("cpu")
DATA = DataSpec(train_size=40)
IN_FEATURES = ("kernel", "precision_recall", "density_coverage")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_state(), path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network at the least size that it takes, sixteen times faster."""
    monkeypatch.setattr(inception, "EDGE", 75)


def recorder_of(**arguments: Any) -> MemoryRecorder:
    images = load_split(DATA, "validation")
    arrays = {"images": images.images[:40], "label": images.labels[:40], "index": np.arange(40)}
    generated = MemoryInputRun(
        "set", GenerateSpec(denoiser="model"), arrays={f"samples/{name}": array for name, array in arrays.items()}
    )
    model = MemoryInputRun("model", TrainDenoiserSpec(data=DATA))
    return MemoryRecorder(runs={"set": generated, "model": model}, **arguments)


def spec_of(weights: Path, **changes: Any) -> MeasureSpec:
    values = {"generated": "set", "extractor": "inception", "inception_path": str(weights), "measures": IN_FEATURES,
              "images": 24, "reference_images": 20, "kernel_subset": 10, "neighbours": 3}  # fmt: skip
    return MeasureSpec(**{**values, **changes})


@pytest.mark.usefixtures("small")
def test_numbers_are_those_of_the_features_and_say_which_weights(weights: Path) -> None:
    recorder = recorder_of()
    spec = spec_of(weights)
    measure.run(spec, recorder, CPU)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    fact = recorder.attributes["extractor"]
    assert fact["name"] == "inception" and fact["features"] == 2048
    assert fact["weights"] == {"file": "random.pth", "sha256": digest, "published": False}
    described = f"inception of the weights with SHA-256 {digest[:16]} ({fact['digest']}), 2048 features"
    for name in ("kernel_distance", "precision", "recall", "density", "coverage"):
        assert recorder.results[name].conditions["features"] == described
    assert [level for level, _ in recorder.notes] == ["warning"]
    assert "'random.pth' is not, byte for byte, the published file" in recorder.notes[0][1]
    assert [done for done, _, _ in recorder.progressed] == [24, 44, 44, 68, 88]
    assert {total for _, total, _ in recorder.progressed} == {24 + 20 + 24 + 20}

    network, _ = load_inception(weights)
    generated = recorder.runs["set"].array("samples/images")[:24]
    measured = measure.open_set(spec, recorder)
    with torch.inference_mode():
        features = [
            network(inception.prepared(as_float(images, CPU))).numpy()
            for images in (generated, measured.reference.images)
        ]
    expected = kernel_measure(*features, spec.kernel_subset, spec.seed)
    assert recorder.results["kernel_distance"].value == pytest.approx(expected.value, rel=1e-4)


@pytest.mark.usefixtures("small")
def test_pieces_change_nothing_and_bound_what_is_in_the_network(weights: Path) -> None:
    network, file = load_inception(weights)
    images = load_split(DATA, "validation").images[:7]
    seen: list[int] = []
    network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    pieces = MicroBatches(3, may_shrink=True, tell=lambda size, sentence: None)
    extractor, told = InceptionFeatures(network, file, pieces), []
    features = extract(extractor, images, 4, tell=told.append)
    assert seen == [2, 2, 3] and told == [4, 7] and features.dtype == np.float32
    np.testing.assert_allclose(features, extractor(images), rtol=1e-4, atol=1e-5)
    coloured = extractor(np.repeat(images, 3, axis=3))
    np.testing.assert_allclose(features, coloured, rtol=1e-4, atol=1e-5)
    assert features.std(axis=0).mean() > 0.001


def test_the_digest_is_that_of_the_weights_wherever_they_lie() -> None:
    network = inception.Inception()
    pieces = MicroBatches(1, may_shrink=False, tell=lambda size, sentence: None)

    def digest(name: str, sha256: str) -> str:
        return InceptionFeatures(network, WeightsFile(name, sha256), pieces).digest

    assert digest("a.pth", PUBLISHED_SHA256) == digest("b.pth", PUBLISHED_SHA256) != digest("a.pth", "0" * 64)


@pytest.mark.usefixtures("small")
def test_it_stops_between_batches_and_goes_on_with_the_same_weights_only(weights: Path, tmp_path: Path) -> None:
    whole, asked = recorder_of(), spec_of(weights, batch_size=8, images=12, reference_images=12, kernel_subset=6)
    measure.run(asked, whole, CPU)
    for stop_at in (3, whole.checks - 2):
        stopped = recorder_of(stop_at_check=stop_at)
        with pytest.raises(Stopped):
            measure.run(asked, stopped, CPU)
        resumed = stopped.resume()
        measure.run(asked, resumed, CPU)
        assert resumed.results == whole.results
        np.testing.assert_array_equal(resumed.column("squared_radius"), whole.column("squared_radius"))
    other = tmp_path / "other.pth"
    torch.save(random_state(1), other)
    changed = stopped.resume()
    with pytest.raises(UserError, match=r"the run began with inception of .* and would go on with inception of .*anew"):
        measure.run(asked.model_copy(update={"inception_path": str(other)}), changed, CPU)
    assert not changed.results


def test_what_cannot_be_measured_is_refused_before_any_features(weights: Path, tmp_path: Path) -> None:
    for changes, message in (
        (
            {"measures": ("frechet",)},
            "24 generated images cannot tell the covariance of 2048 features: .* kernel distance",
        ),
        ({"inception_path": str(tmp_path / "none.pth")}, "there is no file '.*none.pth'"),
        ({"inception_path": str(tmp_path)}, "is not a file"),
    ):
        recorder = recorder_of()
        with pytest.raises(UserError, match=message):
            measure.run(spec_of(weights, **changes), recorder, CPU)
        assert recorder.checks == 0 and not recorder.progressed
    with pytest.raises(ValueError, match="extractor = inception needs a file in 'inception_path'"):
        MeasureSpec(generated="set", extractor="inception")


def test_few_images_are_warned_of() -> None:
    text = warning_of_few(generated=50_000, reference=9_999)
    assert "wants 10,000 images or more" in text and "9,999 reference ones" in text
    assert warning_of_few(generated=USUAL_LEAST, reference=USUAL_LEAST) == ""


def test_memorisation_alone_needs_no_network(weights: Path) -> None:
    recorder = recorder_of()
    measure.run(spec_of(weights.with_name("none.pth"), measures=("duplicates",)), recorder, CPU)
    assert "duplicate_share" in recorder.results and "extractor" not in recorder.attributes


@pytest.mark.slow
def test_at_full_size(weights: Path) -> None:
    recorder = recorder_of()
    measure.run(spec_of(weights, images=20), recorder, CPU)
    assert 0 <= recorder.results["precision"].value <= 1 and np.isfinite(recorder.results["kernel_distance"].value)
