"""Analyse the penultimate features of a classifier: how many directions they use, how sparse, aligned and attackable.

What belongs to one image (its features, those of the attacked image, the spectrum of its gradient) is a row of the run's
samples, so that an interrupted run goes on with the next image. What belongs to the set as a whole comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.losses import cross_entropy
from difrob.attacks.pgd import maximise
from difrob.attacks.projections import Ball
from difrob.attacks.starts import starting_points
from difrob.data import ImageSet, as_float, load_split
from difrob.errors import UserError
from difrob.inputs.misfits import refuse, too_many_learnt_from
from difrob.jobs.analysed_report import Analysed, report
from difrob.jobs.measured_set import balanced_part
from difrob.jobs.micro_batches import sampling_pieces
from difrob.jobs.per_image import ResultTable, chosen_images
from difrob.jobs.probe_teacher import Prober
from difrob.jobs.sweep_images import sweep_images
from difrob.memory import MicroBatches
from difrob.metrics.classification_dimension import FeatureComponents
from difrob.metrics.conditions import counted, data_set_condition
from difrob.metrics.input_gradients import loss_gradients, radial_spectra
from difrob.metrics.probes import attacked_probe
from difrob.metrics.spectra import require_variance
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Recorder
from difrob.specs import AnalyseSpec, DataSpec
from difrob.training.loading import load_classifier
from difrob.training.teachers import ClassifierTeacher, DenoiserTeacher, open_denoiser

PLANE = 2  # principal components of which coordinates are kept and drawn


def run(spec: AnalyseSpec, recorder: Recorder, device: torch.device) -> None:
    """Measure what the specification names.

    Raises:
        UserError: when the runs do not fit together, the features do not vary, or the classifier has diverged.
    """
    classifier, trained = load_classifier(recorder.input_run(spec.classifier), spec.analysed_weights, device)
    images = chosen_images(recorder, trained.data, spec.split, spec.images)
    training = training_part(spec, recorder, trained.data)
    check_dictionary(spec, classifier.head.in_features, len(training))
    pieces = sampling_pieces(recorder, spec.batch_size)
    second = None
    if "kernel_alignment" in spec.measures:
        second = open_second(spec, recorder, classifier, trained.data, device)
    if spec.split == "train":
        recorder.note("split = train: errors and accuracies are of images that components were learnt from", "warning")

    known = features_of_set(classifier, training, pieces, recorder, device)
    require_variance(known)
    components = FeatureComponents.of(known)
    probes: dict[str, nn.Module] = {}
    block = ""
    if "probes" in spec.measures:
        probes, block = open_probes(spec, recorder, classifier, training, pieces, device)
    examination = Examination(spec, recorder, classifier, second, components, probes, device)

    def examined(positions: range) -> dict[str, np.ndarray]:
        return pieces.attempt(partial(examination.rows, images.take(np.array(positions)), pieces))

    table = ResultTable(recorder, range(len(images)), indices=images.indices)
    work = spec.autoencoder.seeds * spec.autoencoder.steps if "autoencoder" in spec.measures else 0
    with table.saved_when_stopped():
        sweep_images(recorder, table, spec.batch_size, examined, total=len(images) + work, unit="images and steps")
        data_set = data_set_condition(recorder.data_set(trained.data.dataset), spec.split)
        analysed = Analysed(spec, classifier, images, training, known, components, table, block, data_set)
        report(analysed, recorder, tuple(probes), device)


def training_part(spec: AnalyseSpec, recorder: Recorder, data: DataSpec) -> ImageSet:
    """The training images that components, dictionaries and probes are learnt from.

    Raises:
        UserError: when more are asked for than the classifier learnt from.
    """
    training = load_split(recorder, data, "train")
    refuse(too_many_learnt_from(spec.train_images, len(training), spec.classifier))
    return balanced_part(training, spec.train_images or len(training), spec.seed)


def check_dictionary(spec: AnalyseSpec, features: int, training: int) -> None:
    """Refuse an autoencoder that could use more atoms than it has.

    Raises:
        UserError: naming both numbers.
    """
    atoms = spec.autoencoder.dictionary * features
    if "autoencoder" in spec.measures and spec.autoencoder.active > atoms:
        raise UserError(
            f"autoencoder.active = {spec.autoencoder.active} is more than the {atoms} atoms of a dictionary of "
            f"{spec.autoencoder.dictionary} times {features} features; lower it, or raise autoencoder.dictionary"
        )
    if training < 4:
        raise UserError(f"{training} training images are too few to analyse features; raise train_images")


def open_second(
    spec: AnalyseSpec, recorder: Recorder, first: Classifier, data: DataSpec, device: torch.device
) -> Classifier:
    """The classifier that the first, trained on ``data``, is compared with; other data are worth a warning.

    Raises:
        UserError: for one of other images.
    """
    assert spec.second is not None
    second, trained = load_classifier(recorder.input_run(spec.second), spec.weights, device)
    if second.image_shape != first.image_shape:
        theirs, ours = (" x ".join(map(str, network.image_shape)) for network in (second, first))
        raise UserError(
            f"the classifiers '{spec.second}' and '{spec.classifier}' are for images of {theirs} and of {ours} (channels x "
            "height x width); choose two for the same images"
        )
    if trained.data.dataset != data.dataset:
        recorder.note(
            f"'{spec.second}' learnt from '{trained.data.dataset}', but is shown images of '{data.dataset}'", "warning"
        )
    return second


def features_of_set(
    network: Classifier, images: ImageSet, pieces: MicroBatches, recorder: Recorder, device: torch.device
) -> np.ndarray:
    """Penultimate features of all images, float32 [N, d].

    Raises:
        UserError: for features that are not finite.
    """

    def found() -> np.ndarray:
        parts = []
        with torch.no_grad():
            for part in pieces.slices(len(images)):
                recorder.check_stop()
                parts.append(network.features(as_float(images.images[part], device)).float().cpu().numpy())
        return np.concatenate(parts)

    features = pieces.attempt(found)
    if not np.isfinite(features).all():
        raise UserError("the classifier's features are not finite on clean images; its training diverged")
    return features


def open_probes(
    spec: AnalyseSpec, recorder: Recorder, classifier: Classifier, training: ImageSet, pieces: MicroBatches,
    device: torch.device,
) -> tuple[dict[str, nn.Module], str]:  # fmt: skip
    """Linear classifiers on the features of the classifier and, if one is given, of a block of a diffusion model.

    Returns:
        The probed networks by name, and how results call the block; "" without one.
    """
    block = ""
    prober = Prober(spec.probe, training, training, pieces, recorder, device)
    found: dict[str, nn.Module] = {
        "feature": prober.probed(ClassifierTeacher(classifier, classifier.image_shape), spec.seed)[0]
    }
    if spec.denoiser:
        denoiser = open_denoiser(recorder, spec.denoiser, "trained", classifier.image_shape, spec.seed, device)
        teacher = DenoiserTeacher(denoiser, spec.block, spec.sigma, "trained")
        recorder.attribute("probed_teacher", {"block": teacher.block, "sigma": spec.sigma, "features": teacher.width})
        found["teacher"] = prober.probed(teacher, spec.seed)[0]
        block = f"{teacher.block}, {counted(teacher.width, 'feature')}"
    return found, block


@dataclass(frozen=True)
class Examination:
    """All that is found out image by image.

    Attributes:
        second: another classifier whose features are kept, or None.
        components: of the training features.
        probes: networks that are scored clean and attacked, by name.
    """

    spec: AnalyseSpec
    recorder: Recorder
    classifier: Classifier
    second: Classifier | None
    components: FeatureComponents
    probes: dict[str, nn.Module]
    device: torch.device

    def rows(self, batch: ImageSet, pieces: MicroBatches) -> dict[str, np.ndarray]:
        """Columns for a batch, in as many pieces as memory asks for."""
        places = np.arange(len(batch))
        found = [self._rows(batch.take(places[part])) for part in pieces.slices(len(batch))]
        return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}

    def _rows(self, batch: ImageSet) -> dict[str, np.ndarray]:
        images, labels = as_float(batch.images, self.device), torch.from_numpy(np.array(batch.labels)).to(self.device)
        attacked = self._attacked(images, labels, batch.indices)
        columns: dict[str, np.ndarray] = {"index": batch.indices, "label": batch.labels}
        for prefix, x in (("", images), ("adversarial_", attacked)):
            with torch.no_grad():
                features = self.classifier.features(x)
                columns[f"{prefix}prediction"] = self.classifier.head(features).argmax(1).cpu().numpy()
            columns[f"{prefix}features"] = features.float().cpu().numpy()
            plane = self.components.coordinates(columns[f"{prefix}features"], PLANE)
            for number in range(plane.shape[1]):
                columns[f"{prefix}component_{number + 1}"] = plane[:, number]
        if not np.isfinite(columns["features"]).all():
            raise UserError("the classifier's features are not finite on clean images; its training diverged")
        if self.second is not None:
            with torch.no_grad():
                columns["second_features"] = self.second.features(images).float().cpu().numpy()
        if "gradients" in self.spec.measures:
            gradients = loss_gradients(self.classifier, images, labels)
            columns["gradient_spectrum"] = radial_spectra(gradients.cpu().numpy())
        for name, network in self.probes.items():
            clean, robust = attacked_probe(
                network, batch, self.spec.attack, self.spec.seed, self.device, self.recorder.check_stop
            )
            columns |= {f"{name}_probe_correct": clean, f"{name}_probe_robust": robust}
        return columns

    def _attacked(self, images: Tensor, labels: Tensor, indices: np.ndarray) -> Tensor:
        """Where the ascent of the cross-entropy ends, for every image, [B,C,H,W]."""
        attack: Any = self.spec.attack
        ball = Ball(images, norm=attack.norm, eps=attack.eps)
        start = starting_points(
            ball, random_start=attack.random_start, seed=self.spec.seed, stream=("analysis attack",), indices=indices
        )
        if attack.eps == 0:
            return images
        return maximise(
            self.classifier, ball, start, lambda logits: cross_entropy(logits, labels), steps=attack.steps,
            step_size=attack.resolved_step_size,
        )  # fmt: skip
