"""What is measured on the features of a network in training, against definitions written down anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.built_in_data import load_split
from support.feature_networks import DATA, classifier_run

from difrob.data import as_float
from difrob.metrics.sparse_autoencoder import train_autoencoder
from difrob.nets.classifiers import Classifier
from difrob.training.feature_watch import (
    ACTIVE,
    AUTOENCODER_SEED,
    WatchedFeatures,
    dictionary_options,
    held_out_loss,
    watch_features,
)
from difrob.training.loading import load_classifier

CPU = torch.device("cpu")
SCORED, TRAINING = load_split(DATA, "validation").take(np.arange(80)), load_split(DATA, "train").take(np.arange(70))
IMAGES, LABELS, KNOWN = as_float(SCORED.images), torch.from_numpy(SCORED.labels.copy()), as_float(TRAINING.images)
ATTACKED = (IMAGES + 0.1).clamp(0, 1)


def network() -> Classifier:
    return load_classifier(classifier_run(), "last", CPU)[0].train()


def watched(
    classifier: Classifier, labels: torch.Tensor = LABELS, steps: int = 0, at_once: int = 256
) -> WatchedFeatures:
    found = watch_features(
        classifier, KNOWN, IMAGES, labels, ATTACKED, autoencoder_steps=steps, at_once=at_once
    )  # fmt: skip
    assert found is not None
    return found


def test_every_number_is_there_and_the_network_keeps_its_mode() -> None:
    classifier = network()
    numbers = watched(classifier, steps=10).numbers
    assert classifier.training and set(numbers) == {
        "effective_rank", "participation_ratio", "classification_dimension_95", "alignment_adversarial", "uniformity",
        "high_frequency_share", "autoencoder_loss",
    }  # fmt: skip
    assert 1 < numbers["participation_ratio"] < numbers["effective_rank"] < 24
    assert 0 < numbers["high_frequency_share"] < 1 and 0 < numbers["autoencoder_loss"] < 1
    assert numbers["uniformity"] < 0 < numbers["alignment_adversarial"] < 4
    assert "autoencoder_loss" not in watched(classifier).numbers


def test_spectrum_plane_and_dimension_are_those_of_their_definitions() -> None:
    """The spectrum from singular values of the measured features, the rest from components of the training features."""
    classifier = network()
    found = watched(classifier)
    with torch.no_grad():
        h, attacked, known = (
            classifier.features(part).double().numpy() for part in (IMAGES, ATTACKED, KNOWN)
        )  # fmt: skip
    singular = np.linalg.svd(h - h.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(found.eigenvalues, singular**2 / 80, rtol=1e-6, atol=1e-9)
    shares = singular / singular.sum()
    assert found.numbers["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)

    centre = known.mean(axis=0)
    directions = np.linalg.svd(known - centre, full_matrices=True)[2]
    np.testing.assert_allclose(np.abs(found.clean), np.abs((h - centre) @ directions[:2].T), atol=1e-4)
    np.testing.assert_allclose(np.abs(found.attacked), np.abs((attacked - centre) @ directions[:2].T), atol=1e-4)
    weight, bias = (part.detach().double().numpy() for part in (classifier.head.weight, classifier.head.bias))
    right = []
    for k in range(1, 25):
        kept = directions[:k].T @ directions[:k]
        right.append((((centre + (h - centre) @ kept) @ weight.T + bias).argmax(axis=1) == SCORED.labels).sum())
    smallest = next(k for k, count in enumerate(right, start=1) if count >= 0.95 * right[-1])
    assert found.numbers["classification_dimension_95"] == smallest


def test_the_loss_of_the_autoencoder_is_the_error_on_images_it_has_not_seen() -> None:
    source = np.random.default_rng(3)
    known, held_out = source.normal(size=(60, 6)) + 2, source.normal(size=(40, 6)) + 2
    options = dictionary_options(6, 30)
    assert (options.atoms, options.active) == (24, ACTIVE) and dictionary_options(2, 1).active == 8
    scale = np.sqrt(6 / ((known - known.mean(axis=0)) ** 2).sum(axis=1).mean())
    scaled, h = ((part - known.mean(axis=0)) * scale for part in (known, held_out))
    model = train_autoencoder(scaled, options, AUTOENCODER_SEED, CPU)
    encoder, offset, decoder, bias = (
        part.detach().double().numpy() for part in (model.encoder, model.encoder_bias, model.decoder, model.bias)
    )
    codes = np.maximum((h - bias) @ encoder.T + offset, 0)
    codes[codes < np.sort(codes, axis=1)[:, [-ACTIVE]]] = 0
    expected = ((codes @ decoder + bias - h) ** 2).sum() / ((h - h.mean(axis=0)) ** 2).sum()
    assert held_out_loss(known, held_out, options, CPU) == pytest.approx(expected, rel=1e-4)


def test_a_longer_training_of_the_dictionary_lowers_its_error_and_nothing_else_is_drawn_from() -> None:
    classifier = network()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    short, long = (watched(classifier, steps=steps).numbers["autoencoder_loss"] for steps in (5, 60))
    assert long < short == watched(classifier, steps=5).numbers["autoencoder_loss"]
    assert torch.equal(before, torch.get_rng_state())


def test_small_pieces_find_the_same() -> None:
    whole, pieces = (watched(network(), at_once=size).numbers for size in (256, 7))
    assert pieces == pytest.approx(whole, rel=1e-4)


def test_a_network_that_gets_no_image_right_has_no_classification_dimension() -> None:
    classifier = network()
    with torch.no_grad():
        predicted = classifier.eval()(IMAGES).argmax(1)
    numbers = watched(classifier, (predicted + 1) % 10).numbers
    assert "classification_dimension_95" not in numbers and "effective_rank" in numbers
    one_right = torch.cat([predicted[:1], (predicted[1:] + 1) % 10])
    assert watched(classifier, one_right).numbers["classification_dimension_95"] >= 1


def test_features_that_say_nothing_leave_out_what_does_not_exist() -> None:
    classifier = network()
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if name.startswith("hidden"):
                parameter.zero_()
    found = watched(classifier, steps=3)
    assert "autoencoder_loss" not in found.numbers and found.numbers["effective_rank"] == 0
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.mul_(torch.nan)
    assert watch_features(classifier, KNOWN, IMAGES, LABELS, ATTACKED, autoencoder_steps=3) is None
