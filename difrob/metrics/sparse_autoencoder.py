"""A top-k sparse autoencoder: how well features are sums of a few out of many directions.

    h^ = W_d topk(relu(W_e (h - b) + b_e)) + b,      columns of W_d of length 1

Features are centred, and scaled so that the mean of |h|^2 is d, both by the training features. The number that is told is
the held-out error sum |h - h^|^2 / sum |h - mean|^2. It falls with k, with the size of the dictionary and with training,
so that only numbers with all of them equal, from equally many images, are put side by side (Gao et al. 2024 for the form).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from difrob.errors import UserError
from difrob.metrics.distances import nothing
from difrob.randomness import generator

ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class AutoencoderOptions:
    """What the error depends on besides the features.

    Attributes:
        atoms: size m of the dictionary.
        active: k, how many atoms may be used at once.
        steps: of Adam, along half a cosine.
        batch_size: features per step, drawn with replacement.
        learning_rate: at the beginning.
    """

    atoms: int
    active: int
    steps: int
    batch_size: int
    learning_rate: float

    def __post_init__(self) -> None:
        if not 1 <= self.active <= self.atoms or min(self.steps, self.batch_size) < 1:
            raise ValueError(f"{self}: active must lie in 1..atoms, steps and batch_size be at least 1")


@dataclass(frozen=True)
class Scaling:
    """Centre [d] and scale of features; :meth:`__call__` applies them."""

    centre: np.ndarray
    scale: float

    @classmethod
    def of(cls, features: np.ndarray) -> Scaling:
        """So that features [N, d] get mean 0 and a mean squared length of d.

        Raises:
            UserError: for features that do not vary.
        """
        values = features.astype(np.float64)
        centre = values.mean(axis=0)
        mean_square = float(((values - centre) ** 2).sum(axis=1).mean())
        if not mean_square > 0:
            raise UserError("the features are the same for every training image; there is nothing to be reconstructed")
        return cls(centre, math.sqrt(values.shape[1] / mean_square))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """float64 [n, d]."""
        return (features.astype(np.float64) - self.centre) * self.scale


class SparseAutoencoder(nn.Module):
    """See the head of this module; the encoder begins as the transpose of a random decoder.

    Args:
        features: d.
        atoms: size m of the dictionary.
        active: k.
        source: of the random directions.
    """

    def __init__(self, features: int, atoms: int, active: int, source: torch.Generator) -> None:
        super().__init__()
        directions = torch.randn(atoms, features, generator=source)
        directions = directions / directions.norm(dim=1, keepdim=True)
        self.active = active
        self.encoder = nn.Parameter(directions.clone())
        self.encoder_bias = nn.Parameter(torch.zeros(atoms))
        self.decoder = nn.Parameter(directions)  # rows are the columns of W_d
        self.bias = nn.Parameter(torch.zeros(features))

    def codes(self, h: Tensor) -> Tensor:
        """[B, d] -> [B, m], at most k entries of a row not zero, none negative."""
        raw = torch.relu((h - self.bias) @ self.encoder.T + self.encoder_bias)
        values, places = raw.topk(self.active, dim=1)
        return torch.zeros_like(raw).scatter(1, places, values)

    def forward(self, h: Tensor) -> Tensor:
        """The reconstruction, [B, d]."""
        return self.codes(h) @ self.decoder + self.bias

    @torch.no_grad()
    def forget_lengths(self) -> None:
        """Take from the decoder's gradient what would only change lengths: they are fixed."""
        gradient = self.decoder.grad
        if gradient is not None:
            gradient -= (gradient * self.decoder).sum(dim=1, keepdim=True) * self.decoder

    @torch.no_grad()
    def normalise(self) -> None:
        """Give every atom length 1 again."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(torch.finfo(self.decoder.dtype).tiny))


def train_autoencoder(
    features: np.ndarray,
    options: AutoencoderOptions,
    seed: int,
    device: torch.device,
    between: Callable[[int], None] = lambda step: None,
) -> SparseAutoencoder:
    """Learn a dictionary of scaled features by Adam on the mean squared error.

    Args:
        features: [N, d], scaled.
        options: sizes and training.
        seed: of the first directions and of the batches.
        device: where it is trained.
        between: called with the number of the step before each one.
    """
    data = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)).to(device)
    source = generator(seed, "autoencoder")
    model = SparseAutoencoder(data.shape[1], options.atoms, options.active, source).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=options.learning_rate, betas=ADAM_BETAS)
    for step in range(options.steps):
        between(step)
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        rows = torch.randint(len(data), (options.batch_size,), generator=source).to(device)
        batch = data[rows]
        optimiser.zero_grad(set_to_none=True)
        loss = (model(batch) - batch).square().mean()
        loss.backward()
        model.forget_lengths()
        optimiser.step()
        model.normalise()
    return model


@torch.no_grad()
def squared_errors(
    model: SparseAutoencoder, features: np.ndarray, device: torch.device, size: int = 4096
) -> np.ndarray:
    """|h - h^|^2 of scaled features [n, d], float64 [n]."""
    found = []
    for first in range(0, len(features), size):
        h = torch.from_numpy(np.ascontiguousarray(features[first : first + size], dtype=np.float32)).to(device)
        found.append((model(h) - h).cpu().double().square().sum(dim=1).numpy())
    return np.concatenate(found)


@torch.no_grad()
def unused_share(
    model: SparseAutoencoder, features: np.ndarray, device: torch.device, between: Callable[[], None] = nothing
) -> float:
    """Share of the atoms that none of the scaled features [n, d] uses: dead weight of the dictionary."""
    used = torch.zeros(len(model.encoder), dtype=torch.bool, device=device)
    for first in range(0, len(features), 4096):
        between()
        h = torch.from_numpy(np.ascontiguousarray(features[first : first + 4096], dtype=np.float32)).to(device)
        used |= (model.codes(h) > 0).any(dim=0)
    return 1 - float(used.float().mean())
