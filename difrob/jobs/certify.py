"""Certified l2 radii by randomised smoothing (Cohen et al. 2019), plain or denoised (Carlini et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
from difrob.jobs.per_image import ResultTable, chosen_images
from difrob.memory import MicroBatches
from difrob.metrics.accuracy import mean_measure, share_measure
from difrob.metrics.conditions import data_set_condition
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Recorder
from difrob.smoothing.curves import (
    certified_accuracy,
    certified_correct,
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
    table = ResultTable(recorder)
    if table.reported_rows == 0:
        picture(spec, recorder, classifier, denoiser, images, device)
    # So many images at once that the short selection stage fills its batches, too.
    group_size = max(1, min(-(-spec.batch_size // spec.n0), GROUP_BATCHES * spec.batch_size // (spec.n0 + spec.n)))

    recorder.progress(len(table), len(images), "images")
    with table.saved_when_stopped():
        while len(table) < len(images):
            done = len(table)
            group = images.take(np.arange(done, min(done + group_size, len(images))))
            found = pieces.attempt(partial(certify, spec, smoothed, group, pieces, device))
            table.add(
                index=group.indices,
                label=group.labels,
                prediction=found.predictions,
                radius=found.radii,
                count=found.counts,
                candidate=found.candidates,
                majority=found.majorities,
            )
            table.save_if_due()
            if table.report_is_due(done, len(images)):
                record_state(spec, recorder, table)
            recorder.progress(len(table), len(images), "images")
    report(spec, recorder, table, data_set_condition(recorder.data_set(training.data.dataset), spec.split))


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


def record_state(spec: CertifySpec, recorder: Recorder, table: ResultTable) -> None:
    """The curve of certified accuracy and the average radius over the images done so far."""
    labels, predictions, radii = table["label"], table["prediction"], table["radius"]
    curve = certified_accuracy(labels, predictions, radii, radius_grid(right_end(spec)))
    recorder.curve(
        "certified_accuracy", len(table), curve.radii, curve.accuracy, curve.low, curve.high,
        x_label="l2 radius ([0,1] intensity)", y_label="certified accuracy", interval="Clopper-Pearson 95 %",
    )  # fmt: skip
    average = mean_measure(radius_contributions(labels, predictions, radii), "", unit="")
    recorder.metric(
        "average_certified_radius", len(table), average.value, average.low, average.high, interval=average.interval
    )
    abstentions = share_measure(predictions == ABSTAIN, "", exact=True)
    recorder.metric(
        "abstentions", len(table), abstentions.value, abstentions.low, abstentions.high, interval=abstentions.interval
    )


def right_end(spec: CertifySpec) -> float:
    """Where the radius axis ends: as asked for, or at the largest radius that n draws can certify."""
    return spec.largest_radius or largest_certifiable_radius(spec.n, sigma=spec.sigma, alpha=spec.alpha)


def report(spec: CertifySpec, recorder: Recorder, table: ResultTable, data_set: str) -> None:
    """The final numbers; each names the procedure and the data set."""
    labels, predictions, radii = table["label"], table["prediction"], table["radius"]
    right = certified_correct(labels, predictions)
    kind = "one-shot denoised smoothing" if spec.denoiser else "randomised smoothing"
    how = (
        f"{kind}, sigma {spec.sigma:g}, n0 {spec.n0}, n {spec.n}, alpha {spec.alpha:g}, {len(table)} {spec.split} images; "
        f"data set: {data_set}"
    )
    contributions = radius_contributions(labels, predictions, radii)
    recorder.result(
        "average_certified_radius",
        mean_measure(contributions, f"radius, 0 where wrong or abstaining; {how}", unit="[0,1] intensity, l2"),
    )
    largest = largest_certifiable_radius(spec.n, sigma=spec.sigma, alpha=spec.alpha)
    for radius in table_radii(spec.sigma, largest):
        recorder.result(
            f"certified_accuracy_at_{radius:g}",
            share_measure(right & (radii >= radius), f"certified at l2 radius {radius:g}; {how}", exact=True),
        )
    recorder.result("abstentions", share_measure(predictions == ABSTAIN, f"abstentions; {how}", exact=True))
    recorder.result(
        "smoothed_accuracy",
        share_measure(
            table["majority"] == labels,
            f"most frequent class of {spec.n} draws, abstentions not counted as wrong; {how}",
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
