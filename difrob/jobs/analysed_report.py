"""The numbers, curves and pictures of an analysis of features, from the rows that were recorded image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from difrob.data import ImageSet
from difrob.jobs.feature_pictures import planes
from difrob.jobs.per_image import ResultTable
from difrob.jobs.probe_teacher import attack_words, probe_words
from difrob.metrics.accuracy import share_measure
from difrob.metrics.alignment_uniformity import alignment_uniformity_measures
from difrob.metrics.classification_dimension import (
    FeatureComponents,
    dimension_measures,
    refitted_head,
    right_by_components,
)
from difrob.metrics.conditions import counted, stated
from difrob.metrics.input_gradients import ring_frequencies, share_of_high_frequencies
from difrob.metrics.intervals import mean_interval, wilson
from difrob.metrics.kernel_alignment import alignment_measures
from difrob.metrics.resampling import BOOTSTRAP, ratio_interval
from difrob.metrics.sparse_autoencoder import (
    AutoencoderOptions,
    Scaling,
    squared_errors,
    train_autoencoder,
    unused_share,
)
from difrob.metrics.spectra import covariance_spectrum, rank_measures, require_variance
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AnalyseSpec


@dataclass(frozen=True)
class Analysed:
    """What an analysis rests on.

    Attributes:
        images: the images whose features were measured.
        training: the images that components, dictionaries and probes were learnt from.
        known: features of these, [M, d].
        components: of these features.
        table: one row per image.
        block: name and width of the probed block of a diffusion model; "" without one.
        data_set: name and digest of the set that the images are of.
    """

    spec: AnalyseSpec
    classifier: Classifier
    images: ImageSet
    training: ImageSet
    known: np.ndarray
    components: FeatureComponents
    table: ResultTable
    block: str
    data_set: dict[str, str]

    @property
    def measured(self) -> dict[str, Any]:
        """Conditions of all numbers."""
        weights = f"{self.spec.weights} weights" if self.spec.step is None else f"weights of step {self.spec.step}"
        return {
            "images": f"{counted(len(self.images), f'{self.spec.split} image')} of {self.images.name}",
            "features": f"{self.known.shape[1]}, {weights}",
            "data_set": self.data_set,
        }

    @property
    def fitted(self) -> dict[str, Any]:
        """Conditions of numbers for which something was learnt from training images."""
        return {**self.measured, "fitted_to": counted(len(self.training), "training image")}


def report(analysed: Analysed, recorder: Recorder, probes: tuple[str, ...], device: torch.device) -> None:
    """Everything that the specification asks for.

    Args:
        analysed: the rows and what they rest on.
        recorder: what is told is told to it.
        probes: names of the probed networks.
        device: where dictionaries are learnt.
    """
    spec, table, stop = analysed.spec, analysed.table, recorder.check_stop
    features = table["features"]
    require_variance(features)
    recorder.result(
        "clean_accuracy",
        share_measure(table["prediction"] == table["label"], **stated("unattacked accuracy", **analysed.measured)),
    )
    draw_plane(analysed, recorder)
    results: dict[str, Measure] = {}
    if "rank" in spec.measures:
        results |= rank_measures(features, spec.seed, stop, **analysed.measured)
        draw_spectrum(features, recorder)
    if "dimension" in spec.measures:
        results |= report_dimension(analysed, recorder)
    if "alignment" in spec.measures:
        results |= alignment_uniformity_measures(
            features, table["label"], table["adversarial_features"], attack_words(spec.attack, ("cross-entropy",)), stop,
            **analysed.measured,
        )  # fmt: skip
    if "gradients" in spec.measures:
        results |= report_gradients(analysed, recorder)
    if "kernel_alignment" in spec.measures:
        results |= alignment_measures(features, table["second_features"], spec.seed, stop, **analysed.measured)
    for name in probes:
        results |= report_probe(analysed, name)
    for name, measure in results.items():
        recorder.result(name, measure)
    if "autoencoder" in spec.measures:
        recorder.result("autoencoder_loss", report_autoencoder(analysed, recorder, device))


def draw_plane(analysed: Analysed, recorder: Recorder) -> None:
    """Clean and attacked features in the plane of the first two principal components, coloured by class."""
    table = analysed.table
    if analysed.known.shape[1] < 2:
        return
    clean, attacked = (
        np.stack([table[f"{prefix}component_{number}"] for number in (1, 2)], axis=1) for prefix in ("", "adversarial_")
    )
    sets = {"clean images by class": clean, f"the same images under {analysed.spec.attack.label()}": attacked}
    pictures, captions = planes(sets, table["label"], analysed.images.num_classes)
    recorder.images("feature_plane", len(table), pictures, captions)


def draw_spectrum(features: np.ndarray, recorder: Recorder) -> None:
    """The share of the variance along each principal direction of the measured features."""
    values = covariance_spectrum(features)
    recorder.curve(
        "feature_spectrum", len(features), np.arange(1, len(values) + 1, dtype=np.float64), values / values.sum(),
        x_label="principal direction", y_label="share of the variance",
    )  # fmt: skip


def report_dimension(analysed: Analysed, recorder: Recorder) -> dict[str, Measure]:
    """Accuracy over the number of components as curves, and the numbers that suffice."""
    table, components, head = analysed.table, analysed.components, analysed.classifier.head
    coordinates = components.coordinates(table["features"])
    weight, bias = (part.detach().cpu().double().numpy() for part in (head.weight, head.bias))
    heads = {
        "own": (components.basis.T @ weight.T, bias + weight @ components.mean),
        "refitted": refitted_head(
            components.coordinates(analysed.known), components.variances, analysed.training.labels,
            analysed.images.num_classes,
        ),
    }  # fmt: skip
    results: dict[str, Measure] = {}
    for name, (weights, offset) in heads.items():
        recorder.check_stop()
        right = right_by_components(coordinates, table["label"], weights, offset)
        counts, n = right.sum(axis=0), len(right)
        band = wilson(counts, n)
        recorder.curve(
            f"accuracy_over_components_{name}", n, np.arange(1, right.shape[1] + 1, dtype=np.float64), counts / n, band.low,
            band.high, x_label="principal components kept", y_label="accuracy", interval="Wilson 95 %",
        )  # fmt: skip
        results |= dimension_measures(right, name, analysed.spec.seed, recorder.check_stop, **analysed.fitted)
    return results


def report_gradients(analysed: Analysed, recorder: Recorder) -> dict[str, Measure]:
    """The mean spectrum of the input gradients as a curve, and the share of its high frequencies."""
    spectra = analysed.table["gradient_spectrum"]
    _, height, width = analysed.images.shape
    measure = share_of_high_frequencies(spectra, height, width, **analysed.measured)
    known = spectra[~np.isnan(spectra[:, 0])]
    if len(known) < len(spectra):
        recorder.note(
            f"{len(spectra) - len(known)} of {len(spectra)} images have no gradient of the loss, because the classifier is "
            "certain beyond the precision of its numbers; the spectrum is that of the others",
            "warning",
        )
    bands = [mean_interval(ring) for ring in known.T]
    mean, low, high = (np.array([band[end] for band in bands]) for end in range(3))
    several = len(known) > 1
    recorder.curve(
        "gradient_spectrum", len(spectra), ring_frequencies(height, width), mean, low if several else None,
        high if several else None, x_label="frequency (cycles per pixel)", y_label="share of the gradient's power",
        interval="Student t 95 %, pointwise" if several else "",
    )  # fmt: skip
    return {"high_frequency_share": measure}


def report_probe(analysed: Analysed, name: str) -> dict[str, Measure]:
    """Clean and robust accuracy of one probed network."""
    spec, table = analysed.spec, analysed.table
    whose = {"feature": "the classifier's penultimate features", "teacher": "a block of the diffusion model"}[name]
    conditions = {**analysed.fitted, "probe": probe_words(spec.probe)}
    if name == "teacher":
        del conditions["features"]  # those of the classifier
        conditions |= {"block": analysed.block, "sigma": f"{spec.sigma:g}"}
    return {
        f"{name}_probe_accuracy": share_measure(
            table[f"{name}_probe_correct"], **stated(f"accuracy of a linear probe of {whose}", **conditions)
        ),
        f"{name}_probe_robust_accuracy": share_measure(
            table[f"{name}_probe_robust"],
            **stated(f"attacked accuracy of a linear probe of {whose}", **conditions, attack=attack_words(spec.attack)),
        ),
    }


def report_autoencoder(analysed: Analysed, recorder: Recorder, device: torch.device) -> Measure:
    """Learn the dictionaries, and tell the held-out error averaged over them."""
    spec, done = analysed.spec.autoencoder, len(analysed.table)
    total = done + spec.seeds * spec.steps
    options = AutoencoderOptions(
        spec.dictionary * analysed.known.shape[1], spec.active, spec.steps, spec.batch_size, spec.learning_rate
    )
    scaling = Scaling.of(analysed.known)
    known, held_out = scaling(analysed.known), scaling(analysed.table["features"])
    spread = ((held_out - held_out.mean(axis=0)) ** 2).sum(axis=1)
    errors, facts = [], []
    for number in range(spec.seeds):

        def between(step: int, number: int = number) -> None:
            recorder.check_stop()
            recorder.progress(done + number * spec.steps + step, total, "images and steps")

        model = train_autoencoder(known, options, analysed.spec.seed + number, device, between)
        errors.append(squared_errors(model, held_out, device))
        facts.append(
            {
                "loss": float(errors[-1].sum() / spread.sum()),
                "unused_atoms": unused_share(model, known, device, recorder.check_stop),
            }
        )
    recorder.progress(total, total, "images and steps")
    recorder.attribute("autoencoders", {"atoms": options.atoms, "active": options.active, "dictionaries": facts})
    value, low, high = ratio_interval(np.mean(errors, axis=0), spread, analysed.spec.seed, recorder.check_stop)
    what = "held-out reconstruction error of a top-k sparse autoencoder as a share of the variance"
    return Measure(
        value, low, high, n=done, interval=BOOTSTRAP, unit="share of variance",
        **stated(
            what, **analysed.fitted, dictionary=f"{options.atoms} atoms, {options.active} active",
            learning=f"{counted(options.steps, 'step')} of {options.batch_size} at {options.learning_rate:g}",
            dictionaries=f"{spec.seeds} averaged",
        ),
    )  # fmt: skip
