"""Classification dimension, input gradients, probes and the sparse autoencoder against closed forms and references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from support.built_in_data import load_split
from support.toy_classifiers import LinearClassifier, worst_margin_linf

from difrob.data import as_float
from difrob.errors import UserError
from difrob.metrics.classification_dimension import (
    FeatureComponents,
    dimension_measures,
    refitted_head,
    right_by_components,
    smallest_sufficient,
)
from difrob.metrics.distances import nothing
from difrob.metrics.input_gradients import (
    high_frequency_share,
    loss_gradients,
    radial_spectra,
    ring_frequencies,
    share_of_high_frequencies,
)
from difrob.metrics.probes import AveragedFeatures, LinearProbe, ProbedNetwork, attacked_probe, fit_probe
from difrob.metrics.sparse_autoencoder import (
    AutoencoderOptions,
    Scaling,
    SparseAutoencoder,
    squared_errors,
    train_autoencoder,
    unused_share,
)
from difrob.randomness import normal_per_sample
from difrob.specs import AttackSpec, DataSpec

CPU = torch.device("cpu")


# Classification dimension ---------------------------------------------------------------------------------------------


def clusters(images: int, classes: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features around one corner per class, in the first coordinates, and noise of less variance in all."""
    source = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    return 10 * np.eye(d)[labels] + 0.1 * source.standard_normal((images, d)), labels


def test_k_corners_need_k_minus_one_directions() -> None:
    features, labels = clusters(80, 5, 9)
    components = FeatureComponents.of(features)
    coordinates = components.coordinates(features)
    np.testing.assert_allclose(coordinates @ components.basis.T + components.mean, features)
    weights, bias = refitted_head(coordinates, components.variances, labels, 5)
    right = right_by_components(coordinates, labels, weights, bias)
    assert right[:, 3:].all() and right[:, 2].mean() < 0.9
    assert [int(smallest_sufficient(right.sum(axis=0), share)) for share in (0.9, 0.95, 0.99)] == [4, 4, 4]
    measures = dimension_measures(right, "refitted", 0, nothing, images="80 test images")
    dimension = measures["classification_dimension_95_refitted"]
    assert (dimension.value, dimension.low, dimension.high) == (4, 4, 4) and "; images: 80" in dimension.sentence


def test_the_own_head_is_fed_the_projection() -> None:
    source = np.random.default_rng(1)
    features, labels = source.standard_normal((40, 6)), source.integers(3, size=40)
    weight, bias = source.standard_normal((3, 6)), source.standard_normal(3)
    components = FeatureComponents.of(source.standard_normal((50, 6)))
    right = right_by_components(
        components.coordinates(features), labels, components.basis.T @ weight.T, bias + weight @ components.mean
    )
    for k in range(1, 7):
        basis = components.basis[:, :k]
        projected = components.mean + (features - components.mean) @ basis @ basis.T
        np.testing.assert_array_equal(right[:, k - 1], (projected @ weight.T + bias).argmax(axis=1) == labels)
    np.testing.assert_array_equal(right[:, -1], (features @ weight.T + bias).argmax(axis=1) == labels)


def test_the_refitted_head_is_least_squares_for_every_k() -> None:
    source = np.random.default_rng(2)
    features, labels = source.standard_normal((60, 5)) * [5, 3, 2, 1, 0], source.integers(4, size=60)
    components = FeatureComponents.of(features)
    z = components.coordinates(features)
    weights, bias = refitted_head(z, components.variances, labels, 4)
    for k in range(1, 5):
        reference, *_ = np.linalg.lstsq(np.hstack([z[:, :k], np.ones((60, 1))]), np.eye(4)[labels], rcond=None)
        np.testing.assert_allclose(weights[:k], reference[:-1], atol=1e-10)
        np.testing.assert_allclose(bias, reference[-1], atol=1e-10)
    assert not weights[4].any()


