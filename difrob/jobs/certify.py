"""Certified l2 radii by randomised smoothing (Cohen et al. 2019), plain or denoised (Carlini et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from difrob.data import ImageSet, as_float, as_uint8
from difrob.diffusion.loading import load_denoiser, require_null_class
from difrob.diffusion.one_shot import one_shot_denoise
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.inputs import misfits
from difrob.inputs.misfits import refuse
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable, Rows, chosen_images
from difrob.jobs.running_totals import RunningMean, RunningShare
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import mean_measure, share_measure
from difrob.metrics.conditions import NOTHING, Stated, measured_images, stated
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.smoothing.curves import (
    certified_correct,
    certified_counts,
    curve_of_counts,
    radius_contributions,
    radius_grid,
    table_radii,
)
from difrob.smoothing.smoothed import ESTIMATION, Certificates, SmoothedClassifier, draw_noise
from difrob.smoothing.statistics import ABSTAIN, draws_for_radius, largest_certifiable_radius
from difrob.specs import CertifySpec
from difrob.specs.classifier_runs import ClassifierRun
from difrob.training.loading import load_classifier

PICTURED_IMAGES = 8

# Progress is reported after each group of images; a group is at most this many batches of work.
GROUP_BATCHES = 20


def run(spec: CertifySpec, recorder: Recorder, device: torch.device) -> None:
    """Certify image after image; the curve over radius sharpens as they come.

    Raises:
        UserError: when classifier, denoiser and images do not fit together.
    """
    classifier, training = load_classifier(recorder.input_run(spec.classifier), spec.weights, device)
    denoiser = load_fitting_denoiser(spec, recorder, classifier, device) if spec.denoiser else None
    images = chosen_images(recorder, training.data, spec.split, spec.images)
    warn(spec, recorder, training)

    base = denoised(classifier, denoiser, spec.sigma)
    pieces = sampling_pieces(recorder, spec.batch_size)
    smoothed = SmoothedClassifier(
        base,
        num_classes=classifier.num_classes,
        sigma=spec.sigma,
        seed=spec.seed,
        batch_size=spec.batch_size,
        between=recorder.check_stop,
    )
    table = ResultTable(recorder, range(len(images)), indices=images.indices)
    if table.reported_rows == 0:
        picture(spec, recorder, classifier, denoiser, images, device)
    # So many images at once that the short selection stage fills its batches, too.
    group_size = max(1, min(-(-spec.batch_size // spec.n0), GROUP_BATCHES * spec.batch_size // (spec.n0 + spec.n)))

    def certificates(positions: range) -> dict[str, np.ndarray]:
        group = images.take(np.array(positions))
        found = pieces.attempt(partial(certify, spec, smoothed, group, pieces, device))
        return {
            "index": group.indices,
            "label": group.labels,
            "prediction": found.predictions,
            "radius": found.radii,
            "count": found.counts,
            "candidate": found.candidates,
            "majority": found.majorities,
        }

    so_far = CertifiedSoFar(spec, recorder, table)
    with table.saved_when_stopped():
        sweep_images(recorder, table, group_size, certificates, take_in=so_far.take_in, report=so_far.record)
    record = recorder.data_set(training.data.dataset)
    report(spec, recorder, table, measured_images(table["index"], spec.split, record))


def certify(
    spec: CertifySpec, smoothed: SmoothedClassifier, group: ImageSet, pieces: MicroBatches, device: torch.device
) -> Certificates:
    """Certify a group of images with as many noisy copies at once as memory allows."""
    smoothed.batch_size = pieces.size
    return smoothed.certify(as_float(group.images, device), group.indices, n0=spec.n0, n=spec.n, alpha=spec.alpha)


def warn(spec: CertifySpec, recorder: Recorder, training: ClassifierRun) -> None:
    """Say beforehand what will make the result look poor."""
    if spec.denoiser is None and training.objective != "gaussian":
        recorder.note(
            f"the classifier was trained with the objective '{training.objective}', without Gaussian noise, and no "
            "denoiser stands in front of it; small certificates are to be expected",
            "warning",
        )
    largest = largest_certifiable_radius(spec.n, sigma=spec.sigma, alpha=spec.alpha)
    if spec.largest_radius is not None and spec.largest_radius > largest:
        needed = draws_for_radius(spec.largest_radius, sigma=spec.sigma, alpha=spec.alpha)
        recorder.note(
            f"{spec.n} draws certify no radius above {largest:.4g}; the curve is zero beyond it. "
            f"Radius {spec.largest_radius:g} takes at least {needed:,.0f} draws",
            "warning",
        )


def load_fitting_denoiser(
    spec: CertifySpec, recorder: Recorder, classifier: Classifier, device: torch.device
) -> TrainedDenoiser:
    """The denoiser of the specification, checked against the classifier.

    Raises:
        UserError: for images of another shape, or a denoiser that never learnt to work without a class.
    """
    assert spec.denoiser is not None
    denoiser, training = load_denoiser(recorder.input_run(spec.denoiser), device)
    refuse(misfits.network_images("denoiser", spec.denoiser, denoiser.image_shape, classifier.image_shape))
    require_null_class(training, spec.denoiser)  # a certificate must not know the label
    return denoiser


def denoised(classifier: Classifier, denoiser: TrainedDenoiser | None, sigma: float) -> Callable[[Tensor], Tensor]:
    """The base classifier that is smoothed: noisy images x + sigma n to logits, denoised first if there is a denoiser."""
    if denoiser is None:
        return classifier
    return lambda noisy: classifier(one_shot_denoise(denoiser, noisy, sigma))


class CertifiedSoFar:
    """The curve of certified accuracy and the average radius over the images done so far."""

    def __init__(self, spec: CertifySpec, recorder: Recorder, table: ResultTable) -> None:
        self._recorder = recorder
        self._table = table
        self._grid = radius_grid(right_end(spec))
        self._certified = np.zeros(len(self._grid), dtype=np.int64)
        self._radius = RunningMean()
        self._abstentions = RunningShare()

    def take_in(self, rows: Rows) -> None:
        """Add the certificates of a batch."""
        labels, predictions, radii = rows["label"], rows["prediction"], rows["radius"]
        self._certified += certified_counts(labels, predictions, radii, self._grid)
        self._radius.add(radius_contributions(labels, predictions, radii))
        self._abstentions.add(predictions == ABSTAIN)

    def record(self, done: int) -> None:
        """Curve and numbers over the first ``done`` images, which have been taken in."""
        curve = curve_of_counts(self._certified, done, self._grid)
        self._recorder.curve(
            "certified_accuracy", done, curve.radii, curve.accuracy, curve.low, curve.high,
            x_label="l2 radius ([0,1] intensity)", y_label="certified accuracy", interval="Clopper-Pearson 95 %",
        )  # fmt: skip
        if done < len(self._table.positions):
            self._radius.record(self._recorder, "average_certified_radius", done)
        else:  # the last point is the result, to the last digit
            average = average_radius(self._table)
            self._recorder.metric(
                "average_certified_radius", done, average.value, average.low, average.high, interval=average.interval
            )
        self._abstentions.record(self._recorder, "abstentions", done, exact=True)


def average_radius(table: ResultTable, said: Stated = NOTHING) -> Measure:
    """The mean radius over all rows, 0 where wrong or abstaining."""
    contributions = radius_contributions(table["label"], table["prediction"], table["radius"])
    return mean_measure(contributions, **said, unit="[0,1] intensity, l2")


def right_end(spec: CertifySpec) -> float:
    """Where the radius axis ends: as asked for, or at the largest radius that n draws can certify."""
    return spec.largest_radius or largest_certifiable_radius(spec.n, sigma=spec.sigma, alpha=spec.alpha)


def report(spec: CertifySpec, recorder: Recorder, table: ResultTable, measured_on: dict[str, Any]) -> None:
    """The final numbers; each states the procedure and the images."""
    labels, predictions, radii = table["label"], table["prediction"], table["radius"]
    right = certified_correct(labels, predictions)
    kind = "one-shot denoised smoothing" if spec.denoiser else "randomised smoothing"

    def how(what: str, **more: Any) -> Stated:
        levels = {"sigma": spec.sigma, "n0": spec.n0, "n": spec.n, "alpha": spec.alpha}
        return stated(f"{what}; {kind}", **more, **levels, **measured_on)

    recorder.result("average_certified_radius", average_radius(table, how("radius, 0 where wrong or abstaining")))
    largest = largest_certifiable_radius(spec.n, sigma=spec.sigma, alpha=spec.alpha)
    for radius in table_radii(spec.sigma, largest):
        recorder.result(
            f"certified_accuracy_at_{radius:g}",
            share_measure(right & (radii >= radius), **how("certified", radius=radius), exact=True),
        )
    recorder.result("abstentions", share_measure(predictions == ABSTAIN, **how("abstentions"), exact=True))
    recorder.result(
        "smoothed_accuracy",
        share_measure(
            table["majority"] == labels,
            **how(f"most frequent class of {spec.n} draws, abstentions not counted as wrong"),
        ),
    )
    recorder.attribute("largest_certifiable_radius", largest)
    recorder.attribute("precision", "float32")
    recorder.attribute("passes_per_image", {"forward": spec.n0 + spec.n})


@torch.inference_mode()
def picture(
    spec: CertifySpec,
    recorder: Recorder,
    classifier: Classifier,
    denoiser: TrainedDenoiser | None,
    images: ImageSet,
    device: torch.device,
) -> None:
    """A few images, noisy as the classifier sees them in the first draw, and denoised where there is a denoiser."""
    shown = images.take(np.arange(min(PICTURED_IMAGES, len(images))))
    clean = as_float(shown.images, device)
    noise = torch.stack([draw_noise(spec.seed, ESTIMATION, int(i), 0, clean.shape[1:])[0] for i in shown.indices])
    noisy = torch.add(clean, noise.to(device), alpha=spec.sigma)
    stages = [("clean", clean), ("noisy", noisy)]
    if denoiser is not None:
        stages.append(("denoised", one_shot_denoise(denoiser, noisy, spec.sigma)))

    # The last stage is what the classifier sees in the procedure; the others are classified for comparison.
    answers = {name: classifier(stage).argmax(1).tolist() for name, stage in stages}
    pictures = torch.stack([stage for _, stage in stages], dim=1).flatten(0, 1)
    captions = [
        f"label {label}, {name} -> {answers[name][row]}" for row, label in enumerate(shown.labels) for name, _ in stages
    ]
    recorder.images("smoothing", 0, as_uint8(pictures), captions)
