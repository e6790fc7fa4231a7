"""Features while a classifier learns: when they are measured, what is recorded of them, and under which conditions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from torch import Tensor

from difrob.data import as_uint8
from difrob.jobs.feature_pictures import planes
from difrob.metrics.conditions import counted, stated
from difrob.nets.classifiers import Classifier
from difrob.runs.interface import Measure, Recorder
from difrob.specs import AttackSpec, TrainClassifierSpec
from difrob.training.feature_watch import MOST_IMAGES, PLANE, WatchedFeatures, dictionary_options, watch_features
from difrob.training.validation import FixedImages

FEATURES_MEASURED = "features_measured"
PICTURE_SIDE = 160
# What each number of the last measurement is as a result.
NUMBERS = {
    "effective_rank": "effective rank of the penultimate features",
    "participation_ratio": "participation ratio of the penultimate features",
    "alignment_adversarial": "squared distance on the unit sphere of an image's features to those of the attacked image",
    "uniformity": "logarithm of the mean closeness exp(-2 d^2) of two images' features",
    "classification_dimension_95": "fewest principal components with 95 % of the accuracy of all of them under the model's "
    "own head",
    "autoencoder_loss": "held-out reconstruction error of a top-k sparse autoencoder as a share of the variance",
    "high_frequency_share": "share of the input gradient's radial power spectrum above half of the Nyquist frequency",
}


def features_are_due(spec: TrainClassifierSpec, step: int) -> bool:
    """Whether features are measured at a measurement: the first one, every n-th after it, and that of the last step."""
    number = -(-step // spec.validate_every)
    return spec.measure_features and ((number - 1) % spec.features_every == 0 or step == spec.steps)


def record_features(
    network: Classifier, recorder: Recorder, step: int, validation: FixedImages, known: FixedImages, adversarial: Tensor,
    attack: AttackSpec, spec: TrainClassifierSpec,
) -> None:  # fmt: skip
    """Measure, and record numbers, the spectrum as a curve, and the plane of the first two components as pictures.

    The numbers of the last measurement are results, too, named ``features_*``.

    Args:
        network: whose features.
        recorder: is told.
        step: how many steps have been made.
        validation: the images that are measured.
        known: training images that components and the dictionary are learnt from.
        adversarial: the measured images, attacked by ``attack`` where they were right, [N, C, H, W].
        attack: is named in a caption.
        spec: of the training.
    """
    conditions = features_conditions(network, recorder, validation, known, spec)
    found = watch_features(
        network, known.images, validation.images, validation.labels, adversarial,
        autoencoder_steps=spec.features_autoencoder_steps, at_once=validation.pieces.size,
    )  # fmt: skip
    if found is None:
        return
    images = min(len(validation), MOST_IMAGES)
    for name, value in found.numbers.items():
        recorder.metric(f"features/{name}", step, value)
        said = stated(f"{NUMBERS[name]}, step {step:,}", **conditions)
        recorder.result(f"features_{name}", Measure(value, n=images, **said))
    if found.eigenvalues.any():
        recorder.curve(
            "features/feature_spectrum", step, np.arange(1, len(found.eigenvalues) + 1, dtype=np.float64),
            found.eigenvalues / found.eigenvalues.sum(), x_label="principal direction", y_label="share of the variance",
        )  # fmt: skip
    draw_plane(network, recorder, step, found, validation.labels, attack)


def features_conditions(
    network: Classifier, recorder: Recorder, validation: FixedImages, known: FixedImages, spec: TrainClassifierSpec
) -> dict[str, Any]:
    """What the numbers depend on besides the weights: as an attribute, and as the conditions of each of them.

    The attribute is the same at every measurement, and told each time: a run that is resumed need not know what was told
    before.
    """
    width, steps = network.head.in_features, spec.features_autoencoder_steps
    count, learnt = min(len(validation), MOST_IMAGES), min(len(known), MOST_IMAGES)
    facts: dict[str, Any] = {
        "images": count, "images_digest": images_digest(validation), "fitted_to": learnt,
        "fitted_to_digest": images_digest(known), "features": width, "architecture": spec.network.architecture,
    }  # fmt: skip
    dictionary = {"dictionary": "none"}
    if steps:
        options = dictionary_options(width, steps)
        facts["autoencoder"] = {
            "atoms": options.atoms, "active": options.active, "steps": options.steps, "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
        }  # fmt: skip
        dictionary = {
            "dictionary": f"{options.atoms} atoms, {options.active} active",
            "learning": f"{counted(steps, 'step')} of {options.batch_size} at {options.learning_rate:g}",
        }
    recorder.attribute(FEATURES_MEASURED, facts)
    return {
        "images": f"{counted(count, 'validation image')} of {spec.data.dataset} ({facts['images_digest']})",
        "features": f"{width} of {spec.network.architecture}",
        "fitted_to": counted(learnt, "training image"),
        **dictionary,
    }


def images_digest(images: FixedImages) -> str:
    """Names the images that are measured, with their labels: the first 12 digits of a SHA-256."""
    found = hashlib.sha256(np.ascontiguousarray(as_uint8(images.images[:MOST_IMAGES])).tobytes())
    found.update(images.labels[:MOST_IMAGES].cpu().numpy().tobytes())
    return found.hexdigest()[:12]


def draw_plane(
    network: Classifier, recorder: Recorder, step: int, found: WatchedFeatures, labels: Tensor, attack: AttackSpec
) -> None:
    """Clean and attacked features in the plane of the first two components, coloured by class, on the same axes."""
    if found.clean.shape[1] < PLANE:
        return
    sets = {"clean images by class": found.clean, f"under {attack.label()} where right without it": found.attacked}
    pictures, captions = planes(sets, labels[:MOST_IMAGES].cpu().numpy(), network.head.out_features, side=PICTURE_SIDE)
    recorder.images("features/feature_plane", step, pictures, captions)
