"""Measurements that are comparable from one to the next."""

from __future__ import annotations

import numpy as np
import torch
from support.toy_classifiers import LinearClassifier, worst_margin_linf

from difrob.data import ImageSet
from difrob.specs import AttackSpec
from difrob.training.validation import FixedImages, training_probe

CPU = torch.device("cpu")


def images_of(network: LinearClassifier, count: int = 80) -> ImageSet:
    """Images labelled by the network, every fifth one wrongly."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    with torch.no_grad():
        labels = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    labels[::5] = (labels[::5] + 1) % network.num_classes
    return ImageSet(pixels, labels, network.num_classes, "made", "validation", np.arange(count) + 7)


def test_scores_are_the_truth_for_a_linear_network() -> None:
    network = LinearClassifier((1, 4, 4), 2)
    fixed = FixedImages(images_of(network), CPU)
    scores = fixed.measure(network, AttackSpec(eps=0.05, steps=12))
    assert np.array_equal(np.flatnonzero(~scores.clean), np.arange(0, 80, 5))
    worst = worst_margin_linf(network, fixed.images, fixed.labels, 0.05).numpy()
    decided = np.abs(worst) > 1e-4
    assert np.array_equal(scores.robust[decided], worst[decided] < 0)
    assert 0 < scores.robust.sum() < scores.clean.sum()
    with torch.no_grad():
        wrong = (network(scores.adversarial).argmax(1) != fixed.labels).numpy()
    assert np.array_equal(wrong, ~scores.robust)


def test_the_same_network_gets_the_same_scores_again() -> None:
    network = LinearClassifier((1, 4, 4), 4).train()
    images = images_of(network)
    attack = AttackSpec(eps=0.05, steps=3)
    first, second = (FixedImages(images, CPU).measure(network, attack) for _ in range(2))
    assert np.array_equal(first.robust, second.robust) and torch.equal(first.adversarial, second.adversarial)
    part = FixedImages(images.take(np.arange(20, 50)), CPU).measure(network, attack)
    assert np.array_equal(part.robust, first.robust[20:50])
    assert network.training  # its mode is given back


def test_noise_is_fixed_and_of_the_stated_size() -> None:
    network = LinearClassifier((1, 4, 4), 4)
    fixed = FixedImages(images_of(network), CPU)
    assert np.array_equal(fixed.right_under_noise(network, 0.3), fixed.right_under_noise(network, 0.3))
    assert fixed.right_under_noise(network, 0.0).mean() == 0.8
    assert fixed.right_under_noise(network, 100.0).mean() < 0.5


def test_the_training_probe_is_a_fixed_part_of_the_training_images() -> None:
    train = images_of(LinearClassifier((1, 4, 4), 3))
    probe = training_probe(train, 30)
    assert len(probe) == 30 and len(np.unique(probe.indices)) == 30
    assert np.array_equal(probe.indices, training_probe(train, 30).indices)
    assert np.isin(probe.indices, train.indices).all()
    assert len(training_probe(train, 500)) == 80
