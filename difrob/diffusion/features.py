"""What an inner block of a denoiser says about an image: its activations at one noise level, averaged over places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from difrob.diffusion.denoiser import check_sigma
from difrob.diffusion.parameterisations import TrainedDenoiser
from difrob.errors import UserError
from difrob.inputs.misfits import refuse, unknown_block


class _FoundError(Exception):
    """The block has spoken: what lies behind it need not be computed."""


def block_names(denoiser: TrainedDenoiser) -> list[str]:
    """The blocks whose features can be read, in order of depth."""
    return list(denoiser.network.feature_modules())


def chosen_block(denoiser: TrainedDenoiser, block: str) -> str:
    """The name of a block that exists; "" stands for the one in the middle of the depth.

    Raises:
        UserError: for a block that the network does not have, naming those it has.
    """
    names = block_names(denoiser)
    if not block:
        return names[(len(names) - 1) // 2]
    refuse(unknown_block(block, names))
    return block


class BlockFeatures(nn.Module):
    """[0,1] images to the pooled activations of one block of a denoiser, without a class.

    The state is u + sigma n with u = 2x - 1; the denoiser scales it as its parameterisation wants. The class is the null
    class: that of the image would make the features a code of the answer. Maps [B,m,h,w] are averaged over their places,
    after which nothing is normalised. The network stops behind the block, so that an early block is a cheap one.

    Args:
        denoiser: frozen, in evaluation mode.
        block: name of a block, or "" for the one in the middle.
        sigma: noise level in the diffusion range, above 0.

    Attributes:
        block: the name of the block.
        width: how many features m there are.

    Raises:
        UserError: for a block that does not exist, a noise level beyond the schedule, or a denoiser without null class.
    """

    def __init__(self, denoiser: TrainedDenoiser, block: str, sigma: float) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"sigma = {sigma} must lie above 0")
        check_sigma(denoiser, sigma, "lower sigma")
        if denoiser.num_classes and not denoiser.has_null_class:
            raise UserError(
                "this denoiser knows no null class, and with the class of the image its features would be a code of the "
                "label; choose one that was trained with label dropout, or without classes"
            )
        self.denoiser = denoiser
        self.block = chosen_block(denoiser, block)
        self.sigma = sigma
        device = next(denoiser.parameters()).device
        with torch.no_grad():
            self.width = int(self(torch.zeros(1, *denoiser.image_shape, device=device)).shape[1])

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Features of images, a gradient flows to them.

        Args:
            x: [B,C,H,W] in [0,1].
            noise: n, standard normal, [B,C,H,W]; None leaves the image clean, though the level is told.

        Returns:
            [B, m] of x's type.
        """
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            found.append(output[0] if isinstance(output, tuple) else output)
            raise _FoundError

        v = 2 * x - 1
        if noise is not None:
            v = torch.add(v, noise, alpha=self.sigma)
        level = torch.full((len(x),), self.sigma, dtype=x.dtype, device=x.device)
        handle = self.denoiser.network.feature_modules()[self.block].register_forward_hook(keep)
        try:
            self.denoiser.denoise(v, level)
        except _FoundError:
            pass
        finally:
            handle.remove()
        features = found[0]
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        return features.flatten(1).to(x.dtype)
