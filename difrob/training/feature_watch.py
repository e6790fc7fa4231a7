"""What the features of a network in training are like, cheap enough to be measured while it learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difrob.attacks.modes import evaluation_mode
from difrob.metrics.alignment_uniformity import partner_distances, uniformity
from difrob.metrics.classification_dimension import FeatureComponents, right_by_components, smallest_sufficient
from difrob.metrics.input_gradients import high_frequency_share, loss_gradients, radial_spectra
from difrob.metrics.sparse_autoencoder import AutoencoderOptions, Scaling, squared_errors, train_autoencoder
from difrob.metrics.spectra import covariance_spectrum, effective_rank, participation_ratio
from difrob.nets.classifiers import Classifier

MOST_IMAGES = 1000
BATCH = 256
PLANE = 2

# The same in every run, so that errors can be held against each other. On digits (d = 128) 100 steps at this rate end
# at an error of 0.09, where 2,000 steps of 256 at 0.003 end, and take 0.3 s instead of 11 s on one core.
ATOMS_PER_FEATURE = 4
ACTIVE = 16
AUTOENCODER_BATCH = 64
AUTOENCODER_RATE = 1e-2
AUTOENCODER_SEED = 0


@dataclass(frozen=True)
class WatchedFeatures:
    """What one measurement found.

    Attributes:
        numbers: by name; those that do not exist are left out.
        eigenvalues: of the covariance of the features, largest first, [d].
        clean: coordinates along the first two principal components, [n, 2]; [n, 1] where there is a single feature.
        attacked: those of the attacked images.
    """

    numbers: dict[str, float]
    eigenvalues: np.ndarray
    clean: np.ndarray
    attacked: np.ndarray


def dictionary_options(features: int, steps: int) -> AutoencoderOptions:
    """The fixed autoencoder of a network with this many features d: 4 d atoms, 16 of them active (all, if they are fewer)."""
    atoms = ATOMS_PER_FEATURE * features
    return AutoencoderOptions(atoms, min(ACTIVE, atoms), steps, AUTOENCODER_BATCH, AUTOENCODER_RATE)


def watch_features(
    network: Classifier, known: Tensor, images: Tensor, labels: Tensor, adversarial: Tensor, *, autoencoder_steps: int = 0,
    at_once: int = BATCH,
) -> WatchedFeatures | None:  # fmt: skip
    """Rank, dimension, sparsity, alignment, uniformity and frequency of the gradients, on the first 1,000 of fixed images.

    ``classification_dimension_95`` is left out where no image is classified rightly from all features, the gradients' number
    where there are none, and ``autoencoder_loss`` where features do not vary.

    Args:
        network: is measured in evaluation mode; every module gets its own mode back.
        known: images that components and the dictionary are learnt from, [M >= 2, C, H, W] in [0,1]; the first 1,000.
        images: images whose features are measured, [N >= 2, C, H, W] in [0,1].
        labels: int64 [N].
        adversarial: the same images attacked, [N, C, H, W].
        autoencoder_steps: of learning the dictionary; 0 for none.
        at_once: the most images that go through the network together.

    Returns:
        None where features are not finite.
    """
    batch = min(at_once, BATCH)
    known, images, labels, adversarial = (part[:MOST_IMAGES] for part in (known, images, labels, adversarial))
    with evaluation_mode(network):
        learnt, features, partners = (_features(network, part, batch) for part in (known, images, adversarial))
        if not all(np.isfinite(part).all() for part in (learnt, features, partners)):
            return None
        gradients = [
            loss_gradients(network, some, their).cpu().numpy()
            for some, their in zip(images.split(batch), labels.split(batch), strict=True)
        ]
    eigenvalues = covariance_spectrum(features)
    components = FeatureComponents.of(learnt)
    numbers = {
        "effective_rank": effective_rank(eigenvalues),
        "participation_ratio": participation_ratio(eigenvalues),
        "alignment_adversarial": float(partner_distances(features, partners).mean()),
        "uniformity": uniformity(features),
    }
    weight, bias = (part.detach().cpu().double().numpy() for part in (network.head.weight, network.head.bias))
    right = right_by_components(
        components.coordinates(features), labels.cpu().numpy(), components.basis.T @ weight.T,
        bias + weight @ components.mean,
    )  # fmt: skip
    if right[:, -1].any():
        totals = right.sum(axis=0).astype(np.float64)
        numbers["classification_dimension_95"] = float(smallest_sufficient(totals, 0.95))
    if autoencoder_steps and np.ptp(learnt, axis=0).any() and eigenvalues.any():
        options = dictionary_options(features.shape[1], autoencoder_steps)
        numbers["autoencoder_loss"] = held_out_loss(learnt, features, options, images.device)
    shares = high_frequency_share(radial_spectra(np.concatenate(gradients)), *images.shape[2:])
    if not np.isnan(shares).all():
        numbers["high_frequency_share"] = float(np.nanmean(shares))
    clean, attacked = (components.coordinates(part, PLANE) for part in (features, partners))
    return WatchedFeatures(numbers, eigenvalues, clean, attacked)


def held_out_loss(known: np.ndarray, features: np.ndarray, options: AutoencoderOptions, device: torch.device) -> float:
    """Error of a dictionary that is learnt from features [M, d], on others [N, d], as a share of their variance.

    A single dictionary from a fixed beginning; its draws are its own, so that the training of the network is not touched.
    """
    scaling = Scaling.of(known)
    held_out = scaling(features)
    model = train_autoencoder(scaling(known), options, AUTOENCODER_SEED, device)
    spread = ((held_out - held_out.mean(axis=0)) ** 2).sum()
    return float(squared_errors(model, held_out, device).sum() / spread)


@torch.no_grad()
def _features(network: Classifier, images: Tensor, batch: int) -> np.ndarray:
    found: np.ndarray = torch.cat([network.features(part).cpu() for part in images.split(batch)]).double().numpy()
    return found
