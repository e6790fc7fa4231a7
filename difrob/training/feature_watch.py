"""A few numbers about the features of a network in training, cheap enough to be measured at every validation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.modes import evaluation_mode
from difrob.metrics.alignment_uniformity import partner_distances, uniformity
from difrob.metrics.classification_dimension import FeatureComponents, right_by_components, smallest_sufficient
from difrob.metrics.input_gradients import high_frequency_share, loss_gradients, radial_spectra
from difrob.metrics.spectra import covariance_spectrum, effective_rank, participation_ratio
from difrob.nets.classifiers import Classifier

MOST_IMAGES = 1000
BATCH = 256


def feature_numbers(network: Classifier, images: Tensor, labels: Tensor, adversarial: Tensor) -> dict[str, float]:
    """Rank, dimension, alignment, uniformity and frequency of the gradients, on the first 1,000 of fixed images.

    Components are those of the same images, so that ``classification_dimension_95`` is a little smaller than that of a
    run of kind ``analyse``. Numbers that do not exist are left out: all of them where features are not finite, that of the
    gradients where there are none.

    Args:
        network: is measured in evaluation mode; every module gets its own mode back.
        images: [N >= 2, C, H, W] in [0,1].
        labels: int64 [N].
        adversarial: the same images attacked, [N, C, H, W].

    Returns:
        Numbers by name, ready to be recorded under ``features/<name>``.
    """
    count = min(len(images), MOST_IMAGES)
    with evaluation_mode(network):
        clean, attacked, gradients = [], [], []
        for first in range(0, count, BATCH):
            part = slice(first, min(first + BATCH, count))
            with torch.no_grad():
                clean.append(network.features(images[part]).cpu().double().numpy())
                attacked.append(network.features(adversarial[part]).cpu().double().numpy())
            gradients.append(loss_gradients(network, images[part], labels[part]).cpu().numpy())
    features, partners = np.concatenate(clean), np.concatenate(attacked)
    if not (np.isfinite(features).all() and np.isfinite(partners).all()):
        return {}
    eigenvalues = covariance_spectrum(features)
    components = FeatureComponents.of(features)
    weight, bias = (part.detach().cpu().double().numpy() for part in (network.head.weight, network.head.bias))
    right = right_by_components(
        components.coordinates(features), labels[:count].cpu().numpy(), components.basis.T @ weight.T,
        bias + weight @ components.mean,
    )  # fmt: skip
    numbers = {
        "effective_rank": effective_rank(eigenvalues),
        "participation_ratio": participation_ratio(eigenvalues),
        "classification_dimension_95": float(smallest_sufficient(right.sum(axis=0).astype(np.float64), 0.95)),
        "alignment_adversarial": float(partner_distances(features, partners).mean()),
        "uniformity": uniformity(features),
    }
    shares = high_frequency_share(radial_spectra(np.concatenate(gradients)), *images.shape[2:])
    if not np.isnan(shares).all():
        numbers["high_frequency_share"] = float(np.nanmean(shares))
    return numbers
