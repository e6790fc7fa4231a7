"""The certification job, plain and denoised: per-image certificates, curves as they grow, interruption."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.memory_recorder import MemoryInputRun, MemoryRecorder
from support.small_classifiers import small_classifier
from support.trained_runs import trained_run
from torch import Tensor

from difrob.data import as_float
from difrob.diffusion.one_shot import one_shot_denoise
from difrob.errors import Stopped, UserError
from difrob.jobs import certify as certify_job
from difrob.jobs import per_image
from difrob.jobs.certify import run
from difrob.metrics.intervals import clopper_pearson
from difrob.randomness import seeded_globally
from difrob.smoothing.statistics import certified_radius, largest_certifiable_radius
from difrob.specs import CertifySpec, TrainDenoiserSpec
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
TRAINING = small_classifier(
    steps=100, data={"train_size": 300}, objective="gaussian", noise_sigma=0.25, validation_attack_steps=1
)


@pytest.fixture(scope="module")
def classifier() -> MemoryInputRun:
    """A classifier trained under Gaussian noise."""
    return trained_run(TRAINING, "classifier")


def spec_of(**changes: Any) -> CertifySpec:
    values: dict[str, Any] = {
        "classifier": "classifier", "split": "validation", "images": 30, "n0": 50, "n": 400, "alpha": 0.001,
    }  # fmt: skip
    return CertifySpec(**{**values, **changes})


def certified(classifier: MemoryInputRun, **changes: Any) -> MemoryRecorder:
    recorder = MemoryRecorder(runs={"classifier": classifier})
    run(spec_of(**changes), recorder, CPU)
    return recorder


def test_numbers_follow_from_the_certificates(classifier: MemoryInputRun) -> None:
    recorder = certified(classifier)
    rows, images = recorder.columns(), load_split(TRAINING.data, "validation").take(np.arange(30))
    assert np.array_equal(rows["index"], images.indices) and np.array_equal(rows["label"], images.labels)
    abstained = rows["prediction"] == -1
    assert np.array_equal(rows["prediction"][~abstained], rows["candidate"][~abstained])
    assert rows["radius"] == pytest.approx(certified_radius(rows["count"], 400, sigma=0.25, alpha=0.001))
    assert (rows["radius"][abstained] == 0).all()

    right = rows["prediction"] == rows["label"]
    contributions = np.where(right, rows["radius"], 0)
    average = recorder.results["average_certified_radius"]
    assert average.value == pytest.approx(contributions.mean()) and average.interval == "Student t 95 %"
    assert average.value > 0.2
    for radius in (0, 0.0625, 0.125, 0.25, 0.375, 0.5):
        measure, k = (
            recorder.results[f"certified_accuracy_at_{radius:g}"],
            int((right & (rows["radius"] >= radius)).sum()),
        )
        assert (measure.value, measure.interval) == (k / 30, "Clopper-Pearson 95 %")
        assert (measure.low, measure.high) == pytest.approx([float(end) for end in clopper_pearson(k, 30)])
    assert "certified_accuracy_at_0.625" not in recorder.results  # beyond the reach of 400 draws
    assert recorder.results["abstentions"].value == abstained.mean()
    assert recorder.results["smoothed_accuracy"].value == (rows["majority"] == rows["label"]).mean() > 0.6
    for part in ("sigma 0.25", "n0 50", "n 400", "alpha 0.001", "30 validation images"):
        assert part in average.sentence
    for measure in recorder.results.values():
        assert measure.conditions["data_set"] == {"name": "digits", "digest": "d15b1ecc2d01"}
        stated = {name: measure.conditions[name] for name in ("sigma", "n0", "n", "alpha", "images", "split")}
        assert stated == {"sigma": 0.25, "n0": 50, "n": 400, "alpha": 0.001, "images": 30, "split": "validation"}


def test_the_curve_grows_with_the_images(classifier: MemoryInputRun) -> None:
    recorder = certified(classifier, batch_size=200)  # four images at a time
    curves = recorder.curves["certified_accuracy"]
    assert [curve.step for curve in curves] == [4, 8, 12, 16, 20, 24, 28, 30]
    last, rows = curves[-1], recorder.columns()
    assert len(last.x) == 51 and last.x[-1] == pytest.approx(largest_certifiable_radius(400, sigma=0.25, alpha=0.001))
    right = rows["prediction"] == rows["label"]
    assert last.y.tolist() == [(right & (rows["radius"] >= radius)).mean() for radius in last.x]
    assert last.low is not None and last.high is not None and (last.low <= last.y).all() and (last.y <= last.high).all()
    assert last.interval == "Clopper-Pearson 95 %"
    assert recorder.metrics["average_certified_radius"][-1].value == recorder.results["average_certified_radius"].value
    assert recorder.progressed[-1] == (30, 30, "images")


def test_the_radius_axis_can_be_chosen(classifier: MemoryInputRun) -> None:
    recorder = certified(classifier, images=2, largest_radius=1.0)
    last = recorder.curves["certified_accuracy"][-1]
    assert last.x[-1] == 1.0 and last.y[-1] == 0
    # 4 sigma: ln(0.001) / ln(Phi(4)) = 218,108 draws
    assert any(level == "warning" and "218,1" in text for level, text in recorder.notes)
    assert not any("draws certify" in text for _, text in certified(classifier, images=2, largest_radius=0.3).notes)


@pytest.mark.parametrize("batch_size", [33, 150, 5000])
def test_certificates_do_not_depend_on_the_batch_size(classifier: MemoryInputRun, batch_size: int) -> None:
    expected = certified(classifier, images=12).columns()
    found = certified(classifier, images=12, batch_size=batch_size).columns()
    for name, column in expected.items():
        assert np.array_equal(found[name], column), name


def test_more_draws_reach_further_and_another_seed_gives_other_counts(classifier: MemoryInputRun) -> None:
    few, many = (certified(classifier, images=8, n=n).columns() for n in (100, 1000))
    assert many["radius"].max() > few["radius"].max()
    again, other = (certified(classifier, images=8, n=100, seed=seed).columns() for seed in (0, 1))
    assert np.array_equal(again["count"], few["count"]) and not np.array_equal(other["count"], few["count"])


def test_an_interrupted_run_goes_on_where_it_stopped(classifier: MemoryInputRun) -> None:
    spec = spec_of(batch_size=200)
    whole = MemoryRecorder(runs={"classifier": classifier})
    run(spec, whole, CPU)
    stopped = MemoryRecorder(runs={"classifier": classifier}, stop_at_check=37)  # in the middle of a group
    with pytest.raises(Stopped):
        run(spec, stopped, CPU)
    done = len(stopped.column("index"))
    assert 0 < done < 30 and stopped.last_checkpoint.step == done
    resumed = stopped.resume()
    run(spec, resumed, CPU)
    for name, column in whole.columns().items():
        assert np.array_equal(resumed.column(name), column), name
    assert resumed.results == whole.results
    assert resumed.pictures == {}  # drawn once, at the beginning


def test_a_killed_run_does_not_repeat_rows(classifier: MemoryInputRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_image, "CHECKPOINT_SECONDS", 0.0)
    spec = spec_of(batch_size=200, images=12)
    whole = MemoryRecorder(runs={"classifier": classifier})
    run(spec, whole, CPU)
    rows = whole.columns()
    assert [checkpoint.step for checkpoint in whole.checkpoints] == [4, 8, 12]
    killed = MemoryRecorder(
        runs={"classifier": classifier}, resumed_from=whole.checkpoints[0],
        samples_before={name: column[:8] for name, column in rows.items()},
    )  # fmt: skip
    run(spec, killed, CPU)
    for name, column in rows.items():
        assert np.array_equal(killed.column(name), column), name
    assert killed.results == whole.results


class HalvingDenoiser(torch.nn.Module):
    """Stands in for a trained denoiser: u_hat = v / 2, and remembers how it was called."""

    def __init__(self, shape: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.image_shape = shape
        self.num_classes = 10
        self.calls: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls.append((v, sigma, labels))
        return v / 2


def with_denoiser(
    monkeypatch: pytest.MonkeyPatch, classifier: MemoryInputRun, denoiser: HalvingDenoiser, training: TrainDenoiserSpec
) -> MemoryRecorder:
    monkeypatch.setattr(certify_job, "load_denoiser", lambda input_run, device: (denoiser, training))
    runs = {"classifier": classifier, "denoiser": MemoryInputRun("denoiser", training)}
    return MemoryRecorder(runs=runs)


def test_denoised_smoothing_classifies_the_one_shot_estimate(
    classifier: MemoryInputRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = HalvingDenoiser()
    recorder = with_denoiser(monkeypatch, classifier, denoiser, TrainDenoiserSpec())
    run(spec_of(denoiser="denoiser", images=3), recorder, CPU)
    v, sigma, labels = denoiser.calls[-1]
    assert (sigma == 0.5).all() and sigma.dtype == torch.float32  # 0.25 in [0,1] is 0.5 in [-1,1]
    assert labels is None
    clean = 2 * as_float(load_split(TRAINING.data, "validation").images[2:3]) - 1
    assert float((v[-200:] - clean).std()) == pytest.approx(0.5, rel=0.02)

    network, _ = load_classifier(classifier, "best", CPU)
    expected = network(one_shot_denoise(HalvingDenoiser(), (v[-5:] + 1) / 2, 0.25))
    base = certify_job.denoised(network, HalvingDenoiser(), 0.25)  # type: ignore[arg-type]
    assert torch.allclose(base((v[-5:] + 1) / 2), expected)

    shown = recorder.pictures["smoothing"][0]
    assert shown.images.shape == (9, 8, 8, 1) and shown.captions is not None
    assert [caption.split(", ")[1].split(" ->")[0] for caption in shown.captions] == ["clean", "noisy", "denoised"] * 3
    assert recorder.parents == ["classifier", "denoiser"]
    assert "one-shot denoised" in recorder.results["average_certified_radius"].sentence


def test_a_denoiser_that_does_not_fit_is_refused(classifier: MemoryInputRun, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = with_denoiser(monkeypatch, classifier, HalvingDenoiser((3, 32, 32)), TrainDenoiserSpec())
    with pytest.raises(UserError, match="is for images of 3 x 32 x 32, here they have 1 x 8 x 8"):
        run(spec_of(denoiser="denoiser"), recorder, CPU)
    recorder = with_denoiser(monkeypatch, classifier, HalvingDenoiser(), TrainDenoiserSpec(label_dropout=0.0))
    with pytest.raises(UserError, match="label_dropout"):
        run(spec_of(denoiser="denoiser"), recorder, CPU)
    assert recorder.columns() == {}


def test_plain_smoothing_of_a_classifier_without_noise_training_is_remarked() -> None:
    training = TRAINING.model_copy(update={"objective": "standard", "steps": 1})
    with seeded_globally(CPU, 0, "unrelated"):
        plain = trained_run(training, "classifier")
    found = certified(plain, images=2)
    assert any(level == "warning" and "standard" in text for level, text in found.notes)
    assert found.pictures["smoothing"][0].images.shape == (4, 8, 8, 1)


def test_too_many_images_are_refused(classifier: MemoryInputRun) -> None:
    with pytest.raises(UserError, match="600 images of the test split"):
        certified(classifier, split="test", images=601)
