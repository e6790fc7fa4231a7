"""Linear probes: how well a linear classifier on frozen features tells the classes, and how well when it is attacked.

Features are standardised by their training mean and deviation. Two rules of fitting:

* ``ridge``: least squares to one-hot labels with the penalty alpha |W|^2 per image, in closed form. Without a given alpha
  it is the one of a fixed grid with the least generalised cross-validation error on the training images (Golub, Heath &
  Wahba 1979).
* ``logistic``: multinomial logistic regression, mean cross-entropy + alpha / 2 |W|^2, to convergence; alpha is 1e-3 unless
  given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from difrob.attacks.union import attack_union
from difrob.data import ImageSet, as_float
from difrob.errors import UserError
from difrob.metrics.distances import nothing
from difrob.randomness import normal_per_sample
from difrob.specs.parts import AttackSpec

Rule = Literal["ridge", "logistic"]

PENALTIES = np.logspace(-6, 2, 33)
LOGISTIC_PENALTY = 1e-3
ATTACK_LOSSES = ("cross_entropy", "margin")


@dataclass(frozen=True)
class LinearProbe:
    """logits = ((h - mean) / scale) W + bias.

    Attributes:
        mean, scale: [m], of the training features; a feature without variance has scale 1.
        weights: W, [m, K].
        bias: [K].
        penalty: the alpha that was used.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[n, m] -> float64 [n, K]."""
        scores: np.ndarray = (features.astype(np.float64) - self.mean) / self.scale @ self.weights + self.bias
        return scores


def fit_probe(
    features: np.ndarray, labels: np.ndarray, num_classes: int, rule: Rule, penalty: float | None = None
) -> LinearProbe:
    """Fit a probe to training features.

    Args:
        features: [N, m].
        labels: int64 [N] in 0..K-1.
        num_classes: K.
        rule: see the head of this module.
        penalty: alpha; None for the rule's own choice.

    Raises:
        UserError: for features that are not finite, or a logistic regression with fewer than two classes.
    """
    values = features.astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError("the features to be probed are not finite; the network has diverged")
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-12 * max(float(scale.max()), np.finfo(np.float64).tiny), scale, 1.0)
    standardised = (values - mean) / scale
    if rule == "logistic":
        weights, bias, used = _logistic(standardised, labels, num_classes, penalty)
    else:
        weights, bias, used = _ridge(standardised, labels, num_classes, penalty)
    return LinearProbe(mean, scale, weights, bias, used)


def _ridge(
    z: np.ndarray, labels: np.ndarray, num_classes: int, penalty: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    n = len(z)
    targets = np.eye(num_classes)[labels]
    bias = targets.mean(axis=0)
    targets = targets - bias
    variances, basis = np.linalg.eigh(z.T @ z / n)
    variances = np.maximum(variances, 0.0)
    slopes = basis.T @ (z.T @ targets / n)
    if penalty is None:
        power = (slopes**2).sum(axis=1)
        total = float((targets**2).sum()) / n

        def error(alpha: float) -> float:
            shrunk = 1 / (variances + alpha)
            residual = total - float((power * shrunk * (2 - variances * shrunk)).sum())
            freedom = 1 - (1 + float((variances * shrunk).sum())) / n
            return max(residual, 0.0) / freedom**2 if freedom > 1e-6 else np.inf

        penalty = float(min(PENALTIES, key=error))
    return basis @ (slopes / (variances + penalty)[:, None]), bias, penalty


def _logistic(
    z: np.ndarray, labels: np.ndarray, num_classes: int, penalty: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    from sklearn.linear_model import LogisticRegression

    known = np.unique(labels)
    if len(known) < 2:
        raise UserError("a logistic probe needs training images of at least two classes; take more of them")
    alpha = LOGISTIC_PENALTY if penalty is None else penalty
    fitted = LogisticRegression(C=1 / (len(z) * alpha), max_iter=2000, tol=1e-6).fit(z, labels)
    weights, bias = np.zeros((z.shape[1], num_classes)), np.full(num_classes, -np.inf)
    if len(known) == 2:  # one row of weights, for the second class
        weights[:, known[1]], bias[known] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[:, known], bias[known] = fitted.coef_.T, fitted.intercept_
    # A class without images is never predicted; a finite number keeps gradients finite.
    return weights, np.where(np.isfinite(bias), bias, -1e3), alpha


class AveragedFeatures(nn.Module):
    """Features of a network with noise in its input, averaged over draws that are the same for all images.

    So the features are a function of the image, and an attack knows all of it: its gradient is that of the average.

    Args:
        features: (images, noise or None) -> [B, m].
        image_shape: (C, H, W).
        draws: how many; 0 for no noise at all.
        seed: of the noise.
        device: where the noise is put.
    """

    def __init__(
        self,
        features: Callable[[Tensor, Tensor | None], Tensor],
        image_shape: tuple[int, int, int],
        draws: int,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        self._features = features
        self._noise: Tensor | None = None
        if draws:
            self._noise = normal_per_sample(seed, "probe noise", np.arange(draws), image_shape).to(device)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] in [0,1] -> [B, m]."""
        if self._noise is None:
            return self._features(x, None)
        draws, count = len(self._noise), len(x)
        copies = x.unsqueeze(0).expand(draws, *x.shape).flatten(0, 1)
        noise = self._noise.to(x.dtype).repeat_interleave(count, dim=0)
        return self._features(copies, noise).unflatten(0, (draws, count)).mean(dim=0)

    def of_images(
        self, images: np.ndarray, size: int, device: torch.device, between: Callable[[], None] = nothing
    ) -> np.ndarray:
        """Features of uint8 images [N,H,W,C], ``size`` at once, float32 [N, m]."""
        found = []
        for first in range(0, len(images), size):
            between()
            with torch.no_grad():
                found.append(self(as_float(images[first : first + size], device)).float().cpu().numpy())
        return np.concatenate(found)


class ProbedNetwork(nn.Module):
    """Features and probe as one classifier of [0,1] images, differentiable through both."""

    def __init__(self, features: nn.Module, probe: LinearProbe, device: torch.device) -> None:
        super().__init__()
        self._features = features
        weights = probe.weights / probe.scale[:, None]
        bias = probe.bias - probe.mean @ weights
        self._weights, self._bias = (torch.from_numpy(part).float().to(device) for part in (weights, bias))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B,C,H,W] in [0,1]."""
        logits: Tensor = self._features(x) @ self._weights + self._bias
        return logits


def attacked_probe(
    network: nn.Module,
    images: ImageSet,
    attack: AttackSpec,
    seed: int,
    device: torch.device,
    between: Callable[[], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Which images a probed network classifies rightly, and still does under PGD with either loss: two bool [N].

    The attack starts once per loss, at points that belong to the image; images wrong unattacked count as broken.

    Args:
        network: [0,1] images to logits.
        images: what is attacked, all at once.
        attack: ball, number and length of the steps; eps = 0 attacks nothing.
        seed: of the starting points.
        device: where the network is.
        between: called between attacks.
    """
    x, labels = as_float(images.images, device), torch.from_numpy(np.array(images.labels)).to(device)
    with torch.no_grad():
        clean = (network(x).argmax(1) == labels).cpu().numpy()
    robust = clean.copy()
    rows = np.flatnonzero(clean)
    if attack.eps > 0 and len(rows):
        on_device = torch.from_numpy(rows).to(device)
        verdict = attack_union(
            network, x[on_device], labels[on_device], images.indices[rows], attack=attack, losses=ATTACK_LOSSES, restarts=1,
            seed=seed, between=between,
        )  # fmt: skip
        robust[rows] = verdict.held_out
    return clean, robust
