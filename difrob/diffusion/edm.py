"""The EDM parameterisation of a denoiser, and the weights of its training (Karras et al. 2022, section 5 and table 1).

Noise levels are standard deviations in the diffusion range: u = 2x - 1 lies in [-1,1], v = u + sigma n. Noise that is
stated for images in [0,1] is twice as large here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from difrob.diffusion.denoiser import class_labels, network_type
from difrob.nets.denoisers import DenoiserNetwork


class Preconditioning(NamedTuple):
    """D(v; sigma) = c_skip v + c_out F(c_in v; c_noise); all of sigma's shape."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def preconditioning(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The four coefficients that keep inputs and targets of F at unit variance (Karras et al. 2022, table 1).

    At sigma = 0 the denoiser is exactly the identity: c_skip = 1, c_out = 0, and c_noise is kept finite.
    """
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.clamp(min=1e-6).log() / 4,
    )


class EDMDenoiser(nn.Module):
    """A raw network with the EDM preconditioning around it; implements
    :class:`difrob.diffusion.denoiser.Denoiser`.

    Args:
        network: the raw network F.
        sigma_data: standard deviation of the data in the diffusion range.
    """

    def __init__(self, network: DenoiserNetwork, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data
        self.num_classes = network.num_classes
        self.image_shape = network.image_shape
        self.has_null_class = bool(getattr(network, "has_null_class", True))

    def denoise(self, v: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`difrob.diffusion.denoiser.Denoiser.denoise`. The network runs in the type of its weights.

        Raises:
            ValueError: for labels when the network knows no classes.
            UserError: without labels when the network has no null class.
        """
        labels = class_labels(self.network, v, labels)
        c_skip, c_out, c_in, c_noise = preconditioning(sigma.to(v.dtype).reshape(-1, 1, 1, 1), self.sigma_data)
        wanted = network_type(self.network)
        raw = self.network((c_in * v).to(wanted), c_noise.flatten().to(wanted), labels)
        return c_skip * v + c_out * raw.to(v.dtype)

    forward = denoise


def draw_sigma(count: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Noise levels of training: ln(sigma) ~ N(mean, std^2), float32 [count] on the CPU."""
    return (torch.randn(count, generator=generator) * std + mean).exp()


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """The weight 1 / c_out^2 of the squared error of D, under which every noise level starts at a loss near 1, [B]
    (Karras et al. 2022, equation 8 and table 1)."""
    return preconditioning(sigma, sigma_data).c_out ** -2
