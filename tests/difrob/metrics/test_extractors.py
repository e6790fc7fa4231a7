"""Features by name: what they are, their digests, and that pieces change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from difrob.data import as_float
from difrob.errors import UserError
from difrob.memory import MicroBatches
from difrob.metrics.extractors import ClassifierFeatures, Extractor, Pixels, PrincipalComponents, extract, label_of
from difrob.nets.classifiers import Classifier
from difrob.nets.small_cnn import SmallCNN


def images_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)


def classifier_of(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return SmallCNN(channels=(4, 4), features=6, image_shape=(1, 4, 4), num_classes=3).eval()


def pieces_of(size: int) -> MicroBatches:
    return MicroBatches(size, may_shrink=True, tell=lambda size, sentence: None)


def test_pixels_are_intensities() -> None:
    extractor, images = Pixels((4, 4, 1)), images_of(3)
    np.testing.assert_array_equal(extractor(images), images.reshape(3, 16) / 255)
    assert extractor.features == 16 and label_of(extractor) == f"pixels ({extractor.digest}), 16 features"
    assert extractor.digest != Pixels((2, 8, 1)).digest


def test_components_are_those_of_the_singular_value_decomposition() -> None:
    images = images_of(300)
    images[:, 2:] = 0  # dead pixels
    components = PrincipalComponents.of(images, 5, origin="300 images")
    flat = images.reshape(300, 16) / 255
    _, singular, directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(components.variances, singular[:5] ** 2 / 299, rtol=1e-10)
    np.testing.assert_allclose(np.abs((components.basis * directions[:5].T).sum(axis=0)), 1, atol=1e-9)
    coordinates = components(images)
    assert coordinates.shape == (300, 5) and coordinates.dtype == np.float64
    np.testing.assert_allclose(np.cov(coordinates, rowvar=False), np.diag(components.variances), atol=1e-12)
    assert label_of(components) == f"pca of 300 images ({components.digest}), 5 features"


def test_components_keep_the_variance_that_is_asked_for() -> None:
    images = np.zeros((200, 4, 4, 1), np.uint8)
    images[:, 0] = images_of(200)[:, 0]
    assert PrincipalComponents.of(images).features == 4
    assert PrincipalComponents.of(images, kept_variance=0.4).features == 2
    assert PrincipalComponents.of(np.full((5, 4, 4, 1), 9, np.uint8)).features == 1
    with pytest.raises(ValueError, match="at least two images"):
        PrincipalComponents.of(images[:1])


def test_more_components_than_directions_are_refused() -> None:
    images = images_of(200)
    images[:, 3] = 0
    assert PrincipalComponents.of(images, 12).features == 12
    with pytest.raises(UserError, match="components = 13, but the 200 reference images vary in 12 directions"):
        PrincipalComponents.of(images, 13)
    with pytest.raises(UserError, match="vary in 6 directions only; lower it to 6"):
        PrincipalComponents.of(images[:7], 8)


def test_the_digest_names_reference_and_size() -> None:
    images = images_of(50)
    digests = {
        PrincipalComponents.of(part, count).digest
        for part, count in ((images, 3), (images, 4), (images[::-1], 3), (images[:40], 3))
    }
    assert len(digests) == 4 and PrincipalComponents.of(images.copy(), 3).digest in digests


def test_classifier_features_are_those_in_front_of_the_head() -> None:
    classifier, images = classifier_of(), images_of(11)
    extractor = ClassifierFeatures(classifier, "run a, best weights", pieces_of(4))
    found = extractor(images)
    with torch.no_grad():
        expected = classifier.features(as_float(images))
        assert torch.equal(classifier.head(expected), classifier(as_float(images)))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32 and extractor.features == 6
    assert label_of(extractor) == f"classifier of run a, best weights ({extractor.digest}), 6 features"
    assert extractor.digest == ClassifierFeatures(classifier_of(), "elsewhere", pieces_of(1)).digest
    assert extractor.digest != ClassifierFeatures(classifier_of(1), "run a, best weights", pieces_of(4)).digest


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces_change_nothing(size: int) -> None:
    images = images_of(40)
    extractors: list[Extractor] = [
        Pixels((4, 4, 1)),
        PrincipalComponents.of(images, 3),
        ClassifierFeatures(classifier_of(), "x", pieces_of(size)),
    ]
    asked: list[None] = []
    for extractor in extractors:
        found = extract(extractor, images, size, lambda: asked.append(None))
        np.testing.assert_allclose(found, extractor(images), rtol=1e-5, atol=1e-6)
    assert len(asked) == 3 * -(-40 // size)


def test_features_that_are_not_finite_are_refused() -> None:
    classifier = classifier_of()
    with torch.no_grad():
        classifier.convolutions[0].weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"features 'classifier of run z \(.*6 features' are not finite"):
        extract(ClassifierFeatures(classifier, "run z", pieces_of(9)), images_of(3), 2)