def test_the_ends_of_a_dimension_are_whole_components() -> None:
    source = np.random.default_rng(5)
    for _ in range(20):
        share = np.linspace(0.2, 0.9, 12)
        right = source.random((37, 12)) < share
        right[:, -1] |= right[:, 0]
        for measure in dimension_measures(right, "own", int(source.integers(1000))).values():
            assert measure.low is not None and measure.high is not None
            assert measure.low.is_integer() and measure.high.is_integer()
            assert 1 <= measure.low <= measure.value <= measure.high <= 12


def test_a_classifier_that_is_never_right_has_no_dimension() -> None:
    with pytest.raises(UserError, match="gets no image right"):
        dimension_measures(np.zeros((10, 4), bool), "own", 0)


# Input gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "share"), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)])
def test_a_wave_lies_in_its_ring(frequency: int, share: float) -> None:
    wave = np.cos(2 * np.pi * frequency * np.arange(8) / 8)
    gradients = np.broadcast_to(wave, (2, 3, 8, 8))
    for values in (gradients, 1e-30 * gradients.swapaxes(2, 3)):
        spectra = radial_spectra(values)
        assert spectra.shape == (2, 5) and spectra[:, frequency] == pytest.approx([1, 1])
        assert high_frequency_share(spectra, 8, 8) == pytest.approx([share, share])
    assert ring_frequencies(8, 12).tolist() == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8]


def test_white_noise_is_flat_and_images_count_alike() -> None:
    noise = np.random.default_rng(0).standard_normal((400, 1, 16, 16))
    noise[0] *= 1e6
    spectra = radial_spectra(noise)
    np.testing.assert_allclose(spectra.sum(axis=1), 1)
    np.testing.assert_allclose(spectra.mean(axis=0), 1 / 9, rtol=0.2)
    measure = share_of_high_frequencies(spectra, 16, 16, images="400 images")
    assert measure.low < 4 / 9 < measure.high and measure.n == 400  # type: ignore[operator]


def test_images_without_a_gradient_do_not_count() -> None:
    gradients = np.zeros((3, 1, 4, 4))
    gradients[1] = 1.0
    spectra = radial_spectra(gradients)
    assert np.isnan(spectra[[0, 2]]).all() and spectra[1].tolist() == [1, 0, 0]
    assert share_of_high_frequencies(spectra, 4, 4).n == 1
    with pytest.raises(UserError, match="zero for every image"):
        share_of_high_frequencies(spectra[:1], 4, 4)


