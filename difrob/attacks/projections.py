"""The ball that an adversary may use, intersected with the pixel range [0,1], and one step inside it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]

# Below this l2 norm a gradient has no direction in float32.
SMALLEST_GRADIENT = 1e-12


class Ball:
    """Closed balls of one radius around a batch of images, each intersected with [0,1].

    Args:
        images: centres, [B, C, H, W] in [0,1].
        norm: ``"linf"`` or ``"l2"``.
        eps: radius in [0,1] intensity units.
    """

    def __init__(self, images: Tensor, *, norm: Norm, eps: float) -> None:
        self.images = images
        self.norm = norm
        self.eps = eps
        if norm == "linf":
            self._low = (images - eps).clamp_(0, 1)
            self._high = (images + eps).clamp_(0, 1)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor) -> Ball:
        """The balls of these rows (a boolean mask or indices), in their order."""
        return Ball(self.images[rows], norm=self.norm, eps=self.eps)

    def project(self, candidates: Tensor) -> Tensor:
        """The candidates [B, C, H, W] pulled back into their balls and into [0,1].

        For linf this is the exact projection on the intersection. For l2 the candidate is first clipped to [0,1] and
        then moved towards the image, which stays in [0,1] because both ends of the segment lie there (the order of
        Wang et al. 2023).
        """
        if self.norm == "linf":
            return torch.clamp(candidates, self._low, self._high)
        offsets = candidates.clamp(0, 1).sub_(self.images)
        lengths = per_image_norm(offsets)
        shrink = torch.where(lengths > self.eps, self.eps / lengths.clamp_min(SMALLEST_GRADIENT), 1.0)
        return self.images + offsets * shrink

    def ascend(self, candidates: Tensor, gradients: Tensor, step_size: float) -> Tensor:
        """One step of projected gradient ascent: along the sign of the gradient (linf) or its direction (l2).

        An l2 gradient of zero gives no direction and leaves its image where it is. The released code of Wang et al. 2023
        goes a random way there. That would make every attack depend on one more stream of random numbers, and a point that
        chance has found look like one that the gradient led to, where a vanished gradient is to be seen as such (it is one
        of the masking checks). An image stands still only as long as its gradient is zero: in training, at this step.

        Args:
            candidates, gradients: [B, C, H, W].
            step_size: length of the step in the norm of the ball, [0,1] intensity units.
        """
        if self.norm == "linf":
            direction = gradients.sign()
        else:
            direction = gradients / per_image_norm(gradients).clamp_min(SMALLEST_GRADIENT)
        return self.project(torch.add(candidates, direction, alpha=step_size))

    def random_points(self, uniform: Tensor, normal: Tensor | None = None) -> Tensor:
        """Points drawn uniformly from the balls, then clipped to [0,1].

        Args:
            uniform: draws in [0,1): [B, C, H, W] for linf; [B, 1, 1, 1] for l2, where they set the distance.
            normal: standard normal draws [B, C, H, W] that set the direction for l2.
        """
        if self.norm == "linf":
            return self.project(self.images + self.eps * (2 * uniform - 1))
        if normal is None:
            raise ValueError("a random point of an l2 ball needs normal draws for its direction")
        direction = normal / per_image_norm(normal).clamp_min(SMALLEST_GRADIENT)
        distance = self.eps * uniform ** (1 / self.images[0].numel())
        return self.project(self.images + distance * direction)


def per_image_norm(values: Tensor) -> Tensor:
    """The l2 norm of each image, [B, 1, 1, 1], ready for broadcasting."""
    return torch.linalg.vector_norm(values, dim=(1, 2, 3), keepdim=True)
