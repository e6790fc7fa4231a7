"""Which spatial frequencies a classifier is sensitive to: the power spectrum of the gradient of its loss in the image.

The power of the two-dimensional Fourier transform, added up over colours, is averaged over rings of equal frequency up to
that of Nyquist (the corners beyond are left out) and normalised to sum 1, image by image, so that an image with a large
gradient counts no more than another. White noise has a flat spectrum. The mean is part of the first ring.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from difrob.errors import UserError
from difrob.metrics.accuracy import mean_measure
from difrob.metrics.conditions import stated
from difrob.runs.interface import Measure

HALF_OF_NYQUIST = 0.25  # cycles per pixel


def loss_gradients(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each image's cross-entropy in its pixels, [B,C,H,W]; parameters get none.

    Args:
        network: [0,1] images to logits, in evaluation mode.
        images: [B,C,H,W] in [0,1].
        labels: int64 [B].
    """
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        total = functional.cross_entropy(network(x), labels, reduction="sum")
    (gradients,) = torch.autograd.grad(total, x)
    return gradients


def ring_frequencies(height: int, width: int) -> np.ndarray:
    """The frequencies of the rings in cycles per pixel, from 0 to Nyquist's 0.5 (a little less for an odd edge)."""
    edge = min(height, width)
    return np.arange(edge // 2 + 1) / edge


def radial_spectra(gradients: np.ndarray) -> np.ndarray:
    """Shares of the rings, float64 [N, R]; each row adds up to 1, or is NaN for a gradient that is zero or not finite.

    Args:
        gradients: [N, C, H, W].
    """
    values = gradients.astype(np.float64)
    _, _, height, width = values.shape
    largest = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    usable = np.isfinite(largest) & (largest > 0)
    values = np.where(usable, values, 0.0) / np.where(usable, largest, 1.0)
    power = (np.abs(np.fft.fft2(values)) ** 2).sum(axis=1).reshape(len(values), -1)
    edge = min(height, width)
    rings = (
        np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]) * edge).astype(int).ravel()
    )
    count = edge // 2 + 1
    member = (rings[:, None] == np.arange(count)).astype(np.float64)
    means = power @ (member / member.sum(axis=0))
    totals = means.sum(axis=1, keepdims=True)
    return np.divide(means, totals, out=np.full_like(means, np.nan), where=totals > 0)


def high_frequency_share(spectra: np.ndarray, height: int, width: int) -> np.ndarray:
    """Share of the rings above half of Nyquist's frequency, [N] in [0, 1]; NaN where the spectrum is."""
    above = ring_frequencies(height, width) > HALF_OF_NYQUIST + 1e-12
    shares: np.ndarray = spectra[:, above].sum(axis=1)
    return shares


def share_of_high_frequencies(spectra: np.ndarray, height: int, width: int, /, **conditions: str) -> Measure:
    """The mean of :func:`high_frequency_share` over the images with a gradient, with Student's t interval.

    Raises:
        UserError: when no image has one.
    """
    shares = high_frequency_share(spectra, height, width)
    known = shares[~np.isnan(shares)]
    if not len(known):
        raise UserError(
            "the gradient of the loss is zero for every image: the classifier is saturated, and the frequencies of its "
            "gradients cannot be measured; leave 'gradients' out"
        )
    what = "share of the input gradient's radial power spectrum above half of the Nyquist frequency"
    return mean_measure(known, **stated(what, **conditions), unit="share")