def test_gradients_are_those_of_the_cross_entropy_of_each_image() -> None:
    network = LinearClassifier((1, 3, 3), 4).double()
    images = torch.rand(6, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    with torch.no_grad():
        error = network(images).softmax(1) - torch.nn.functional.one_hot(labels, 4)
        expected = (error @ network.weight).reshape(images.shape)
        found = loss_gradients(network, images, labels)
    torch.testing.assert_close(found, expected)
    assert network.weight.grad is None and not images.requires_grad


# Probes ---------------------------------------------------------------------------------------------------------------


def test_ridge_is_that_of_a_library() -> None:
    source = np.random.default_rng(3)
    features, labels = source.standard_normal((50, 8)) * np.arange(1, 9) + 5, source.integers(3, size=50)
    features[:, 2] = 7.0  # without variance
    probe = fit_probe(features, labels, 3, "ridge", 0.1)
    z = (features - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    reference = Ridge(alpha=0.1 * 50).fit(z, np.eye(3)[labels])
    np.testing.assert_allclose(probe.logits(features), reference.predict(z), atol=1e-9)


def test_generalised_cross_validation_takes_the_grids_best_penalty() -> None:
    source = np.random.default_rng(4)
    features = source.standard_normal((40, 10))
    noisy = (features[:, 0] + 2 * source.standard_normal(40) > 0).astype(int)
    clear = (features[:, 0] > 0).astype(int)
    penalties = [fit_probe(features, labels, 2, "ridge").penalty for labels in (noisy, clear)]
    assert penalties[0] > penalties[1]

    def score(alpha: float) -> float:
        z = (features - features.mean(axis=0)) / features.std(axis=0)
        hat = z @ np.linalg.solve(z.T @ z + 40 * alpha * np.eye(10), z.T) + 1 / 40
        targets = np.eye(2)[noisy]
        return float(((targets - hat @ targets) ** 2).sum() / 40 / (1 - np.trace(hat) / 40) ** 2)

    from difrob.metrics.probes import PENALTIES

    assert penalties[0] == pytest.approx(min(PENALTIES, key=score))


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_is_that_of_a_library_and_knows_absent_classes(classes: int) -> None:
    source = np.random.default_rng(5)
    features, labels = source.standard_normal((60, 4)), source.integers(classes, size=60)
    probe = fit_probe(features, labels, classes + 1, "logistic", 0.01)
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    reference = LogisticRegression(C=1 / (60 * 0.01), tol=1e-8, max_iter=5000).fit(z, labels)
    np.testing.assert_array_equal(probe.logits(features).argmax(axis=1), reference.predict(z))
    shifted = np.exp(probe.logits(features))
    np.testing.assert_allclose(
        shifted / shifted.sum(axis=1, keepdims=True), np.pad(reference.predict_proba(z), ((0, 0), (0, 1))), atol=1e-3
    )
    with pytest.raises(UserError, match="at least two classes"):
        fit_probe(features, np.zeros(60, int), 3, "logistic")
    with pytest.raises(UserError, match="not finite"):
        fit_probe(features * np.inf, labels, classes + 1, "ridge")


def test_noisy_features_are_averaged_over_draws_that_all_images_share() -> None:
    def features(x: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        return (x if noise is None else x + 0.5 * noise).flatten(1).square()

    shape, draws = (1, 2, 3), 7
    averaged = AveragedFeatures(features, shape, draws, 3, CPU)
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    noise = normal_per_sample(3, "probe noise", np.arange(draws), shape)
    expected = torch.stack([(x + 0.5 * one).flatten(1).square() for one in noise]).mean(dim=0)
    torch.testing.assert_close(averaged(x), expected)
    torch.testing.assert_close(averaged(x[3:4]), expected[3:4])
    torch.testing.assert_close(AveragedFeatures(features, shape, 0, 3, CPU)(x), x.flatten(1).square())
    sure = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(averaged(sure).sum(), sure)
    torch.testing.assert_close(gradient, 2 * (x + 0.5 * noise.mean(dim=0)))


def test_attacked_probes_break_where_a_linear_classifier_must() -> None:
    """A probe of the pixels themselves is a linear classifier, whose worst case in a box is known."""
    training = load_split(DataSpec(train_size=200), "train")
    scored = load_split(DataSpec(), "validation").take(np.arange(60))
    features = AveragedFeatures(lambda x, noise: x.flatten(1), (1, 8, 8), 0, 0, CPU)
    probe = fit_probe(features.of_images(training.images, 64, CPU), training.labels, 10, "ridge")
    network = ProbedNetwork(features, probe, CPU)
    pixels = as_float(scored.images).flatten(1).numpy()
    np.testing.assert_allclose(network(as_float(scored.images)).numpy(), probe.logits(pixels), atol=1e-4)

    eps = 0.05
    clean, robust = attacked_probe(network, scored, AttackSpec(eps=eps, steps=20), 0, CPU, nothing)
    linear = LinearClassifier((1, 8, 8), 10)
    linear.weight.data, linear.bias.data = network._weights.T.clone(), network._bias.clone()
    labels = torch.from_numpy(scored.labels.copy())
    certain = worst_margin_linf(linear, as_float(scored.images), labels, eps).numpy() < 0
    assert 0.8 < clean.mean() and 0.05 < robust.mean() < clean.mean() - 0.05
    assert not (robust & ~clean).any() and not (certain & ~robust).any()
    assert (robust != certain).mean() < 0.05
    same, unharmed = attacked_probe(network, scored, AttackSpec(eps=0.0), 0, CPU, nothing)
    assert np.array_equal(same, clean) and np.array_equal(unharmed, clean)


def test_a_probe_is_standardised_by_its_training_features() -> None:
    probe = LinearProbe(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.eye(2), np.array([0.5, -0.5]), 0.1)
    np.testing.assert_allclose(probe.logits(np.array([[3.0, 2.0]])), [[1.5, -0.5]])


# Sparse autoencoder ---------------------------------------------------------------------------------------------------


def sparse_sums(images: int, atoms: np.ndarray, active: int, seed: int) -> np.ndarray:
    source = np.random.default_rng(seed)
    codes = np.zeros((images, len(atoms)))
    for row in codes:
        row[source.permutation(len(atoms))[:active]] = 1 + source.random(active)
    return codes @ atoms


def test_known_atoms_are_found_and_other_data_are_not_so_sparse() -> None:
    atoms, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))
    options = AutoencoderOptions(atoms=24, active=3, steps=500, batch_size=128, learning_rate=2e-2)
    losses = {}
    for name, data in (
        ("sparse", (sparse_sums(600, atoms, 2, 1), sparse_sums(300, atoms, 2, 2))),
        ("dense", tuple(np.random.default_rng(seed).standard_normal((n, 12)) for seed, n in ((3, 600), (4, 300)))),
    ):
        scaling = Scaling.of(data[0])
        known, held_out = scaling(data[0]), scaling(data[1])
        np.testing.assert_allclose(known.mean(axis=0), 0, atol=1e-12)
        assert (known**2).sum(axis=1).mean() == pytest.approx(12)
        model = train_autoencoder(known, options, 0, CPU)
        losses[name] = squared_errors(model, held_out, CPU).sum() / ((held_out - held_out.mean(axis=0)) ** 2).sum()
        np.testing.assert_allclose(model.decoder.detach().norm(dim=1).numpy(), 1, rtol=1e-5)
        codes = model.codes(torch.from_numpy(held_out).float())
        assert (codes >= 0).all() and ((codes > 0).sum(dim=1) <= 3).all()
        if name == "sparse":
            cosines = np.abs(model.decoder.detach().numpy() @ atoms.T).max(axis=0)
            assert (cosines > 0.9).mean() > 0.8, cosines
    assert losses["sparse"] < 0.1 < 0.25 < losses["dense"]


def test_a_dictionary_is_a_function_of_its_seed() -> None:
    data = np.random.default_rng(5).standard_normal((40, 4))
    options = AutoencoderOptions(8, 2, 20, 16, 1e-2)
    first, again, other = (train_autoencoder(data, options, seed, CPU) for seed in (1, 1, 2))
    assert torch.equal(first.decoder, again.decoder) and not torch.equal(first.decoder, other.decoder)
    steps: list[int] = []
    train_autoencoder(data, options, 1, CPU, steps.append)
    assert steps == list(range(20))


def test_the_reconstruction_is_the_formula() -> None:
    model = SparseAutoencoder(3, 5, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.bias += 0.3
        model.encoder_bias -= 0.1
    h = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for row, found in zip(h, model(h), strict=True):
            raw = torch.relu(model.encoder @ (row - model.bias) + model.encoder_bias)
            kept = torch.where(raw >= raw.sort(descending=True).values[1], raw, torch.zeros(()))
            torch.testing.assert_close(found, model.decoder.T @ kept + model.bias)
        errors = squared_errors(model, h.numpy(), CPU)
        np.testing.assert_allclose(errors, (model(h) - h).square().sum(dim=1).numpy(), rtol=1e-5)
        model.encoder_bias -= 100
    assert unused_share(model, h.numpy(), CPU) == 1


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(UserError, match="the same for every training image"):
        Scaling.of(np.ones((5, 2)))
    with pytest.raises(ValueError, match="active must lie in 1..atoms"):
        AutoencoderOptions(4, 5, 1, 1, 0.1)
