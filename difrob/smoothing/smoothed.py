"""Counting the classes that a base classifier gives to noisy copies of an image.

The noise of draw j of image i is a function of (seed, stream, i, j) alone: neither the batch size nor the order of the
images changes a count, and a certificate can be derived again from its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difrob.randomness import normal_per_sample
from difrob.smoothing.statistics import certify

# Draws that share one stretch of random numbers. Part of what a seed means: changing it changes every certificate.
BLOCK = 100

# The two streams of CERTIFY. The draws that bound the probability must be independent of those that chose the class.
SELECTION, ESTIMATION = "selection", "estimation"


@dataclass(frozen=True)
class Certificates:
    """Results of CERTIFY, one row per image.

    Attributes:
        predictions: int64 [M], the certified class or -1 for an abstention.
        radii: float64 [M], l2 in [0,1] intensity units; 0 at abstentions.
        candidates: int64 [M], the most frequent class of the n0 selection draws.
        counts: int64 [M], how many of the n estimation draws gave the candidate.
        majorities: int64 [M], the most frequent class of the n estimation draws, certified or not.
    """

    predictions: np.ndarray
    radii: np.ndarray
    candidates: np.ndarray
    counts: np.ndarray
    majorities: np.ndarray


class SmoothedClassifier:
    """A base classifier under Gaussian noise (Cohen et al. 2019).

    Args:
        base: noisy images [B, C, H, W] (x + sigma n, not clipped) to logits [B, K], deterministic and in evaluation
            mode; for denoised smoothing the denoiser is part of it.
        num_classes: number of classes K.
        sigma: standard deviation of the noise in [0,1] intensity units.
        seed: seed of the run.
        batch_size: noisy copies classified at once.
        between: called before each batch, e.g. to ask whether to stop.
    """

    def __init__(
        self,
        base: Callable[[Tensor], Tensor],
        *,
        num_classes: int,
        sigma: float,
        seed: int,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self.base = base
        self.num_classes = num_classes
        self.sigma = sigma
        self.seed = seed
        self.batch_size = batch_size
        self.between = between

    def certify(
        self, images: Tensor, indices: Sequence[int] | np.ndarray, *, n0: int, n: int, alpha: float
    ) -> Certificates:
        """CERTIFY of Cohen et al. 2019 for several images; costs n0 + n forward passes each.

        Args:
            images: [M, C, H, W] in [0,1].
            indices: number of each image in its data set, [M]; the noise belongs to it.
            n0: draws that choose the candidate class.
            n: independent draws that bound its probability.
            alpha: probability that a certificate is wrong.
        """
        candidates = self.count_classes(images, indices, n0, SELECTION).argmax(axis=1)
        votes = self.count_classes(images, indices, n, ESTIMATION)
        counts = votes[np.arange(len(votes)), candidates]
        predictions, radii = certify(candidates, counts, n, sigma=self.sigma, alpha=alpha)
        return Certificates(predictions, radii, candidates, counts, votes.argmax(axis=1))

    @torch.inference_mode()
    def count_classes(self, images: Tensor, indices: Sequence[int] | np.ndarray, draws: int, stream: str) -> np.ndarray:
        """How often each class is the answer to noisy copies of each image, int64 [M, K]; rows add up to ``draws``."""
        device = images.device
        counts = torch.zeros(len(images) * self.num_classes, dtype=torch.int64, device=device)
        for rows, noise in self._batches(indices, draws, stream, images.shape[1:]):
            self.between()
            owners = rows.to(device)
            noisy = torch.add(images[owners], noise.to(device), alpha=self.sigma)
            classes = self.base(noisy).argmax(dim=1)
            counts += torch.bincount(owners * self.num_classes + classes, minlength=len(counts))
        return counts.reshape(len(images), self.num_classes).cpu().numpy()

    def _batches(
        self, indices: Sequence[int] | np.ndarray, draws: int, stream: str, shape: Sequence[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (row of the image, noise), filled across images; each block of noise is drawn once."""
        rows: list[Tensor] = []
        blocks: list[Tensor] = []
        waiting = 0
        for row, index in enumerate(indices):
            for first in range(0, draws, BLOCK):
                noise = draw_noise(self.seed, stream, int(index), first // BLOCK, shape)[: draws - first]
                rows.append(torch.full((len(noise),), row))
                blocks.append(noise)
                waiting += len(noise)
                if waiting >= self.batch_size:
                    all_rows, all_noise = torch.cat(rows), torch.cat(blocks)
                    full = waiting - waiting % self.batch_size
                    yield from zip(
                        all_rows[:full].split(self.batch_size), all_noise[:full].split(self.batch_size), strict=True
                    )
                    rows, blocks, waiting = [all_rows[full:]], [all_noise[full:]], waiting - full
        if waiting:
            yield torch.cat(rows), torch.cat(blocks)


def draw_noise(seed: int, stream: str, image: int, block: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise of draws ``BLOCK * block`` ... of one image, float32 [BLOCK, *shape] on the CPU."""
    return normal_per_sample(seed, ("smoothing", stream, image), [block], (BLOCK, *shape))[0]
